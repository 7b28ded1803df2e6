"""What lines of a transcript mean: who asked, how calls and turns ended, what a fork copied, what stays unsaid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from forwarder_claude_code import ClaudeCode

from forwarder import (
    AgentEnd,
    AgentSpawn,
    BadRecord,
    Compaction,
    ModelChange,
    ModelError,
    Permission,
    Prompt,
    Response,
    SessionStart,
    SessionState,
    ToolCallEnd,
    ToolCallStart,
    TurnEnd,
    TurnStart,
    UnknownRecord,
    UserCommand,
)
from forwarder.testing import read_lines

from .lines import (
    CALL,
    FORK,
    NOON,
    PROMPT,
    SECOND,
    SESSION,
    answer,
    dumps,
    line,
    only,
    read,
    result,
    stamp,
    text,
    use,
    user,
)

AGENT_PATH = Path(f"projects/-home-dev-project/{SESSION}/subagents/agent-a1.jsonl")
COMMAND = "<command-name>/model</command-name>\n<command-message>model</command-message>"
ERROR = {"status": 529, "formatted": "529 overloaded", "error": {"type": "overloaded_error"}}


def ending(*lines: bytes) -> ToolCallEnd:
    [end] = only(ToolCallEnd, read(user("hi"), answer(use(), stop="tool_use"), *lines))
    return end


# --- prompts and turns ---


def test_a_prompt_begins_a_turn_that_the_answer_ends() -> None:
    """The key is the prompt's id, which hooks know too."""
    events = read(user("hi", turnOrigin="sdk"), answer(text("a")))
    [start], [end], [prompt] = only(TurnStart, events), only(TurnEnd, events), only(Prompt, events)

    assert (start.key, end.key, prompt.key) == ((PROMPT,), (PROMPT,), (PROMPT,))
    assert (start.trigger, end.outcome, end.duration_ms, start.turn) == ("sdk", "completed", 1000, 1)


@pytest.mark.parametrize(
    "spoken",
    [
        user("caveat", isMeta=True),
        user("This session is being continued", isCompactSummary=True),
        user("shown only", isVisibleInTranscriptOnly=True),
        user("<local-command-stdout>done</local-command-stdout>"),
        user(COMMAND),
        user("aside", isSidechain=True),
        user("<task-notification><task-id>a1</task-id></task-notification>"),
        line("attachment", attachment={"type": "environment", "content": "secret"}),
        dumps({"type": "queue-operation", "operation": "enqueue", "content": "hi", "sessionId": SESSION}),
        dumps({"type": "api-request", "body": "hi"}),
    ],
    ids=lambda spoken: str(json.loads(spoken).get("message", json.loads(spoken)))[:40],
)
def test_what_nobody_submitted_is_no_prompt(spoken: bytes) -> None:
    """Only what a person or a program asked; attachments and requests are never forwarded at all."""
    events = read(spoken)

    assert only(Prompt, events) == []
    assert not any("secret" in str(event) for event in events)


def launching(agent: str = "a1") -> list[bytes]:
    """A turn that leaves an agent in the background behind."""
    launched = {"status": "async_launched", "agentId": agent}
    use_agent = answer(use(tool="Agent", prompt="go"), stop="tool_use")
    return [user("hi"), use_agent, result("started", toolUseResult=launched), answer(text("it runs"), at=4)]


def test_a_task_notification_is_a_turn_of_the_machine() -> None:
    """It also tells the agent's end."""
    note = "<task-notification><task-id>a1</task-id><status>completed</status></task-notification>"
    events = read(*launching(), user(note, 5, SECOND, turnOrigin="task_notification"), answer(text("a"), at=6))

    assert [start.trigger for start in only(TurnStart, events)] == ["human", "machine"]
    assert [(end.child, end.outcome) for end in only(AgentEnd, events)] == [("a1", "completed")]


