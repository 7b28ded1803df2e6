"""Spools in every layout give the same facts, and what hooks alone know is told once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from forwarder_claude_code import ClaudeCode
from msgspec.structs import replace

from forwarder import (
    AgentEnd,
    AgentSpawn,
    BadRecord,
    Event,
    Gap,
    Key,
    ModelError,
    Notification,
    Permission,
    Prompt,
    Record,
    RecordTooLong,
    SessionEnd,
    SessionStart,
    SessionState,
    ToolCallEnd,
    ToolCallStart,
    TurnEnd,
    TurnStart,
    UnknownRecord,
)

from .lines import CALL, NOON, PROMPT, SECOND, SESSION, dumps, hook, only, payload, spooled, tool_hook

NOON_NS = int(NOON.timestamp()) * 1_000_000_000
ASK = hook("UserPromptSubmit", prompt="hi")
STOP = hook("Stop", stop_hook_active=False, background_tasks=[])
NOTE = hook("Notification", message="Claude needs you", notification_type="permission_prompt")


def whole(content: bytes, name: str = "spool/d/hook.json") -> list[Event]:
    source = ClaudeCode()
    return list(source.map(Record(content, 0, len(content), b""), source.new_state(Path(name))))


def timeless(events: Iterable[Event]) -> list[Event]:
    return [replace(event, time=NOON, time_inferred=False) for event in events]


def keys(events: Iterable[Event]) -> list[tuple[type[Event], Key]]:
    return [(type(event), event.key) for event in events]


# --- layouts ---


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"v":1,"ts":%d,"pid":7,"host":"h","payload":%b}' % (NOON_NS, ASK)],
        [b'{"spool_v":1,"received_ns":%d,"pid":7,"payload":%b}' % (NOON_NS, ASK)],
        [b"%d %b" % (NOON_NS // 1_000_000, ASK)],
        [b"%d.5\t%b" % (NOON_NS // 1_000_000_000, ASK)],
        [b"[%b]" % ASK],
    ],
    ids=["envelope", "recorded envelope", "milliseconds", "seconds", "array"],
)
def test_a_layout_changes_no_fact(lines: list[bytes]) -> None:
    """Only whether the time is known."""
    events, bare = spooled(*lines), spooled(ASK)

    assert timeless(events) == timeless(bare)
    assert all(event.time_inferred for event in bare)


def test_an_envelope_tells_the_time() -> None:
    """To the millisecond; what has no time gets the file's, and says so."""
    stamped = spooled(b'{"v":1,"ts":%d,"payload":%b}' % (NOON_NS, ASK), b"%d %b" % (NOON_NS // 1000, STOP))

    assert {(event.time, event.time_inferred) for event in stamped} == {(NOON, False)}


def test_several_objects_on_one_line_are_several_hooks() -> None:
    """Old releases end the payload without a newline, and `cat` adds none."""
    envelope = b'{"v":1,"ts":%d,"payload":%b}' % (NOON_NS, STOP)
    welded = [
        ASK + STOP,
        ASK + b" " + STOP,
        ASK + bytes(8) + STOP,
        ASK + envelope,
        b"%d %b%d %b" % (10**12, ASK, 10**12, STOP),
    ]

    assert {tuple(keys(spooled(one))) for one in welded} == {tuple(keys(spooled(ASK, STOP)))}


def test_one_file_for_each_event_has_its_time_in_its_name() -> None:
    """A start cannot be told from that of a process which only initialises: the first prompt tells it."""
    name = f"spool/d/{NOON_NS}-30.json"
    start, prompt = whole(hook("SessionStart", None, source="startup") + b"\n", name), whole(ASK, name)

    assert only(SessionStart, start) == []
    assert [(one.reason, one.time, one.time_inferred) for one in only(SessionStart, prompt)] == [
        ("startup", NOON, False)
    ]


def test_an_array_is_read_anew_each_time() -> None:
    """What was in it before has the keys that it had."""
    source = ClaudeCode()
    state = source.new_state(Path("logs/s/notification.json"))
    other = hook("Notification", message="idle", notification_type="idle_prompt")
    contents = [b"[%b]" % NOTE, b"[%b,\n %b]" % (NOTE, other), b"[%b,%b]" % (NOTE, other)]
    read = [[one.key for one in source.map(Record(text, 0, len(text), b""), state)] for text in contents]

    assert read[1] == read[2]
    assert read[1][: len(read[0])] == read[0]


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        (f"{SESSION}.jsonl", True),
        (f"{SESSION}/subagents/agent-ab7e336f2c2ef1ad0.jsonl", True),
        (f"{SESSION}/subagents/agent-ab7e336f2c2ef1ad0.meta.json", False),
        (f"{SESSION}/tool-results/b713emie1.txt", False),
        (f"-home-dev-project/{SESSION}/side/question.jsonl", True),
        ("spool/hooks.jsonl", True),
        ("spool/hooks.1795222752851689805.jsonl", True),
        ("spool/envelope.jsonl", True),
        ("spool/d/1795222752851689805-30.json", True),
        ("logs/s/pre_tool_use.json", True),
        ("rollout-2026-11-21T01-12-22-01a1fba9-5a25-7c72-b44a-a31862805cd4.jsonl", False),
        ("--home-dev-project--/2026-11-21T00-48-27-616Z_aa1651bc-5c66-4c6e-9123-ffa5b223ea14.jsonl", False),
        ("settings.json", False),
    ],
)
def test_files_are_recognised_by_their_names(name: str, is_ours: bool) -> None:
    """Wherever they lie; those of other agents are left alone."""
    assert ClaudeCode().recognises(Path(name)) is is_ours


