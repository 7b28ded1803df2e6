"""Every tool call has one start and one end, with the outcome from whoever knows it best."""

from __future__ import annotations

import pytest

from forwarder import Event, ToolCallEnd, ToolCallStart

from .lines import (
    OK,
    RUNNING,
    SECOND,
    THREAD,
    TURN,
    aborted,
    answer,
    call,
    command,
    complete,
    dumps,
    event,
    item,
    meta,
    only,
    output,
    read,
    response_item,
    script,
    started,
)


def ends(events: list[Event]) -> list[ToolCallEnd]:
    return only(ToolCallEnd, events)


def outcomes(events: list[Event]) -> list[tuple[str, str]]:
    return [(end.call_id, end.outcome) for end in ends(events)]


def test_a_call_starts_with_its_line_and_ends_with_its_output() -> None:
    """Input and output are whole; the engine cuts them."""
    events = read(meta(), started(), call(arguments='{"cmd":"ls ✓"}'), output(OK))

    [start], [end] = only(ToolCallStart, events), ends(events)
    assert (start.input, start.input_bytes, start.tool_kind) == ('{"cmd":"ls ✓"}', 16, "shell")
    assert (end.output, end.output_bytes, end.exit_code, end.ok) == (OK, len(OK), 0, True)
    assert start.key == end.key == (THREAD, TURN, "call_1")


WRAPPED = dumps({"output": 'a "quoted" thing\n', "metadata": {"exit_code": 3, "duration_seconds": 0.4}}).decode()


@pytest.mark.parametrize(
    ("text", "outcome", "code", "duration"),
    [
        (OK, "ok", 0, 1000),
        (OK.replace("code 0", "code 3"), "error", 3, 1000),
        ("Command: /bin/bash -lc 'echo\nWall'\n" + OK, "ok", 0, 1000),
        ("Exit code: 3\nWall time: 0.4 seconds\nOutput:\nno", "error", 3, 400),
        ("Exit code: 0\nWall time: 0 seconds\nOutput:\nSuccess.", "ok", 0, 0),
        (WRAPPED, "error", 3, 400),
        (WRAPPED.replace(":3", ":0"), "ok", 0, 400),
        ("Script completed\nWall time 0.3 seconds\nOutput:\n", "ok", None, 300),
        ("Script failed\nWall time 0.0 seconds\nOutput:\n", "error", None, 0),
        ("Wall time: 0.0043 seconds\nOutput:\nProcess exited with code 3", "unknown", None, 4),
        ("Wall time: 1.7 seconds\naborted by user", "cancelled", None, 1700),
        ("aborted by user after 2.4s", "cancelled", None, None),
        ("unsupported call: nosuchtool", "error", None, None),
        ("failed to parse function arguments: key must be a string", "error", None, None),
        ("apply_patch verification failed: no such file", "error", None, None),
        ("failed in sandbox LinuxSeccomp with execution error", "error", None, None),
        ("exec_command failed: no shell", "error", None, None),
        ("Success. Updated the following files:\nA x", "ok", None, None),
        ("Plan updated", "unknown", None, None),
        ("Exit code: 3 said the log", "unknown", None, None),
        ("", "unknown", None, None),
    ],
)
def test_the_header_of_the_output_says_how_it_went(
    text: str, outcome: str, code: int | None, duration: int | None
) -> None:
    """Each form that some version writes; what says nothing is unknown, not ok."""
    [end] = ends(read(meta(), started(), call(), output(text)))

    assert (end.outcome, end.exit_code, end.duration_ms) == (outcome, code, duration)


def test_the_words_of_a_command_are_not_taken_for_the_header() -> None:
    """A command can print what Codex writes."""
    text = OK.replace("fine", "Exit code: 9\nWall time: 7 seconds\nProcess exited with code 9")

    assert outcomes(read(meta(), started(), call(), output(text))) == [("call_1", "ok")]