def test_a_command_in_the_background_is_no_agent() -> None:
    """Its end is told to the model in the same words."""
    note = "<task-notification><task-id>b7</task-id><status>completed</status></task-notification>"

    assert only(AgentEnd, read(*launching(), user(note, 5, SECOND, turnOrigin="task_notification"))) == []


@pytest.mark.parametrize("last", [dumps({"type": "cost-state"}), line("system", 5, subtype="agents_killed")])
def test_agents_that_died_keep_no_session_busy(last: bytes) -> None:
    """With their process, whose totals are its last line, or by a person's wish: no notification follows."""
    events = read(*launching(), last, user("again", 8, SECOND), answer(text("done"), at=9))

    assert [state.state for state in only(SessionState, events)] == ["working", "waiting_input"]


def test_a_side_chains_error_is_none_of_the_turns() -> None:
    """Old releases keep them in the same file."""
    aside = answer(text("API Error"), at=3, isApiErrorMessage=True, isSidechain=True)
    last = answer(text("API Error"), at=4, isApiErrorMessage=True)
    events = read(user("hi"), aside, last)

    assert [error.key for error in only(ModelError, events)] == [("line-3",), (PROMPT,)]
    assert [end.outcome for end in only(TurnEnd, events)] == ["failed"]


def test_a_command_counts_as_it_was_typed() -> None:
    """The markup is Claude Code's."""
    markup = (
        "<command-message>greet</command-message>\n<command-name>/greet</command-name><command-args>Ada</command-args>"
    )

    assert [prompt.text for prompt in only(Prompt, read(user(markup)))] == ["/greet Ada"]


def test_a_shell_command_of_the_persons_is_no_prompt() -> None:
    """Nor a tool call."""
    events = read(user("<bash-input>ls</bash-input>"))

    assert [command.input for command in only(UserCommand, events)] == ["ls"]
    assert not [*only(Prompt, events), *only(ToolCallStart, events)]


def test_a_prompt_that_steers_its_turn_begins_none() -> None:
    """It has the turn's id; the turn ends once."""
    events = read(user("hi"), answer(use(), stop="tool_use"), user("faster", at=3), answer(text("a"), at=4))

    assert [prompt.text for prompt in only(Prompt, events)] == ["hi", "faster"]
    assert len({prompt.key for prompt in only(Prompt, events)}) == 2
    assert [end.outcome for end in only(TurnEnd, events)] == ["completed"]


def test_an_interruption_ends_the_turn() -> None:
    """Esc, or a dialog that was dismissed."""
    events = read(user("hi"), user("[Request interrupted by user]", at=3))

    assert [end.outcome for end in only(TurnEnd, events)] == ["interrupted"]
    assert len(only(Prompt, events)) == 1


def test_a_killed_turn_ends_with_the_next_as_unknown() -> None:
    """With its calls."""
    events = read(user("hi"), answer(use(), stop="tool_use"), user("again", at=9, prompt=SECOND))

    assert [end.outcome for end in only(TurnEnd, events)] == ["unknown"]
    assert [end.outcome for end in only(ToolCallEnd, events)] == ["unknown"]


def test_old_answers_without_a_reason_complete_their_turn() -> None:
    """2.0.77 leaves the reason to stop out of answers with several blocks; the next prompt shows that it was one."""
    events = read(user("hi", prompt=None), answer(text("a"), stop=None), user("again", at=9, prompt=None))

    assert [end.outcome for end in only(TurnEnd, events)] == ["completed"]


def test_an_error_in_place_of_an_answer_fails_the_turn() -> None:
    """Retries before it are errors too, each with its attempt."""
    retry = line("system", 2, subtype="api_error", error=ERROR, retryAttempt=1, maxRetries=3)
    failed = answer(text("API Error"), at=3, isApiErrorMessage=True, apiErrorStatus=529, error="server_error")
    events = read(user("hi"), retry, failed)
    [first, last] = only(ModelError, events)

    assert (first.error_type, first.status, first.attempt, first.retryable) == ("overloaded_error", 529, 1, True)
    assert (last.key, last.error_type, last.retryable) == ((PROMPT,), "server_error", False)
    assert [end.outcome for end in only(TurnEnd, events)] == ["failed"]


