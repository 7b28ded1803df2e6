"""Items without a call line: what code-mode scripts and people ran."""

from __future__ import annotations

import pytest

from forwarder import Event, ToolCallEnd, ToolCallStart, TurnEnd, UserCommand

from .lines import (
    RUNNING,
    call,
    command,
    complete,
    item,
    meta,
    ms,
    only,
    output,
    read,
    script,
    started,
)


def ends(events: list[Event]) -> list[ToolCallEnd]:
    return only(ToolCallEnd, events)


def outcomes(events: list[Event]) -> list[tuple[str, str]]:
    return [(end.call_id, end.outcome) for end in ends(events)]


def test_what_a_script_ran_are_calls_inside_it() -> None:
    """Without the items every code-mode session looks like exec, exec, exec."""
    patch = item("FileChange", "exec-2", at=4, changes={"/x": {"type": "add"}}, status="completed", stdout="Success.")
    mcp = item("McpToolCall", "exec-3", at=5, server="demo", tool="boom", arguments={"q": 1}, status="failed")
    lines = [script(), command("exec-1", at=3, code=4), patch, mcp, output("Script completed\nWall time 3 seconds\n")]
    events = read(meta(), started(), *lines, complete())

    nested = [start for start in only(ToolCallStart, events) if start.parent_call_id == "call_1"]
    assert [(n.tool, n.tool_kind, n.input) for n in nested] == [
        ("exec_command", "shell", "make test"),
        ("apply_patch", "edit", '{"/x":{"type":"add"}}'),
        ("demo.boom", "mcp", '{"q":1}'),
    ]
    assert [e.outcome for e in ends(events)] == ["error", "ok", "error", "ok"]
    assert only(TurnEnd, events)[0].tool_calls == 4


def test_a_nested_call_begins_its_duration_before_its_end() -> None:
    """The item is only written at the end."""
    events = read(meta(), started(), script(at=2), command("exec-1", at=4, seconds=0.5))

    assert [round(e.time.timestamp() * 1000) for e in events if "exec-1" in e.key] == [ms(3.5), ms(4)]


def test_a_nested_call_belongs_to_the_script_that_was_there_when_it_began() -> None:
    """A script that yielded goes on beside the next one."""
    yielded = output("Script running with cell ID 4\nWall time 0.2 seconds\nOutput:\n", at=3)
    late = command("exec-1", at=6, seconds=0, duration={"secs": 3, "nanos": 0})
    events = read(meta(), started(), script(at=2), yielded, script(call_id="call_2", at=5), late)

    assert [s.parent_call_id for s in only(ToolCallStart, events) if s.call_id == "exec-1"] == ["call_1"]


def test_a_script_that_runs_on_has_no_known_outcome() -> None:
    """`wait` reports for the rest of it; the call itself is closed with the turn."""
    yielded = output("Script running with cell ID 4\nWall time 0.2 seconds\nOutput:\n")
    wait = [call("wait", "call_2"), output("Script completed\nWall time 1.8 seconds\nOutput:\n", "call_2")]

    assert outcomes(read(meta(), started(), script(), yielded, *wait, complete())) == [
        ("call_2", "ok"),
        ("call_1", "unknown"),
    ]


def test_a_command_of_the_person_is_no_tool_call() -> None:
    """Typed with `!` in the terminal; the model did not ask for it."""
    events = read(meta(), started(), command("u-1", source="user_shell", code=2))

    assert [(c.input, c.exit_code) for c in only(UserCommand, events)] == [("make test", 2)]
    assert only(ToolCallStart, events) == []


def test_an_item_in_progress_ends_nothing() -> None:
    """The next one of the same call does."""
    events = read(meta(), started(), call(), output(RUNNING), command(status="in_progress"), command(at=4))

    assert outcomes(events) == [("call_1", "ok")]


@pytest.mark.parametrize(("code", "outcome"), [(0, "ok"), (7, "error"), (None, "unknown")])
def test_without_a_status_the_exit_code_decides(code: int | None, outcome: str) -> None:
    """And without either nobody knows."""
    item_line = command("exec-1", status=None, exit_code=code)

    assert outcomes(read(meta(), started(), item_line)) == [("exec-1", outcome)]


def test_a_command_of_the_person_can_be_plain_text() -> None:
    """Whether the command is an array is up to the version."""
    commands = [command(f"u-{n}", source="user_shell", command=c) for n, c in enumerate(("ls -l", ["ls", "-l"]))]

    assert [c.input for c in only(UserCommand, read(meta(), *commands))] == ["ls -l", "ls -l"]


def test_an_item_that_only_started_tells_nothing() -> None:
    """No version stores it; it looks like the completed one."""
    begun = command("exec-1").replace(b"item_completed", b"item_started")

    assert outcomes(read(meta(), started(), begun)) == []
