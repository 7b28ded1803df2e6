"""Replay at the pace at which things happened."""

from __future__ import annotations

import asyncio

import pytest

from forwarder import Batch, Unavailable
from forwarder.app.pacing import Paced
from forwarder.testing import ManualClock, MemorySink


def at(second: float) -> Batch:
    whole = int(second)
    time = f"2026-01-01T00:{whole // 60:02}:{whole % 60:02}.{round(second % 1 * 1000):03}Z"
    return Batch((b'{"id":"%032x","type":"prompt","time":"%b"}' % (whole, time.encode()),))


async def waits(paced: Paced, clock: ManualClock, *seconds: float) -> list[float]:
    """How long each event was held back."""
    found: list[float] = []
    for second in seconds:
        before = clock.monotonic()
        sending = asyncio.create_task(paced.send(at(second)))
        while not sending.done():
            sleeping = asyncio.create_task(clock.skip())
            await asyncio.wait([sending, sleeping], return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
        await sending
        found.append(clock.monotonic() - before)
    return found


@pytest.mark.parametrize(("speed", "wanted"), [(1.0, [0, 10, 2.5]), (5.0, [0, 2, 0.5])])
async def test_events_keep_their_distances(speed: float, wanted: list[float]) -> None:
    """Or a fraction of them."""
    clock, sink = ManualClock(), MemorySink()

    assert await waits(Paced(sink, speed, clock), clock, 20, 30, 32.5) == wanted
    assert len(sink.taken) == 3


async def test_an_older_event_does_not_wait() -> None:
    """The next session's first event may be hours before the last of the one before."""
    clock = ManualClock()

    assert await waits(Paced(MemorySink(), 1.0, clock), clock, 100, 20, 21) == [0, 0, 1]


async def test_a_retry_does_not_wait_again() -> None:
    """The distance has passed already."""
    clock, sink = ManualClock(), MemorySink()
    paced = Paced(sink, 1.0, clock)
    await waits(paced, clock, 0)
    sink.answers.append(Unavailable("busy"))
    with pytest.raises(Unavailable):
        await waits(paced, clock, 10)

    assert await waits(paced, clock, 10) == [0]
