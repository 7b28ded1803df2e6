"""What goes wrong with Claude Code's files elsewhere: the contract's list of pitfalls, as far as no other test has one.

- Hooks without a time, layouts, `}{` on a line, arrays, oversized lines, what is no hook, unknown events: test_spools.
- Forks full of old times, copies, unknown types and fields, broken lines, lone surrogates: test_transcripts.
- Placeholders, zeroed copies, side files, equal ids of other backends: test_tokens.
- Cuts at every line, torn lines, both orders of reading, hooks and transcripts as one: test_recordings, test_replay.
- Runs of NUL bytes, half lines, characters cut by a read, files truncated, replaced or deleted while open: tests/tail.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from forwarder import (
    AgentEnd,
    AgentSpawn,
    Prompt,
    Response,
    SessionEnd,
    SessionStart,
    TokenUsage,
    ToolCallEnd,
    ToolCallStart,
    TurnEnd,
    TurnStart,
)

from .lines import (
    CALL,
    NOON,
    SESSION,
    answer,
    hook,
    line,
    merged,
    only,
    read,
    result,
    spooled,
    text,
    tool_hook,
    use,
    user,
)

NOON_NS = int(NOON.timestamp()) * 1_000_000_000
STARTED = hook("SessionStart", None, source="startup")
ASK = hook("UserPromptSubmit", prompt="hi")
TURN = [STARTED, ASK, tool_hook("PreToolUse"), tool_hook("PostToolUse", duration_ms=20), hook("Stop")]
WHOLE = [*TURN, hook("SessionEnd", reason="other")]
AGENT_FILE = Path(f"projects/-home-dev-project/{SESSION}/subagents/agent-a1.jsonl")
NEVER_RAN = "<tool_use_error>Error: No such tool available: X</tool_use_error>"


def at(seconds: float, payload: bytes) -> bytes:
    return b'{"v":1,"ts":%d,"payload":%b}' % (NOON_NS + round(seconds * 1e9), payload)


def test_a_session_kept_in_two_layouts_is_counted_once() -> None:
    """Two writers are registered: one appends bare payloads, the other envelopes to a spool of its own."""
    bare, enveloped = spooled(*WHOLE), spooled(*(at(n, one) for n, one in enumerate(WHOLE)))

    assert len(merged(bare, enveloped)) == len(bare)


def test_hooks_of_the_settings_and_of_a_plugin_count_calls_once() -> None:
    """Every hook runs twice; whatever number a turn states is that of one."""
    twice = [one for each in WHOLE for one in (each, each)]

    assert merged(spooled(*twice)) == spooled(*WHOLE)


def test_calls_that_never_ran_are_counted_once_however_often_their_batch_is_told() -> None:
    """No other hook knows them, so that only their ids tell."""
    call: dict[str, object] = {"tool_name": "X", "tool_use_id": CALL, "tool_response": NEVER_RAN}
    batch = hook("PostToolBatch", tool_calls=[call])
    [end, *_] = only(TurnEnd, spooled(ASK, batch, batch, hook("Stop")))

    assert end.tool_calls == 1


def test_an_end_before_its_start_counts_one_call() -> None:
    """Hooks in the background come in any order."""
    [end] = only(TurnEnd, spooled(ASK, tool_hook("PostToolUse"), tool_hook("PreToolUse"), hook("Stop")))

    assert end.tool_calls == 1


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    """A writer's time is the machine's."""
    [end] = only(TurnEnd, spooled(at(5, ASK), at(3, hook("Stop"))))

    assert end.duration_ms == 0


def test_a_transcripts_clock_that_was_set_back_makes_no_negative_duration() -> None:
    """The same of a call and its turn."""
    events = read(user("hi", at=9), answer(use(), at=8, stop="tool_use"), result("x", at=7), answer(text("a"), at=6))

    assert [one.duration_ms for one in events if isinstance(one, ToolCallEnd | TurnEnd)] == [0, 0]


def test_hooks_and_transcripts_whose_clocks_differ_tell_one_call() -> None:
    """A start is received up to 45 ms after the line of its call, an end up to 3 ms before the line of its result."""
    told = spooled(at(2.045, tool_hook("PreToolUse")), at(2.997, tool_hook("PostToolUse")))
    seen = read(answer(use(), at=2, stop="tool_use"), result("x", at=3))
    calls = [one for one in merged(seen, told) if isinstance(one, ToolCallStart | ToolCallEnd)]

    assert [one.time - NOON for one in calls] == [timedelta(seconds=2), timedelta(seconds=3)]


def test_a_session_whose_transcript_never_appears_is_told_by_its_hooks() -> None:
    """Writing transcripts can be switched off, and a payload names the path all the same."""
    events = spooled(*(at(n, one) for n, one in enumerate(WHOLE)))
    kinds = (SessionStart, TurnStart, Prompt, ToolCallStart, ToolCallEnd, TurnEnd, SessionEnd)

    assert [len(only(kind, events)) for kind in kinds] == [1] * 7


def test_a_session_without_hooks_is_told_by_its_transcript() -> None:
    """All but its end, which no line tells."""
    events = read(user("hi"), answer(use(), stop="tool_use"), result("x"), answer(text("a"), at=4))
    kinds = (SessionStart, TurnStart, Prompt, ToolCallStart, ToolCallEnd, Response, TurnEnd, SessionEnd)

    assert [len(only(kind, events)) for kind in kinds] == [1] * 7 + [0]


def test_an_agents_file_that_appears_late_starts_no_second_agent() -> None:
    """Hooks and the call's result have told of it by then; what it used is told from the file alone."""
    done = {"status": "completed", "agentId": "a1", "agentType": "Explore"}
    main = read(user("hi"), answer(use(tool="Agent"), stop="tool_use"), result("done", toolUseResult=done))
    hooks = [hook(event, agent_id="a1", agent_type="Explore") for event in ("SubagentStart", "SubagentStop")]
    late = read(
        user("look", agentId="a1", isSidechain=True),
        answer(text("seen"), agentId="a1", isSidechain=True),
        path=AGENT_FILE,
    )
    events = merged(spooled(ASK, *hooks), main, late)

    assert [len(only(kind, events)) for kind in (AgentSpawn, AgentEnd, Response)] == [1, 1, 1]