def test_hooks_are_read_before_transcripts() -> None:
    """They know durations, and the first record of a fact decides."""
    source = ClaudeCode()

    assert source.rank(Path("spool/hooks.jsonl")) < source.rank(Path(f"{SESSION}.jsonl"))


def test_every_home_is_looked_at() -> None:
    """A person may have several, and spools may lie anywhere."""
    source = ClaudeCode(home=["/a/", "/b"], spools=["/var/spool/claude/*.jsonl"])

    assert {"/a/projects/**/*.jsonl", "/b/projects/**/*.jsonl", "/b/forwarder/**/*.json"} < set(source.patterns())
    assert "/var/spool/claude/*.jsonl" in source.patterns()


# --- sessions ---


@pytest.mark.parametrize(
    ("path", "is_emptied"),
    [
        ("/a/forwarder/hooks.jsonl", True),
        ("~/b/forwarder/hooks.1767225600000000000.jsonl", True),
        ("/a/forwarder/hooks/1767225600000000000-71.json", True),
        ("/a/forwarder/hooks/.1767225600000000000-71", False),
        ("/a/forwarder/hooks/1767225600000000000-71.json.bak", False),
        ("/a/forwarder/hooks/notes.json", False),
        ("/a/forwarder/other.jsonl", False),
        ("/a/forwarder/hooks.2.jsonl", False),
        ("/a/forwarder/deeper/hooks.jsonl", False),
        ("/a/projects/-x/forwarder/hooks.jsonl", False),
        ("/elsewhere/forwarder/hooks.jsonl", False),
        ("/users/ann/forwarder/hooks.jsonl", False),
        ("/a/projects/-x/8f5d26b9-a81e-430b-8440-71535f771b68.jsonl", False),
    ],
)
def test_only_what_our_own_script_wrote_is_emptied(path: str, is_emptied: bool) -> None:
    """Whatever another writer keeps for itself, and every transcript, stays for ever."""
    source = ClaudeCode(home=["/a/", "~/b", "/users/*"], spools=["/elsewhere/forwarder/hooks.jsonl"])

    assert source.is_spool(Path(path).expanduser()) is is_emptied


def test_what_a_writer_dropped_is_told_when_its_count_grows() -> None:
    """By how much, once each; a count that somebody has removed begins anew."""
    source, path = ClaudeCode(), Path("/a/forwarder/dropped")
    state = source.new_state(path)
    told = [
        event
        for size in (2, 2, 5, 1)
        for event in source.map(Record(b"." * size, 0, size, b"", time=NOON + timedelta(seconds=size)), state)
    ]

    assert source.is_whole(path)
    assert [(one.count, one.time) for one in only(Gap, told)] == [
        (2, NOON + timedelta(seconds=2)),
        (3, NOON + timedelta(seconds=5)),
        (1, NOON + timedelta(seconds=1)),
    ]
    assert len({one.key for one in told}) == 3