def test_an_output_in_parts_is_read_by_its_text() -> None:
    """Code mode and images answer with an array."""
    parts = [
        {"type": "input_text", "text": "Script failed\nWall time 0.1 seconds\nOutput:\n"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        {"type": "input_text", "text": "boom"},
    ]
    [end] = ends(read(meta(), started(), script(), output(parts)))

    assert (end.outcome, end.output) == ("error", "Script failed\nWall time 0.1 seconds\nOutput:\n\nboom")


def test_an_image_alone_has_no_output_text() -> None:
    """Nothing is zero because it was missing."""
    [end] = ends(read(meta(), started(), call("view_image"), output([{"type": "input_image", "image_url": "data:"}])))

    assert (end.output, end.output_bytes, end.outcome) == (None, None, "unknown")


def test_an_output_of_no_call_is_no_end() -> None:
    """Goals answer without a call id, and files can begin behind a call."""
    assert ends(read(meta(), started(), output("ship it", None), output(OK, "call_9"))) == []


def test_a_second_output_or_call_of_the_same_id_adds_nothing() -> None:
    """Exactly one start and one end."""
    events = read(meta(), started(), call(), call(), output(OK), output(OK), call(), output(OK))

    assert len(only(ToolCallStart, events)) == len(ends(events)) == 1


def test_an_id_used_again_in_a_later_turn_is_another_call() -> None:
    """Ids are only unique in a turn, so the turn is part of the key."""
    events = read(meta(), started(), call(), output(OK), complete(), started(SECOND), call(at=102), output(OK, at=103))

    assert [end.key[1] for end in ends(events)] == [TURN, SECOND]


def test_the_item_knows_better_than_the_output() -> None:
    """The text of a failed MCP call does not say that it failed."""
    failed = item(
        "McpToolCall", "call_1", server="demo", tool="boom", status="failed", duration={"secs": 1, "nanos": 5}
    )
    text = "Wall time: 0.0017 seconds\nOutput:\nboom"
    [end] = ends(read(meta(), started(), call("boom", namespace="mcp__demo"), failed, output(text)))

    assert (end.tool, end.tool_kind, end.outcome, end.duration_ms) == ("mcp__demo.boom", "mcp", "error", 1000)


def test_a_user_abort_overrules_the_item() -> None:
    """The killed process fails because the person stopped it."""
    events = read(meta(), started(), call(), command(code=-1), output("Wall time: 1.0 seconds\naborted by user"))

    assert outcomes(events) == [("call_1", "cancelled")]


def test_a_declined_command_was_denied() -> None:
    """Nobody ran it."""
    events = read(meta(), started(), call(), command(status="declined", exit_code=None), output("rejected"))

    assert outcomes(events) == [("call_1", "denied")]


@pytest.mark.parametrize(("success", "outcome"), [(True, "ok"), (False, "error")])
def test_legacy_events_tell_the_outcome_of_a_patch(success: bool, outcome: str) -> None:
    """0.133 to 0.147, and legacy files of today."""
    end = event("patch_apply_end", call_id="call_1", success=success, changes={})

    assert outcomes(read(meta(), started(), call("apply_patch"), end, output("?"))) == [("call_1", outcome)]


@pytest.mark.parametrize(
    ("result", "outcome", "error"),
    [
        ({"Ok": {"content": []}}, "ok", None),
        ({"Ok": {"content": [], "isError": True}}, "error", None),
        ({"Err": "no server"}, "error", "no server"),
    ],
)
def test_legacy_events_tell_the_outcome_of_an_mcp_call(result: object, outcome: str, error: str | None) -> None:
    """Before 0.148 the event in front of the output is the only place that says so."""
    told = event("mcp_tool_call_end", call_id="call_1", duration={"secs": 0, "nanos": 7_000_000}, result=result)
    [end] = ends(read(meta(), started(), call("demo__lookup"), told, output("Wall time: 1 seconds\nOutput:\n")))

    assert (end.tool_kind, end.outcome, end.error, end.duration_ms) == ("mcp", outcome, error, 7)


def test_a_running_command_ends_with_its_item() -> None:
    """Its first output says only that it goes on."""
    lines = [call(), output(RUNNING), answer("wait"), command(at=5, code=5, seconds=2.9), complete()]
    [end] = ends(read(meta(), started(), *lines))

    assert (end.outcome, end.exit_code, end.duration_ms, end.duration_inferred) == ("error", 5, 3000, True)


def test_a_running_command_ends_with_what_write_stdin_reports() -> None:
    """Before items existed the exit code came on the later call."""
    stdin = call("write_stdin", "call_2", arguments='{"session_id": 77, "chars": "x"}')
    events = read(meta(), started(), call(), output(RUNNING), stdin, output(OK.replace("code 0", "code 4"), "call_2"))

    assert [(end.call_id, end.exit_code) for end in ends(events)] == [("call_2", 4), ("call_1", 4)]


def test_waiting_for_a_running_command_is_a_call_that_ended() -> None:
    """write_stdin returns although the process goes on; how it went is unknown."""
    stdin = call("write_stdin", "call_2", arguments='{"session_id": 77}')

    assert outcomes(read(meta(), started(), call(), output(RUNNING), stdin, output(RUNNING, "call_2"))) == [
        ("call_2", "unknown")
    ]


@pytest.mark.parametrize("last", [complete(), aborted(), started(SECOND)])
def test_a_call_that_never_ends_is_closed_with_its_turn(last: bytes) -> None:
    """Process died, turn aborted, session still running: nobody knows how it went."""
    assert outcomes(read(meta(), started(), call(), last)) == [("call_1", "unknown")]


def test_an_item_behind_the_closed_call_adds_nothing() -> None:
    """Background processes are killed after the turn; it is no call of a script."""
    events = read(meta(), started(), call(), output(RUNNING), aborted(), command(at=10, code=-1))

    assert outcomes(events) == [("call_1", "unknown")]


def test_the_stated_time_is_taken_where_calls_ran_side_by_side() -> None:
    """Their output lines are all written at the end of the slowest."""
    lines = [call(), call(call_id="call_2"), output(OK, at=30), output(OK, "call_2", at=30)]

    assert [(e.duration_ms, e.duration_inferred) for e in ends(read(meta(), started(), *lines))] == [(854, False)] * 2


def test_too_many_open_calls_close_the_oldest() -> None:
    """The state is saved with every commit, so it stays small."""
    calls = [call(call_id=f"call_{n}") for n in range(130)]

    assert outcomes(read(meta(), started(), *calls)) == [("call_0", "unknown"), ("call_1", "unknown")]


def test_a_web_search_starts_and_ends_at_once() -> None:
    """It is complete when written, and its item says nothing new."""
    search = response_item("web_search_call", id="ws_1", status="completed", action={"type": "search", "query": "x"})
    events = read(meta(), started(), item("WebSearch", "ws_1", query="x"), search)

    assert outcomes(events) == [("ws_1", "ok")]
    assert only(ToolCallStart, events)[0].input == '{"type":"search","query":"x"}'


def test_a_web_search_without_id_is_named_by_its_place() -> None:
    """Ids came with 0.140; two searches of one turn are two calls."""
    search = response_item("web_search_call", status="completed", action={"type": "search"})

    assert len({end.call_id for end in ends(read(meta(), started(), search, search))}) == 2


def test_a_local_shell_call_is_a_shell_call() -> None:
    """Its output is a function_call_output."""
    shell = response_item("local_shell_call", call_id="call_1", status="completed", action={"command": ["ls"]})
    [end] = ends(read(meta(), started(), shell, output("Exit code: 0\nWall time: 1 seconds\nOutput:\n")))

    assert (end.tool, end.tool_kind, end.outcome) == ("local_shell", "shell", "ok")


@pytest.mark.parametrize(
    ("name", "namespace", "tool", "kind", "server"),
    [
        ("apply_patch", None, "apply_patch", "edit", None),
        ("update_plan", None, "update_plan", "plan", None),
        ("spawn_agent", "collaboration", "collaboration.spawn_agent", "agent", None),
        ("wait", "multi_agent_v1", "multi_agent_v1.wait", "agent", None),
        ("lookup", "mcp__demo", "mcp__demo.lookup", "mcp", "demo"),
        ("mcp__demo__lookup", None, "mcp__demo__lookup", "mcp", "demo"),
        ("demo__lookup", None, "demo__lookup", "mcp", "demo"),
        ("view_image", None, "view_image", "read", None),
        ("brand_new", None, "brand_new", "other", None),
        ("brand_new", "space", "space.brand_new", "other", None),
    ],
)
def test_names_tell_the_kind_of_tool(
    name: str, namespace: str | None, tool: str, kind: str, server: str | None
) -> None:
    """The name is the agent's own, with its namespace in front."""
    [start] = only(ToolCallStart, read(meta(), started(), call(name, namespace=namespace)))

    assert (start.tool, start.tool_kind, start.mcp_server) == (tool, kind, server)


def test_the_extended_mode_tells_how_a_command_ended() -> None:
    """Only early 2026 could store it; it ends a command that ran on, and enriches the output of another."""
    end = event("exec_command_end", call_id="call_1", exit_code=2, duration={"secs": 1, "nanos": 0})

    assert outcomes(read(meta(), started(), call(), output(RUNNING), end)) == [("call_1", "error")]
    assert outcomes(read(meta(), started(), call(), end, output("?"))) == [("call_1", "error")]


@pytest.mark.parametrize("kind", ["patch_apply_end", "mcp_tool_call_end", "exec_command_end"])
def test_an_end_event_of_no_call_adds_nothing(kind: str) -> None:
    """Its call stands in a part of the thread that this file does not hold."""
    assert ends(read(meta(), started(), event(kind, call_id="call_9"), complete())) == []


def test_an_end_event_that_says_nothing_changes_nothing() -> None:
    """The output decides then."""
    silent = [event(kind, call_id="call_1") for kind in ("patch_apply_end", "mcp_tool_call_end", "exec_command_end")]

    assert outcomes(read(meta(), started(), call(), *silent, output(OK))) == [("call_1", "ok")]


def test_a_shell_call_without_an_id_is_no_call() -> None:
    """Nothing could ever end it."""
    assert only(ToolCallStart, read(meta(), started(), response_item("local_shell_call", action={}))) == []


def test_a_web_search_written_twice_is_one() -> None:
    """Its id says so."""
    search = response_item("web_search_call", id="ws_1", status="failed", action=None)

    assert outcomes(read(meta(), started(), search, search)) == [("ws_1", "error")]


@pytest.mark.parametrize("metadata", ['{"duration_seconds":0.4}', '{"exit_code":"none"}'])
def test_wrapped_output_without_an_exit_code_is_unknown(metadata: str) -> None:
    """The wrapper is Codex's own; what it leaves out is not guessed."""
    text = '{"output":"x","metadata":' + metadata + "}"

    assert outcomes(read(meta(), started(), call(), output(text))) == [("call_1", "unknown")]


def test_write_stdin_to_a_process_that_nobody_started_ends_only_itself() -> None:
    """Its command was started in a part of the thread that this file does not hold."""
    stdin = call("write_stdin", "call_2", arguments='{"session_id": 5}')
    events = read(meta(), started(), call(), output(RUNNING), stdin, output(OK, "call_2"))

    assert outcomes(events) == [("call_2", "ok")]


def test_an_item_without_a_duration_leaves_the_stated_one() -> None:
    """The output's header has one too."""
    [end] = ends(read(meta(), started(), call(), command(duration=None), output(OK)))

    assert end.duration_ms == 1000