def test_a_turn_is_over_but_the_session_works_on_for_an_agent_in_the_background() -> None:
    """The person is not waited for yet."""
    events = read(
        *launching(),
        user("<task-notification><task-id>a1</task-id><status>completed</status></task-notification>", 5, SECOND),
        answer(text("done"), at=6),
    )

    assert [state.state for state in only(SessionState, events)] == ["working", "waiting_input"]
    assert only(SessionState, events)[-1].time.second == 6


# --- sessions and forks ---


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([user("hi")], "startup"),
        ([user("<command-name>/clear</command-name>", prompt=None), user("hi", 2)], "clear"),
        ([line("system", subtype="compact_boundary"), user("hi", 2)], "fork"),
        ([answer(text("a"), requestSessionId=FORK), user("hi", 3)], "fork"),
        ([user("hi", forkedFrom={"sessionId": FORK})], "fork"),
    ],
)
def test_a_transcript_begins_with_the_start_of_its_session(lines: list[bytes], reason: str) -> None:
    """Once, and with what its first line shows."""
    [start] = only(SessionStart, read(*lines))

    assert (start.key, start.reason, start.entrypoint) == ((SESSION,), reason, "cli")


def test_lines_older_than_the_file_are_copies() -> None:
    """A fork begins with its own time; prompts and calls of its parent are facts of the parent's file."""
    own = dumps({"type": "queue-operation", "operation": "enqueue", "timestamp": stamp(50), "sessionId": SESSION})
    events = read(
        own,
        user("of the parent", 1),
        answer(use(), at=2, stop="tool_use"),
        result("ok", at=3),
        line("system", 4, subtype="compact_boundary"),
        user("of the fork", 51),
    )

    assert [prompt.text for prompt in only(Prompt, events)] == ["of the fork"]
    assert not [*only(ToolCallStart, events), *only(Compaction, events)]


def test_a_fork_knows_its_parent() -> None:
    """From the answers that it copied."""
    events = read(answer(text("a"), requestSessionId=FORK), user("new", 5))

    assert only(Prompt, events)[0].session.parent_id == FORK


def test_a_forks_first_line_may_be_its_parents_compaction() -> None:
    """It was told already."""
    assert only(Compaction, read(line("system", subtype="compact_boundary"), user("hi", 2))) == []


def test_a_compaction_is_told_with_its_tokens_and_without_its_summary() -> None:
    """The summary is a line of its own, and never forwarded."""
    made = {"trigger": "manual", "preTokens": 9089, "postTokens": 2670, "durationMs": 94}
    events = read(
        user("hi"),
        line("system", 4, subtype="compact_boundary", compactMetadata=made),
        user("The summary", 5, isCompactSummary=True),
    )
    [compaction] = only(Compaction, events)

    assert (compaction.trigger, compaction.tokens_before, compaction.tokens_after) == ("manual", 9089, 2670)
    assert not any("The summary" in str(event) for event in events)


# --- calls ---


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (result("fine"), "ok"),
        (result("Exit code 3\nno", is_error=True), "error"),
        (result("<tool_use_error>Error: No such tool available: X</tool_use_error>", is_error=True), "rejected"),
        (result("<tool_use_error>InputValidationError: Edit</tool_use_error>", is_error=True), "rejected"),
        (result("<tool_use_error>String not found</tool_use_error>", is_error=True), "error"),
        (result("no", is_error=True, toolDenialKind="user-rejected", toolDenialBeforeRun=True), "denied"),
        (result("no", is_error=True, toolDenialKind="user-rejected"), "cancelled"),
        (result("no", is_error=True, toolDenialKind="interrupted"), "cancelled"),
        (result("no", is_error=True, toolDenialKind="automode-unavailable"), "denied"),
        (result("no", is_error=True, permissionDecision={"decision": "reject"}), "denied"),
        (result("Claude requested permissions to use Bash", is_error=True), "denied"),
        (result("[Request interrupted by user for tool use]", is_error=True), "cancelled"),
    ],
)
def test_a_result_tells_how_the_call_ended(last: bytes, outcome: str) -> None:
    """By its fields in new releases, by its words in old ones."""
    end = ending(last)

    assert (end.outcome, end.ok, end.call_id) == (outcome, outcome == "ok", CALL)