def test_a_session_starts_with_its_first_prompt() -> None:
    """At the time of its start; interactive ones name the model then."""
    lines = [b'{"v":1,"ts":%d,"payload":%b}' % (NOON_NS, hook("SessionStart", None, source="startup", model="m")), ASK]
    [start] = only(SessionStart, spooled(*lines))

    assert (start.key, start.time, start.reason, start.model) == ((SESSION,), NOON, "startup", "m")


def test_a_process_of_which_nothing_is_asked_starts_no_session() -> None:
    """`--init-only` leaves no transcript either."""
    lines = [
        hook("Setup", None, trigger="init"),
        hook("SessionStart", None, source="startup"),
        hook("SessionEnd", None),
    ]

    assert not [*only(SessionStart, spooled(*lines)), *only(SessionEnd, spooled(*lines))]


def test_each_process_that_resumes_is_told() -> None:
    """On the same session; a compaction starts nothing."""
    resume = hook("SessionStart", None, source="resume", context_tokens=9)
    events = spooled(resume, ASK, hook("SessionEnd", reason="other"), resume, hook("SessionStart", source="compact"))

    assert [start.reason for start in only(SessionStart, events)] == ["resume", "resume"]
    assert len({start.key for start in only(SessionStart, events)}) == 2


def test_the_same_hook_registered_twice_is_told_once() -> None:
    """In the settings and by a plugin."""
    resume = hook("SessionStart", None, source="resume")
    events = spooled(
        resume, resume, ASK, ASK, NOTE, NOTE, hook("SessionEnd", reason="clear"), hook("SessionEnd", reason="clear")
    )

    counts = [len({one.key for one in only(kind, events)}) for kind in (SessionStart, Prompt, Notification, SessionEnd)]
    assert counts == [1, 1, 1, 1]


def test_the_same_notice_later_is_another() -> None:
    """Between them something happened."""
    assert len({one.key for one in only(Notification, spooled(NOTE, tool_hook("PreToolUse"), NOTE))}) == 2


@pytest.mark.parametrize(
    ("reason", "told"), [("prompt_input_exit", "exit"), ("clear", "clear"), ("logout", "logout"), ("novel", "other")]
)
def test_an_end_has_a_reason(reason: str, told: str) -> None:
    """In the common words."""
    assert [end.reason for end in only(SessionEnd, spooled(hook("SessionEnd", reason=reason)))] == [told]


# --- turns and calls ---


def test_hooks_tell_a_turn() -> None:
    """With the calls of the main thread, and the time between if the writer noted it."""
    lines = [
        hook("SessionStart", None, source="startup", model="m"),
        b'{"v":1,"ts":%d,"payload":%b}' % (NOON_NS, ASK),
        tool_hook("PreToolUse"),
        tool_hook("PreToolUse", "toolu_2", agent_id="a1", agent_type="Explore"),
        b'{"v":1,"ts":%d,"payload":%b}' % (NOON_NS + 5_000_000_000, STOP),
    ]
    events = spooled(*lines)
    [start], [end] = only(TurnStart, events), only(TurnEnd, events)

    assert (start.key, start.trigger) == ((PROMPT,), "human")
    assert (end.key, end.outcome, end.tool_calls, end.duration_ms) == ((PROMPT,), "completed", 1, 5000)


def test_a_prompt_within_a_turn_is_left_to_the_transcript() -> None:
    """It may steer the turn, under an id that only the transcript knows; after the turn's end the next one counts."""
    steering, later = (
        hook("UserPromptSubmit", SECOND, prompt="faster"),
        hook("UserPromptSubmit", SECOND, prompt="and now"),
    )
    events = spooled(ASK, steering, STOP, later)

    assert [prompt.text for prompt in only(Prompt, events)] == ["hi", "and now"]


def test_hooks_in_the_background_come_in_any_order() -> None:
    """The start after the prompt, the end of a call before its start."""
    start = hook("SessionStart", None, source="startup")
    events = spooled(
        ASK, start, tool_hook("PostToolUse"), tool_hook("PreToolUse"), hook("SessionEnd", reason="other"), STOP
    )
    counts = [
        len({one.key for one in only(kind, events)}) for kind in (SessionStart, SessionEnd, ToolCallStart, TurnEnd)
    ]

    assert counts == [1, 1, 1, 1]


def test_a_turn_that_began_elsewhere_is_left_to_the_transcript() -> None:
    """Its calls were not counted here; nothing is 0 because it was missing."""
    assert not [*only(TurnEnd, spooled(STOP)), *only(TurnStart, spooled(ASK))]


