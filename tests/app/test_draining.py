"""The end in phases: what was read is delivered until a deadline, the late are named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from forwarder.app.committing import Committer
from forwarder.app.config import SinkSettings
from forwarder.app.delivering import delivering
from forwarder.app.draining import drain, ended
from forwarder.app.exits import Exit
from forwarder.app.state_folder import held
from forwarder.app.stopping import Stop
from forwarder.errors import SinkClosed
from forwarder.journal import Journal
from forwarder.pipeline.mapping import Mapped
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.testing import ManualClock, MemorySink
from tests.app.test_committing import row

LINES = [b'{"id":"%032x","type":"prompt","time":"2026-01-01T00:00:00.000Z","agent":"acme"}' % n for n in range(3)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[Journal]:
    with held(tmp_path / "state"):
        async with Journal(
            tmp_path / "state", sinks=["a", "b"], max_bytes=1 << 20, keep_seconds=1e9, remember_seconds=1e9, clock=clock
        ) as journal:
            yield journal


async def drained(
    journal: Journal, clock: ManualClock, a: MemorySink, b: MemorySink, *, seconds: float, is_committing: bool = True
) -> Exit:
    """Put what was read last, and drain it to both sinks."""
    settings = {name: SinkSettings(name, use="memory", level=Level.NONE, place=name) for name in "ab"}
    committer = Committer(journal, clock)
    await committer.put(Mapped(lines=list(LINES)), row(1))
    async with delivering(
        {"a": a, "b": b}, settings, journal=journal, redactor=Redactor(Rules()), clock=clock, stop=Stop()
    ) as delivery:
        committing = asyncio.create_task(committer.run() if is_committing else asyncio.sleep(0))
        exit_status = await drain(committer, delivery, seconds=seconds)
        await ended([committing])
    return exit_status


async def test_what_was_read_is_committed_and_delivered(journal: Journal, clock: ManualClock) -> None:
    """Then the process ends well."""
    a, b = MemorySink(), MemorySink()

    assert await drained(journal, clock, a, b, seconds=10) is Exit.OK
    assert a.taken == b.taken == LINES


async def test_a_late_sink_is_named(journal: Journal, clock: ManualClock) -> None:
    """With what it lacks; the others have got everything."""
    a, b = MemorySink(), MemorySink()
    b.is_open.clear()
    with capture_logs() as logs:
        exit_status = await drained(journal, clock, a, b, seconds=0.1)

    assert (exit_status, a.taken) == (Exit.LATE, LINES)
    assert [log["event"] for log in logs] == [
        "sink b lacks 3 events; they are in the journal and go out at the next start"
    ]


async def test_a_sink_that_left_is_not_waited_for(journal: Journal, clock: ManualClock) -> None:
    """The reader of a pipe has seen enough."""
    a, b = MemorySink(), MemorySink()
    b.answers.append(SinkClosed("pipe closed"))

    assert await drained(journal, clock, a, b, seconds=10) is Exit.OK
    assert a.taken == LINES


async def test_what_could_not_be_committed_is_said(journal: Journal, clock: ManualClock) -> None:
    """It is in the files still."""
    with capture_logs() as logs:
        exit_status = await drained(journal, clock, MemorySink(), MemorySink(), seconds=0.05, is_committing=False)

    assert exit_status is Exit.LATE
    assert "are read again at the next start" in logs[-1]["event"]


async def test_what_a_task_raised_is_raised_at_its_end() -> None:
    """A failure does not get lost because it came just before the stop."""

    async def fail() -> None:
        raise OSError("disk gone")

    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    with pytest.raises(OSError, match="disk gone"):
        await ended([task, asyncio.create_task(asyncio.sleep(600))])
