"""Each response counts once, whichever lines and files repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forwarder import Event, TokenUsage

from .lines import FORK, MESSAGE, SESSION, answer, dumps, line, merged, only, read, text, use, user

FORK_PATH = Path(f"projects/-home-dev-project/{FORK}.jsonl")
AGENT_PATH = Path(f"projects/-home-dev-project/{SESSION}/subagents/agent-a1.jsonl")
ZEROED = {
    "input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
}  # fmt: skip


def output(events: list[Event]) -> list[int]:
    return [usage.output_tokens for usage in only(TokenUsage, events)]


def test_the_lines_of_one_response_count_once() -> None:
    """Each block has a line, and each line repeats the whole usage."""
    events = read(answer(text("a"), stop="tool_use"), answer(use(), stop="tool_use"))

    [usage] = only(TokenUsage, events)
    assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (125, 100, 20)
    assert (usage.output_tokens, usage.total_tokens) == (10, 135)


def test_a_later_line_tells_only_what_it_has_more() -> None:
    """Old releases write a placeholder first; the increments add up to the largest usage."""
    events = read(*(answer(text(str(n)), stop=None, output=n) for n in (3, 3, 40, 12)))

    assert output(events) == [3, 37]


def test_copies_add_nothing_in_either_order() -> None:
    """A fork's lines have another session; the response is the same."""
    original = read(*(answer(text("a"), stop=None, output=n) for n in (3, 40)))
    copy = read(
        *(answer(text("a"), stop=None, output=n, sessionId=FORK, requestSessionId=SESSION) for n in (3, 40)),
        path=FORK_PATH,
    )

    for both in (merged(original, copy), merged(copy, original)):
        assert sum(output(both)) == 40
        assert {usage.session.id for usage in only(TokenUsage, both)} == {SESSION}


def test_a_copy_with_a_zeroed_usage_says_nothing() -> None:
    """Read before the original it would take its place; nested numbers are left in it."""
    copy = answer(text("a"), sessionId=FORK, requestSessionId=SESSION, message={"usage": ZEROED})

    assert output(merged(read(copy, path=FORK_PATH), read(answer(text("a"))))) == [10]


def test_a_side_file_replays_messages_under_another_request() -> None:
    """The message's id alone tells that it is the same."""
    side = answer(text("a"), requestId="req_2", isSidechain=True, agentId="a1")

    assert output(merged(read(answer(text("a"))), read(side, path=AGENT_PATH))) == [10]


def test_ids_of_other_backends_count_with_their_request() -> None:
    """They may use a message's id twice."""
    odd: dict[str, Any] = {"message": {"id": "chatcmpl-1"}}

    assert output(read(answer(**odd), answer(at=3, **odd), answer(at=4, requestId="req_2", **odd))) == [10, 10]


def test_a_response_without_a_request_is_known_by_its_message() -> None:
    """Some releases and backends leave the request out."""
    assert output(read(answer(requestId=None), answer(at=3, requestId=None))) == [10]


def test_what_was_not_asked_of_a_model_costs_nothing() -> None:
    """Synthetic answers, errors and empty usages."""
    events = read(
        answer(text("No response requested."), message={"model": "<synthetic>"}),
        answer(text("API Error"), isApiErrorMessage=True),
        answer(text("x"), message={"usage": None}),
    )

    assert output(events) == []


def test_cache_writes_are_the_larger_of_two_numbers() -> None:
    """Until 2.1.151 the flat number was 0 beside a nested one."""
    usage = {
        "input_tokens": 1,
        "cache_creation_input_tokens": 0,
        "output_tokens": 2,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 12},
        "output_tokens_details": {"thinking_tokens": 1},
    }
    [found] = only(TokenUsage, read(answer(text("a"), message={"usage": usage})))

    assert (found.input_tokens, found.cache_write_tokens, found.cache_write_1h_tokens) == (43, 42, 12)
    assert found.reasoning_tokens == 1


def test_a_sub_agents_tokens_are_its_own() -> None:
    """The file names the parent's session, and the agent."""
    [usage] = only(TokenUsage, read(answer(text("a"), isSidechain=True, agentId="a1"), path=AGENT_PATH))

    assert (usage.session.id, usage.session.actor) == (SESSION, "a1")


def totals(output_tokens: int, model: str = "claude-sonnet-5") -> bytes:
    stated = {
        "inputTokens": 5,
        "outputTokens": output_tokens,
        "cacheReadInputTokens": 100,
        "cacheCreationInputTokens": 20,
    }
    return dumps({"type": "cost-state", "sessionId": SESSION, "modelUsage": {model: stated}})


BOUNDARY = line("system", 4, subtype="compact_boundary", compactMetadata={"trigger": "auto", "preTokens": 9})


def test_a_rest_without_a_compaction_is_not_told() -> None:
    """The totals hold more than this file can know."""
    assert output(read(user("hi"), answer(text("a")), totals(99))) == [10]


def test_a_rest_beside_sub_agents_is_not_told() -> None:
    """Theirs is in the totals too, and in their own files."""
    agent = answer(use(tool="Agent", prompt="go"), stop="tool_use")

    assert output(read(user("hi"), agent, BOUNDARY, totals(99))) == [10]


def test_totals_that_lack_a_killed_processs_share_are_not_told() -> None:
    """What is left after the counted answers would be negative."""
    assert output(read(user("hi"), answer(text("a")), BOUNDARY, totals(4))) == [10]


def test_totals_under_another_models_name_are_not_told() -> None:
    """Then what was counted cannot be taken off."""
    assert output(read(user("hi"), answer(text("a")), BOUNDARY, totals(99, "other"))) == [10]


def test_the_message_is_named() -> None:
    """So that a bill can be checked."""
    [usage] = only(TokenUsage, read(answer(text("a"))))

    assert (usage.response_id, usage.model, usage.provider) == (MESSAGE, "claude-sonnet-5", "anthropic")