def test_releases_without_prompt_ids_leave_turns_to_the_transcript() -> None:
    """Before 2.1.196 nothing in a hook says which prompt it belongs to."""
    events = spooled(hook("UserPromptSubmit", None, prompt="hi"), hook("Stop", None), tool_hook("PreToolUse", None))

    assert events == []


def test_a_failed_turn_tells_why() -> None:
    """The same error as the transcript's."""
    events = spooled(ASK, hook("StopFailure", error="server_error", last_assistant_message="API Error: 529"))

    assert [(one.key, one.error_type) for one in only(ModelError, events)] == [((PROMPT,), "server_error")]
    assert [one.outcome for one in only(TurnEnd, events)] == ["failed"]


def test_a_task_notification_is_no_prompt() -> None:
    """Claude Code submits it as if it had been typed."""
    events = spooled(hook("UserPromptSubmit", prompt="<task-notification>..."))

    assert only(Prompt, events) == []
    assert [one.trigger for one in only(TurnStart, events)] == ["machine"]


def test_sessions_side_by_side_keep_their_calls() -> None:
    """A hook belongs to the session that it names, whichever was heard of last."""
    one, other = {"session_id": "one"}, {"session_id": "other"}
    starts = [hook("SessionStart", source="startup", **each) for each in (one, other)]
    begun = [tool_hook("PreToolUse", f"call of {name}", session_id=name) for name in ("one", "other")]
    done = [tool_hook("PostToolUse", f"call of {name}", session_id=name, tool_response={}) for name in ("one", "other")]
    ends = only(ToolCallEnd, spooled(*starts, *begun, *done))

    assert [(end.call_id, end.session.id) for end in ends] == [("call of one", "one"), ("call of other", "other")]


def test_a_hook_knows_how_long_a_call_took() -> None:
    """Without the wait for a permission."""
    done = tool_hook("PostToolUse", tool_response={"stdout": "a", "stderr": "b"}, duration_ms=20)
    [end] = only(ToolCallEnd, spooled(tool_hook("PreToolUse"), done))

    assert (end.key, end.outcome, end.duration_ms, end.output) == ((CALL,), "ok", 20, "a\nb")


@pytest.mark.parametrize(
    ("event", "fields", "outcome"),
    [
        ("PostToolUseFailure", {"error": "Exit code 4\nno", "is_interrupt": False}, "error"),
        ("PostToolUseFailure", {"error": "no", "is_interrupt": True}, "cancelled"),
        ("PostToolUse", {"tool_response": {"stdout": "", "interrupted": True}}, "cancelled"),
        ("PermissionDenied", {"reason": "Classifier unavailable"}, "denied"),
    ],
)
def test_a_call_may_end_badly(event: str, fields: dict[str, object], outcome: str) -> None:
    """Each way has an outcome of its own."""
    [end] = only(ToolCallEnd, spooled(tool_hook("PreToolUse"), tool_hook(event, CALL, **fields)))

    assert end.outcome == outcome


def test_an_end_without_a_start_tells_both() -> None:
    """Hooks run side by side, and some writers lose lines."""
    events = spooled(tool_hook("PostToolUse"), tool_hook("PreToolUse"))

    assert [type(event) for event in events[:2]] == [ToolCallStart, ToolCallEnd]
    assert {event.key for event in events} == {(CALL,)}


def test_a_call_that_never_ran_is_told_by_its_batch() -> None:
    """No other hook knows of it."""
    error = "<tool_use_error>Error: No such tool available: X</tool_use_error>"
    call: dict[str, object] = {"tool_name": "X", "tool_input": {}, "tool_use_id": CALL, "tool_response": error}
    fine: dict[str, object] = {"tool_name": "Bash", "tool_input": {}, "tool_use_id": "toolu_2", "tool_response": "ok"}
    events = spooled(hook("PostToolBatch", tool_calls=[call, fine]))

    assert [(type(one), one.key) for one in events] == [(ToolCallStart, (CALL,)), (ToolCallEnd, (CALL,))]
    assert only(ToolCallEnd, events)[0].outcome == "rejected"


