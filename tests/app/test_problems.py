"""Files that cannot be read are said once and remembered."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from forwarder.app.problems import Problems
from forwarder.tail.follow import File

FILE = File("acme", Path("/acme/s.jsonl"))


def test_the_same_reason_is_logged_once() -> None:
    """A file that cannot be read is tried again at every change, and changes often."""
    problems = Problems()
    with capture_logs() as logs:
        for reason in ("locked", "locked", "torn", "torn"):
            problems.add(FILE, OSError(reason))

    assert [log["event"].split(": ")[2].split(";")[0] for log in logs] == ["locked", "torn"]
    assert problems.by_file == {"/acme/s.jsonl": "torn"}


def test_a_file_that_can_be_read_again_is_no_problem() -> None:
    """And if it breaks once more, that is said once more."""
    problems = Problems()
    problems.add(FILE, OSError("locked"))
    problems.solved("/acme/s.jsonl")
    problems.solved("/acme/never.jsonl")
    with capture_logs() as logs:
        problems.add(FILE, OSError("locked"))

    assert len(logs) == 1
