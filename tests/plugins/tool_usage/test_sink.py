"""The sink `tool_usage`: which line a call becomes, and that it is there once."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from forwarder_tool_usage.lines import line_of
from forwarder_tool_usage.sink import ToolUsageLines

from forwarder import Batch, Unavailable
from forwarder.testing import check_sink
from tests.plugins.tool_usage.destination import Log, ended


def event(type: str = "tool_call_end", **fields: Any) -> bytes:
    head = {"id": fields.pop("id", "0" * 32), "type": type, "time": "2026-11-21T10:00:02.500Z", "agent": "codex"}
    call = {"session_id": "s1", "cwd": "/shop", "call_id": "c1", "tool": "exec", "tool_kind": "shell"}
    return json.dumps(head | call | fields, separators=(",", ":")).encode()


def told(event: bytes, *, with_starts: bool = False) -> dict[str, Any] | None:
    line = line_of(event, with_starts=with_starts)
    return None if line is None else json.loads(line)


def status(event: bytes, *, with_starts: bool = False) -> str | None:
    line = told(event, with_starts=with_starts)
    return None if line is None else line["status"]


async def test_it_keeps_the_promises_of_a_sink(tmp_path: Path) -> None:
    """The checks that every sink must pass; a repeated batch is in the log once."""
    path = tmp_path / "usage" / "events.jsonl"
    await check_sink(lambda: ToolUsageLines(path=str(path)), Log(path), is_idempotent=True, example=ended)

    assert len(Log(path).lines()) > 900


def test_a_call_becomes_a_line_with_every_field() -> None:
    """The names and units of the log, which are not those of an event."""
    failed = event(outcome="error", ok=False, exit_code=2, duration_ms=1500, error="no such\n  file", output="text")

    assert told(failed) == {
        "ts": "2026-11-21T10:00:02.500Z",
        "kind": "script",
        "name": "exec",
        "cwd": "/shop",
        "scope": "global",
        "session_id": "s1",
        "status": "failed",
        "duration_ms": 1500,
        "exit_code": 2,
        "error_summary": "no such file",
        "invocation_id": "codex:c1",
        "agent": "codex",
    }


@pytest.mark.parametrize(
    ("kind", "logged"),
    [("shell", "script"), ("script", "script"), ("read", "extension_tool"), ("mcp", "extension_tool")],
)
def test_shell_calls_are_scripts_and_the_rest_tools(kind: str, logged: str) -> None:
    """The log has no other kind for what an agent calls."""
    line = told(event(outcome="ok", ok=True, tool_kind=kind))

    assert line is not None
    assert line["kind"] == logged


@pytest.mark.parametrize(
    ("outcome", "logged"),
    [
        ("ok", "succeeded"),
        ("error", "failed"),
        ("rejected", "cancelled"),
        ("denied", "cancelled"),
        ("cancelled", "cancelled"),
        ("unknown", "started"),
    ],
)
def test_outcomes_become_the_four_statuses(outcome: str, logged: str) -> None:
    """Refused is not failed; a call whose result nobody knows has only started."""
    assert status(event(outcome=outcome, ok=outcome == "ok")) == logged


def test_a_call_has_one_line_unless_starts_are_wanted() -> None:
    """With starts it has two, and a call that never ends keeps only the first."""
    calls = [event("tool_call_start", input_bytes=2), event(outcome="ok", ok=True), event(outcome="unknown", ok=False)]

    assert [status(one) for one in calls] == [None, "succeeded", "started"]
    assert [status(one, with_starts=True) for one in calls] == ["started", "succeeded", None]


def test_a_start_has_neither_duration_nor_result() -> None:
    """They belong to final lines; the time of a call without an end is that of its start."""
    line = told(event(outcome="unknown", ok=False, duration_ms=500, exit_code=1))

    assert line is not None
    assert line["ts"] == "2026-11-21T10:00:02.000Z"
    assert not {"duration_ms", "exit_code", "error_summary"} & set(line)


def test_other_events_have_no_line() -> None:
    """Only calls of tools; a line of a log that was read is not written again."""
    assert told(event("prompt")) is None
    assert told(event("tool_usage")) is None


@pytest.mark.parametrize(
    ("fields", "summary"),
    [({"error": "x" * 500}, "x" * 199 + "…"), ({"exit_code": 4}, "exit status 4"), ({}, "failed")],
)
def test_a_failure_always_says_something_short(fields: dict[str, Any], summary: str) -> None:
    """One line of at most 200 characters, also where redaction took the tool's own words."""
    line = told(event(outcome="error", ok=False, **fields))

    assert line is not None
    assert line["error_summary"] == summary


async def test_the_log_belongs_to_its_owner(tmp_path: Path) -> None:
    """It tells what a person does all day."""
    path = tmp_path / "runtime" / "usage" / "events.jsonl"
    sink = ToolUsageLines(path=str(path))
    async with sink.lifespan():
        await sink.send(Batch((event(outcome="ok", ok=True),)))

    modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


async def test_no_symlink_is_written_through(tmp_path: Path) -> None:
    """Whoever made it chooses what is appended to; the batch waits until a person has looked."""
    (tmp_path / "elsewhere").touch()
    (tmp_path / "events.jsonl").symlink_to("elsewhere")
    sink = ToolUsageLines(path=str(tmp_path / "events.jsonl"))
    async with sink.lifespan():
        with pytest.raises(Unavailable, match=r"cannot write .*events\.jsonl"):
            await sink.send(Batch((event(outcome="ok", ok=True),)))

    assert (tmp_path / "elsewhere").read_bytes() == b""


async def test_lines_of_other_writers_stay(tmp_path: Path) -> None:
    """Also one that its writer left without an end: it stays a line of its own."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"half')
    sink = ToolUsageLines(path=str(path))
    async with sink.lifespan():
        await sink.send(Batch((event(outcome="ok", ok=True),)))

    assert path.read_bytes().startswith(b'{"half\n{"ts":')


async def test_what_was_written_before_a_crash_is_not_written_again(tmp_path: Path) -> None:
    """The batch in doubt comes again, and other writers have added lines meanwhile."""
    path = tmp_path / "events.jsonl"
    first, second = event(outcome="ok", ok=True), event(id="1" * 32, call_id="c2", outcome="ok", ok=True)
    for events in ((first,), (first, second)):
        sink = ToolUsageLines(path=str(path))
        async with sink.lifespan():
            await sink.send(Batch(events))
        with path.open("ab") as file:
            file.write(b'{"name":"somebody else"}\n')

    ids = [line.get("invocation_id") for line in Log(path).lines()]
    assert ids == ["codex:c1", None, "codex:c2", None]


def test_a_line_stays_below_a_page() -> None:
    """What other readers of such logs prefer, however long the error was."""
    line = line_of(event(outcome="error", ok=False, error="x" * 5000), with_starts=False)

    assert line is not None
    assert len(line) < 4096