def test_a_call_that_died_with_its_process_did_not_fail() -> None:
    """The totals are written when the process ends; what ends after them was killed."""
    stopped = dumps({"type": "cost-state", "sessionId": SESSION, "modelUsage": {}})

    assert ending(stopped, result("Exit code 137", is_error=True)).outcome == "cancelled"


def test_a_failure_tells_its_exit_code() -> None:
    """As the result's first words."""
    end = ending(result("Exit code 3\nTraceback", is_error=True))

    assert (end.exit_code, end.error, end.output_bytes) == (3, "Exit code 3\nTraceback", 21)


def test_a_duration_is_the_tools_own_or_inferred() -> None:
    """From line to line it includes waiting."""
    inferred, stated = ending(result("ok")), ending(result("ok", toolUseResult={"durationMs": 121}))

    assert (inferred.duration_ms, inferred.duration_inferred) == (1000, True)
    assert (stated.duration_ms, stated.duration_inferred) == (121, False)


def test_what_a_person_decided_is_told() -> None:
    """That the settings allowed a call is no news; every refusal is."""
    by_user = {"decision": "accept", "source": "user_temporary"}
    by_rule = {"decision": "accept", "source": "config", "reasonType": "rule"}
    refused = {"decision": "reject", "source": "config", "reasonType": "rule"}

    def decided(decision: dict[str, str]) -> list[tuple[str, str | None]]:
        lines = user("hi"), answer(use(), stop="tool_use"), result("x", permissionDecision=decision)
        return [(one.decision, one.by) for one in only(Permission, read(*lines))]

    assert [decided(one) for one in (by_user, by_rule, refused)] == [[("allowed", "user")], [], [("denied", "rule")]]


def test_the_result_of_an_agents_call_names_the_agent() -> None:
    """With its type, and its end if it ran in the foreground."""
    done = {"status": "completed", "agentId": "a1", "agentType": "Explore", "prompt": "go", "totalDurationMs": 50}
    events = read(user("hi"), answer(use(tool="Agent", prompt="go"), stop="tool_use"), result("x", toolUseResult=done))

    assert [(one.child, one.agent_type, one.prompt_bytes) for one in only(AgentSpawn, events)] == [("a1", "Explore", 2)]
    assert [(one.child, one.duration_ms) for one in only(AgentEnd, events)] == [("a1", 50)]


def test_a_sub_agents_file_begins_with_its_start() -> None:
    """It has no prompts and no turns of its own."""
    events = read(
        user("go", isSidechain=True, agentId="a1"),
        answer(use(), isSidechain=True, agentId="a1", stop="tool_use"),
        path=AGENT_PATH,
    )

    assert [(one.key, one.session.actor) for one in only(AgentSpawn, events)] == [((SESSION, "a1"), None)]
    assert [one.session.actor for one in only(ToolCallStart, events)] == ["a1"]
    assert not [*only(Prompt, events), *only(TurnStart, events), *only(SessionStart, events)]


def test_agents_that_claude_code_starts_by_itself_are_not_told() -> None:
    """2.0.77 warms up three per process."""
    events = read(user("Warmup", isSidechain=True, agentId="a1", prompt=None), path=AGENT_PATH)

    assert events == []