def test_an_agent_that_is_woken_again_is_one_agent() -> None:
    """It starts and stops again under the same id."""
    hooks = [hook(event, agent_id="a1", agent_type="Explore") for event in ("SubagentStart", "SubagentStop")]
    events = merged(spooled(ASK, *hooks, *hooks))

    assert [len(only(kind, events)) for kind in (AgentSpawn, AgentEnd)] == [1, 1]


def test_an_agents_end_may_lack_its_type() -> None:
    """2.0.77 does not repeat it; the start of the same agent has it."""
    spawned = hook("SubagentStart", agent_id="a1", agent_type="Explore")
    [end] = only(AgentEnd, spooled(ASK, spawned, hook("SubagentStop", agent_id="a1")))

    assert end.agent_type == "Explore"


def test_a_transcript_whose_last_line_was_taken_back_adds_nothing_twice() -> None:
    """After a broken stream a line is truncated away in place, and the file is read again from its beginning."""
    kept = [user("hi"), answer(use(), stop="tool_use"), result("x")]
    before = read(*kept, answer(text("half an ans"), at=4, stop=None))
    events = merged(before, read(*kept, answer(text("whole answer"), at=5)))

    assert [len(only(kind, events)) for kind in (Prompt, ToolCallEnd, TokenUsage, TurnEnd)] == [1, 1, 1, 1]


def test_a_line_of_megabytes_is_one_line() -> None:
    """Results hold pictures and whole files."""
    size = 2_000_000
    events = read(user("hi"), answer(use(), stop="tool_use"), result("x" * size))

    assert [end.output_bytes for end in only(ToolCallEnd, events)] == [size]


def test_a_run_of_nul_bytes_in_a_transcript_costs_no_line() -> None:
    """A power cut leaves one where the tail of the file was, and the next process appends behind it."""
    events = read(user("hi"), b"\0" * 4096 + answer(text("a")))

    assert len(only(Response, events)) == 1


def test_a_run_of_nul_bytes_between_two_hooks_costs_neither() -> None:
    """Also where no newline ends the first."""
    events = spooled(ASK + b"\0" * 512 + hook("Stop"))

    assert [len(only(kind, events)) for kind in (Prompt, TurnEnd)] == [1, 1]


def test_unknown_fields_of_a_hook_cost_nothing() -> None:
    """Payloads get new ones with every release."""
    asked = hook("UserPromptSubmit", prompt="hi", scratchpad_dir="/tmp/x", future={"a": [1]})

    assert len(only(Prompt, spooled(asked))) == 1


def test_an_attachment_of_an_unknown_kind_costs_nothing() -> None:
    """Three quarters of a file's bytes are of that type, and it gets new kinds all the time."""
    assert read(user("hi"), line("attachment", 2, attachment={"type": "hologram", "x": 1})) == read(user("hi"))
