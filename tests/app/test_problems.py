"""Files that cannot be read are said once and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from forwarder.app.problems import LONGEST_SECONDS, STEP_SECONDS, Problems
from forwarder.tail.follow import File
from forwarder.testing import ManualClock

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


@asynccontextmanager
async def retrying(problems: Problems, clock: ManualClock, report: Callable[[File], object]) -> AsyncGenerator[None]:
    task = asyncio.create_task(problems.retry(clock, report))
    yield
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
def file(tmp_path: Path) -> File:
    (tmp_path / "s.jsonl").touch()
    return File("acme", tmp_path / "s.jsonl")


async def test_a_file_is_tried_again_though_it_does_not_change(file: File) -> None:
    """There were no file descriptors for a moment; a session that is over does not change any more."""
    problems, clock, reported = Problems(), ManualClock(), list[File]()
    problems.add(file, OSError("too many open files"))
    async with retrying(problems, clock, reported.append):
        await clock.skip()
        await clock.asleep()

    assert reported == [file]


async def test_a_file_that_did_not_fail_again_is_no_problem(file: File) -> None:
    """It may have been read, without anything new in it, or is gone."""
    problems, clock, reported = Problems(), ManualClock(), list[File]()
    problems.add(file, OSError("too many open files"))
    async with retrying(problems, clock, reported.append):
        for _ in range(4):
            await clock.skip()
            await clock.asleep()

    assert (reported, problems.by_file) == ([file], {})


async def test_a_file_that_keeps_failing_is_tried_less_often(file: File) -> None:
    """It belongs to somebody else, maybe for ever."""
    problems, clock, times = Problems(), ManualClock(), list[float]()

    def fail(file: File) -> None:
        times.append(clock.monotonic())
        problems.add(file, OSError("permission denied"))

    problems.add(file, OSError("permission denied"))
    async with retrying(problems, clock, fail):
        while clock.monotonic() < 10 * LONGEST_SECONDS:
            await clock.skip()
            await clock.asleep()

    assert times[:3] == [STEP_SECONDS, 3 * STEP_SECONDS, 7 * STEP_SECONDS]
    assert times[-1] - times[-2] == LONGEST_SECONDS
    assert str(file.path) in problems.by_file


def test_a_file_that_fails_once_is_no_gap() -> None:
    """A moment without file descriptors costs nothing; what fails again is told, once."""
    problems = Problems()
    told: list[int] = []
    for _ in range(4):
        problems.add(FILE, OSError("locked"))
        told.append(len(problems.untold))

    assert told == [0, 1, 1, 1]