def test_a_request_for_permission_finds_its_call() -> None:
    """It has no id: tool and input tell."""
    events = spooled(ASK, tool_hook("PreToolUse"), tool_hook("PermissionRequest", None), tool_hook("PostToolUse"))

    assert [(one.call_id, one.decision) for one in only(Permission, events)] == [(CALL, "asked")]
    assert [one.state for one in only(SessionState, events)] == ["working", "waiting_permission", "working"]


def states(*lines: bytes) -> list[str]:
    return [one.state for one in only(SessionState, spooled(*lines))]


def test_two_equal_calls_are_asked_about_one_by_one() -> None:
    """Each request finds a call of its own."""
    pair = [tool_hook("PreToolUse", "toolu_1"), tool_hook("PreToolUse", "toolu_2")]
    asked = tool_hook("PermissionRequest", None)
    between = tool_hook("PreToolUse", "toolu_3", tool_input={"command": "x"})
    events = spooled(ASK, *pair, asked, between, asked)

    assert [one.call_id for one in only(Permission, events)] == ["toolu_2", "toolu_1"]


def test_while_a_dialog_is_open_the_end_of_another_call_changes_nothing() -> None:
    """Parallel calls go on; the person is still asked."""
    other = [tool_hook(event, "toolu_2", tool_input={"command": "x"}) for event in ("PreToolUse", "PostToolUse")]
    asking = [ASK, tool_hook("PreToolUse"), other[0], tool_hook("PermissionRequest", None), other[1]]

    assert states(*asking) == ["working", "waiting_permission"]
    assert states(*asking, tool_hook("PostToolUse")) == ["working", "waiting_permission", "working"]


def test_an_agents_dialog_makes_the_session_wait() -> None:
    """The person is asked all the same; the state is the session's and not the agent's."""
    lines = [
        tool_hook(event, call, agent_id="a1")
        for event, call in (("PreToolUse", CALL), ("PermissionRequest", None), ("PostToolUse", CALL))
    ]

    assert states(ASK, *lines) == ["working", "waiting_permission", "working"]
    assert {one.session.actor for one in only(SessionState, spooled(ASK, *lines))} == {None}


def test_a_refusal_where_nobody_sits_lets_the_session_go_on() -> None:
    """Without a terminal the request is answered at once; only the batch tells."""
    refused = "Claude requested permissions to use Bash, but you haven't granted it yet."
    call: dict[str, object] = {"tool_name": "Bash", "tool_use_id": CALL, "tool_response": refused}
    lines = [tool_hook("PreToolUse"), tool_hook("PermissionRequest", None), hook("PostToolBatch", tool_calls=[call])]

    assert states(ASK, *lines) == ["working", "waiting_permission", "working"]


def test_a_prompt_behind_a_dismissed_dialog_shows_that_the_session_works() -> None:
    """Esc fires no hook: neither an end of the call nor a Stop. The dialog is not waited for in later turns either."""
    dismissed = [ASK, tool_hook("PreToolUse"), tool_hook("PermissionRequest", None)]
    later = hook("UserPromptSubmit", SECOND, prompt="rather this")
    again = [
        tool_hook("PreToolUse", "toolu_2", tool_input={"command": "x"}),
        tool_hook("PermissionRequest", None, tool_input={"command": "x"}),
        tool_hook("PostToolUse", "toolu_2", tool_input={"command": "x"}),
    ]

    assert states(*dismissed, later, *again) == ["working", "waiting_permission"] * 2 + ["working"]


def test_a_turn_that_a_hook_keeps_going_works_until_it_stops_again() -> None:
    """A Stop hook can refuse the stop: the same turn goes on, and the second wait is a fact of its own."""
    on = [tool_hook("PreToolUse"), tool_hook("PostToolUse"), hook("Stop", stop_hook_active=True)]
    told = only(SessionState, spooled(ASK, STOP, *on))

    assert [one.state for one in told] == ["working", "waiting_input", "working", "waiting_input"]
    assert len({one.key for one in told}) == 4


# --- agents and states ---


def test_agents_start_and_end_once() -> None:
    """Also with the call's own answer."""
    answer = {"status": "completed", "agentId": "a1", "agentType": "Explore"}
    events = spooled(
        tool_hook("PreToolUse", tool_name="Agent"),
        hook("SubagentStart", agent_id="a1", agent_type="Explore"),
        hook("SubagentStop", agent_id="a1", agent_type="Explore"),
        tool_hook("PostToolUse", tool_name="Agent", tool_response=answer),
    )

    assert [one.child for one in only(AgentSpawn, events)] == ["a1"]
    assert [one.child for one in only(AgentEnd, events)] == ["a1"]


