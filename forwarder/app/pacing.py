"""Replay at the speed at which things happened, or some times faster."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import ClassVar

from forwarder.clock import Clock
from forwarder.sink import Batch, Batching, Notes, Sink

# `"time":"…"` follows id and type in every line (forwarder/pipeline/encoding.py).
_TIME = b'"time":"'


class Paced(Sink):
    """Another sink, sent to one event at a time, each as long after the one before as it happened after it.

    `speed` 2.0 is twice as fast as it happened. An event older than the one before (the next session's first) does not
    wait.
    """

    batching: ClassVar[Batching] = Batching(max_events=1)

    def __init__(self, sink: Sink, speed: float, clock: Clock) -> None:
        self._sink = sink
        self._speed = speed
        self._clock = clock
        self._before: datetime | None = None

    def recall(self, notes: Mapping[str, bytes]) -> None:
        self._sink.recall(notes)

    def notes(self) -> Notes:
        return self._sink.notes()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        async with self._sink.lifespan():
            yield

    async def send(self, batch: Batch) -> None:
        time = _time(batch.lines[0])
        if self._before is not None and time > self._before:
            await self._clock.sleep((time - self._before).total_seconds() / self._speed)
        self._before = time
        await self._sink.send(batch)


def _time(line: bytes) -> datetime:
    start = line.index(_TIME) + len(_TIME)
    return datetime.fromisoformat(line[start : start + 24].decode())
