"""Recorded heartbeats, played into a live folder with a moved clock: file events, engine, journal and all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from forwarder import ContextSnapshot, Event, SessionEnd, SessionStart, SessionState
from forwarder.testing import ManualClock

from .lines import only
from .living import Row, live_folder, play

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parent / "samples"
RECORDED = [path.parent.name for path in sorted(SAMPLES.glob("*/heartbeats.jsonl"))]

# How the recorder saw a process end, and what is told of it.
REASONS = {
    "unlink": "exit",
    "left behind": "killed",
    "overwritten by another process (pid reused)": "killed",
}


def rows_of(scenario: str) -> list[Row]:
    return [json.loads(line) for line in (SAMPLES / scenario / "heartbeats.jsonl").read_text().splitlines()]


def facts(events: list[Event], process: dict[str, Any]) -> dict[str, Any]:
    """What was told of one life of a process: states, pressures, and the sessions that ended, each with its reason."""
    own = [event for event in events if event.key[:2] == (process["startedAt"], process["pid"])]
    return {
        "states": told_once(state.state for state in only(SessionState, own) if state.state != "stalled"),
        "pressures": told_once(snapshot.pressure for snapshot in only(ContextSnapshot, own)),
        "ends": [(end.session.id, end.reason) for end in only(SessionEnd, own)],
    }


def wanted(process: dict[str, Any], *, goes_on: bool) -> dict[str, Any]:
    """The same by expected.json; in a life that `goes_on` the process began another session."""
    *switched, last = process["sessions"]
    reason = "switched" if goes_on else REASONS[process["ended"]["how"]]
    return {
        "states": process["derived_state"],
        "pressures": told_once(level for level in process["pressure_null_is_unknown"] if level != "unknown"),
        "ends": [*((session, "switched") for session in switched), (last, reason)],
    }


def told_once(values: Any) -> list[Any]:
    return [value for value, _ in groupby(values)]


@pytest.mark.parametrize("scenario", RECORDED)
async def test_a_recording_played_live_tells_what_its_processes_did(scenario: str, tmp_path: Path) -> None:
    """Exactly the states, the pressures and the ends worked out independently; each event is journalled once."""
    processes: list[dict[str, Any]] = json.loads((SAMPLES / scenario / "expected.json").read_text())["processes"]
    events, journalled = await play(rows_of(scenario), tmp_path)

    assert journalled == len(events)
    for number, process in enumerate(processes):
        later = [one for one in processes[number + 1 :] if one["pid"] == process["pid"]]
        goes_on = bool(later) and process["ended"]["how"] == "unlink"
        assert facts(events, process) == wanted(process, goes_on=goes_on)


async def test_ten_thousand_equal_heartbeats_are_no_event(tmp_path: Path) -> None:
    """An instance that works for hours writes one every 1.5 s; the first one is all there is to tell."""
    [first, *_] = [row for row in rows_of("tui-1.5.2") if row["op"] == "rename"]
    heartbeat = json.loads(first["data"])
    clock = ManualClock(datetime.fromtimestamp(first["t"] / 1000, UTC))
    async with live_folder(tmp_path, clock) as folder:
        await folder.write(first["name"], first["data"])
        for _ in range(10_000):
            clock.advance(1.5)
            heartbeat["process"]["heartbeatSeq"] += 1
            heartbeat["process"]["updatedAt"] += 1500
            heartbeat["process"]["uptimeMs"] += 1500
            await folder.write(first["name"], json.dumps(heartbeat), is_told_by_events=False)

        assert [type(event) for event in folder.source.told] == [SessionStart, SessionState, ContextSnapshot]


async def test_a_folder_that_appears_later_is_followed(tmp_path: Path) -> None:
    """It does not exist before the first pi with the extension runs."""
    [first, *_] = [row for row in rows_of("tui-1.5.2") if row["op"] == "rename"]
    clock = ManualClock(datetime.fromtimestamp(first["t"] / 1000, UTC))
    async with live_folder(tmp_path, clock) as folder:
        await folder.wait(5)
        await folder.write(first["name"], first["data"])

        assert [type(event) for event in folder.source.told][:1] == [SessionStart]


async def test_an_unfinished_heartbeat_is_not_read(tmp_path: Path) -> None:
    """A crash leaves `PID.json.tmp-PID` behind: half a document, which never was a state."""
    [first, *_] = [row for row in rows_of("tui-1.5.2") if row["op"] == "rename"]
    clock = ManualClock(datetime.fromtimestamp(first["t"] / 1000, UTC))
    async with live_folder(tmp_path, clock) as folder:
        await folder.write(first["name"], first["data"])
        (folder.path / "7.json.tmp-7").write_text(first["data"][:100])
        await folder.wait(30)

        assert {Path(row.path).name for row in folder.index.rows()} == {first["name"]}