def test_an_agent_whose_hooks_were_lost_is_told_by_its_call() -> None:
    """Other calls and answers without an agent tell nothing."""
    answer = {"status": "completed", "agentId": "a1", "agentType": "Explore"}
    calls = [
        tool_hook("PostToolUse", f"toolu_{n}", tool_name="Agent", tool_response=one)
        for n, one in enumerate([answer, {}])
    ]

    assert [one.child for one in only(AgentSpawn, spooled(*calls))] == ["a1"]


def test_a_compaction_stops_no_agent() -> None:
    """It fires the hook with an empty type."""
    assert spooled(hook("SubagentStop", agent_id="a1", agent_type="")) == []


def test_agents_that_no_call_asked_for_are_not_told() -> None:
    """2.0.77 warms up three per process, and does not name the type at their end."""
    events = spooled(
        hook("SubagentStart", None, agent_id="a1", agent_type="Plan"), hook("SubagentStop", None, agent_id="a1")
    )

    assert events == []


def test_states_are_told_when_they_change() -> None:
    """Who waits for whom."""
    question = hook("Elicitation", mcp_server_name="notes")
    events = spooled(
        hook("SessionStart", None, source="startup"),
        ASK,
        tool_hook("PreToolUse"),
        question,
        hook("ElicitationResult", action="accept"),
        tool_hook("PostToolUse"),
        STOP,
        hook("Notification", message="waiting", notification_type="idle_prompt"),
        hook("SessionEnd", reason="other"),
    )
    states = only(SessionState, events)

    assert [one.state for one in states] == [
        "waiting_input",
        "working",
        "waiting_input",
        "working",
        "waiting_input",
        "idle",
        "ended",
    ]
    assert [one.previous for one in states[1:]] == [one.state for one in states[:-1]]


def test_a_session_with_work_in_the_background_is_busy() -> None:
    """Its turn is over all the same."""
    busy = hook("Stop", background_tasks=[{"id": "a1"}])
    events = spooled(ASK, busy)

    assert [one.state for one in only(SessionState, events)] == ["working"]
    assert len(only(TurnEnd, events)) == 1


# --- bad input ---


@pytest.mark.parametrize(
    "bad",
    [b"{}", b"7", b'{"a":1}{"b":2}', ASK[:-4], ASK[:-4] + STOP, b"12 {", b"[1]", b'{"v":1,"ts":-1e30,"payload":{}}'],
)
def test_what_is_no_hook_is_refused(bad: bytes) -> None:
    """Kept in the dead letters with its place."""
    with pytest.raises(BadRecord):
        spooled(bad)


def test_an_unknown_event_is_counted() -> None:
    """Alone it is reported; among others it costs only itself."""
    novel = hook("Novelty")

    with pytest.raises(UnknownRecord, match=r"hook\.Novelty"):
        spooled(novel)
    assert timeless(spooled(novel + ASK)) == timeless(spooled(ASK))


def test_content_is_not_told() -> None:
    """Displayed text, summaries, instructions: events without a fact to count."""
    quiet = [
        hook("MessageDisplay", delta="secret"),
        hook("PostCompact", trigger="auto", compact_summary="secret"),
        hook("InstructionsLoaded", file_path="/secret"),
        b'{"v":1,"ts":1,"payload":null}',
    ]

    assert spooled(*quiet) == []


def test_an_oversized_payload_is_a_gap() -> None:
    """Of a line beyond the limit only its head is there."""
    source = ClaudeCode()
    head = Record(ASK[:20], 0, 1 << 30, b"", is_whole=False)

    with pytest.raises(RecordTooLong):
        list(source.map(head, source.new_state(Path("spool/hooks.jsonl"))))


def test_many_sessions_in_one_spool_stay_small() -> None:
    """What is remembered of old ones is dropped; their facts have keys that need no memory."""
    source = ClaudeCode()
    state = source.new_state(Path("spool/hooks.jsonl"))
    for number in range(200):
        text = dumps(payload("UserPromptSubmit", SECOND, prompt="hi") | {"session_id": f"s{number}"})
        list(source.map(Record(text, number, len(text), b""), state))

    assert len(state.live) == 64
