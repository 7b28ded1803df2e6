"""The recorded heartbeats through the source itself, with the promises that every source of state files must keep."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from forwarder_pi import Pi

from forwarder import Event, Quiet, SessionEnd, SessionState, Vanished
from forwarder.testing import check_source

from .lines import facts, only

SAMPLES = Path(__file__).parent / "samples"
RECORDED = [path.parent.name for path in sorted(SAMPLES.glob("*/heartbeats.jsonl"))]

SILENT_SECONDS = 10.0  # shorter gaps are no silence yet, of a file that is there
GONE_SECONDS = 2.0

Row = dict[str, Any]
Told = tuple[bytes | str | Vanished | Quiet, datetime]


def recorded(scenario: str) -> dict[str, list[Row]]:
    """What became of each file, by its name: `rename` with the content, or `unlink`."""
    lines = (SAMPLES / scenario / "heartbeats.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["op"] == "unlink" or (row["op"] == "rename" and "data" in row)]
    return {name: [row for row in rows if row["name"] == name] for name in dict.fromkeys(row["name"] for row in rows)}


def told(rows: list[Row]) -> list[Told]:
    """The contents and the notices of one file, each with its time: a process lives if the file changes once more."""
    found: list[Told] = []
    for row, following in [*pairwise(rows), (rows[-1], None)]:
        at, is_gone = datetime.fromtimestamp(row["t"] / 1000, UTC), row["op"] == "unlink"
        found.append((Vanished(at) if is_gone else row["data"], at))
        seconds = (following["t"] - row["t"]) / 1000 if following else 60.0
        if seconds >= (GONE_SECONDS if is_gone else SILENT_SECONDS):
            found.append((Quiet(seconds, is_alive=following is not None), at))
    return found


def checked(scenario: str) -> list[Event]:
    """The events of all files of a recording, each of which keeps the promises."""
    events: list[Event] = []
    for name, rows in recorded(scenario).items():
        contents, times = zip(*told(rows), strict=True)
        events += check_source(Pi(), list(contents), path=Path("instances") / name, read_at=times)
    return events


@pytest.mark.parametrize("scenario", RECORDED)
def test_a_recording_keeps_the_promises_of_a_state_file(scenario: str) -> None:
    """Started again behind any heartbeat it goes on the same, and neither that nor a torn heartbeat tells anything."""
    events = checked(scenario)

    assert only(SessionState, events)
    assert only(SessionEnd, events)
    assert len(facts(events)) == len(events)
