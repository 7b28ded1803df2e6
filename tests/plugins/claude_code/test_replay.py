"""The whole way, by the command: two files that tell the same facts, read in the order that serves them best."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parent / "samples"
SCENARIO = SAMPLES / "c02-parallel-and-large"


def replay(*paths: Path, state: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "forwarder", "replay", "--no-config", "--state-dir", str(state)]
    options = ["--source", "claude_code", "--to", "stdout"]
    done = subprocess.run([*command, *options, *map(str, paths)], capture_output=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_hooks_are_read_before_their_transcript(tmp_path: Path) -> None:
    """Wherever they lie: they know how long each call took, and the first record of a fact decides."""
    shutil.copytree(SCENARIO / "transcripts", tmp_path / "a")
    shutil.copytree(SCENARIO / "spool", tmp_path / "z")
    events = replay(tmp_path / "a", tmp_path / "z", state=tmp_path / "state")
    ends = [event for event in events if event["type"] == "tool_call_end"]

    assert len(ends) == 11
    assert not any("duration_inferred" in end for end in ends)


@pytest.mark.slow
def test_files_of_one_event_and_arrays_are_read_whole(tmp_path: Path) -> None:
    """Also without a newline at their end."""
    arrays, files = SAMPLES / "c11-json-array-spool/spool/logs", SAMPLES / "c08-one-file-per-event/spool/d"
    events = replay(arrays, files, state=tmp_path / "state")
    calls = {event["call_id"] for event in events if event["type"] == "tool_call_end"}
    inferred = {event["origin"]["file"] for event in events if "time_inferred" in event}

    assert len(calls) == 10 + 7  # of the eight calls in the arrays one end was lost by the hooks that wrote them
    assert inferred <= {path.name for path in arrays.rglob("*.json")}
    assert not any(event["type"] == "unknown_record" for event in events)