def test_half_a_call_is_no_call() -> None:
    """A block without id, the same block again, a result of a call that is not open."""
    events = read(
        user("hi"), answer({"type": "tool_use"}, use(), use(), stop="tool_use"), result("x", call="toolu_other")
    )

    assert len(only(ToolCallStart, events)) == 1
    assert only(ToolCallEnd, events) == []


def test_too_many_open_calls_close_the_oldest() -> None:
    """What is remembered stays small."""
    lines = [answer(use(call=f"toolu_{n}"), at=n, stop="tool_use") for n in range(2, 140)]
    ends = only(ToolCallEnd, read(user("hi"), *lines))

    assert [end.outcome for end in ends] == ["unknown"] * (len(lines) - 128)


# --- answers and models ---


def test_answers_are_known_by_message_and_text() -> None:
    """Their lines are copied into forks under other sessions."""
    [response] = only(Response, read(answer(text("a"))))

    assert response.response_id == response.key[0]


def test_a_change_of_model_shows_in_the_next_answer() -> None:
    """Sub-agents use their own and change nothing."""
    events = read(
        answer(text("a")),
        answer(text("b"), at=3, isSidechain=True, message={"id": "m2", "model": "claude-haiku-4-5"}),
        answer(text("c"), at=4, message={"id": "m3", "model": "claude-opus-4-8"}),
    )

    assert [(one.previous_model, one.model) for one in only(ModelChange, events)] == [
        ("claude-sonnet-5", "claude-opus-4-8")
    ]


# --- bad input ---


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"null",
        b'{"type":"user"',
        user("a") + user("b"),
        line("user", message=7),
        dumps({"type": "user", "message": {"content": "no time"}}),
        line("assistant", message={"content": [{"type": 7}]}),
    ],
)
def test_a_broken_line_is_refused(bad: bytes) -> None:
    """It costs itself, and is kept in the dead letters."""
    record_lines = [bad] if bad else [b"{}"]

    with pytest.raises((BadRecord, UnknownRecord)):
        read(*record_lines)


def test_an_unknown_type_is_counted() -> None:
    """So that a new release is noticed."""
    with pytest.raises(UnknownRecord, match="novelty"):
        read(dumps({"type": "novelty", "sessionId": SESSION}))


def test_an_unknown_note_is_counted() -> None:
    """Notes of the system have types too."""
    with pytest.raises(UnknownRecord, match=r"system\.novelty"):
        read(line("system", subtype="novelty"))


def test_unknown_fields_and_shapes_pass() -> None:
    """A tool's result has a shape of its own, and gets new ones."""
    shapes: list[Any] = ["text", 7, None, [1, {"a": 2}], {"durationMs": "soon"}]

    assert [ending(result("ok", toolUseResult=shape, novelty={"a": [1]})).outcome for shape in shapes] == ["ok"] * 5


def test_a_lone_surrogate_costs_nothing() -> None:
    """The agent's language allows it, JSON does not."""
    [prompt] = only(Prompt, read(user("x").replace(b'"x"', rb'"a\ud83d"')))

    assert prompt.text == "a\ufffd"


def test_a_transcript_may_hold_a_hooks_line() -> None:
    """Some writers name their spool after the session."""
    line_of_hook = dumps({"session_id": SESSION, "hook_event_name": "Notification", "message": "m"})
    events = read_lines(ClaudeCode(), user("hi"), line_of_hook, path=Path(f"{SESSION}.jsonl"))

    assert type(events[-1]).__name__ == "Notification"
    assert events[0].time > NOON


def test_a_turn_below_the_first_is_counted_instead() -> None:
    """The schema counts turns from 1; a position that says otherwise tells nothing."""
    below, zero = {"turnIndex": -1}, {"turnIndex": 0}
    events = read(user("a", at=1, turnPosition=below), user("b", at=2, prompt=SECOND, turnPosition=zero))

    assert [event.turn for event in only(TurnStart, events)] == [1, 2]
