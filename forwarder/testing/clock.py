"""A clock that a test moves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count


class ManualClock:
    """Stands still until `advance` is called; a `Clock` for everything that takes one."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        alarm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self._passed + seconds, next(self._order), alarm))
        self._slept.set()
        return await alarm

    def advance(self, seconds: float) -> None:
        """Let time pass and wake those whose sleep is over, the earliest first."""
        self._passed += seconds
        while self._sleepers and self._sleepers[0][0] <= self._passed:
            _, _, alarm = heappop(self._sleepers)
            if not alarm.done():
                alarm.set_result(None)

    async def asleep(self) -> float:
        """Wait until somebody sleeps; returns the seconds until the first of them wakes."""
        while True:
            while self._sleepers and self._sleepers[0][2].done():
                heappop(self._sleepers)  # its task was cancelled
            if self._sleepers:
                return self._sleepers[0][0] - self._passed
            self._slept.clear()
            await self._slept.wait()

    async def skip(self) -> float:
        """Wait until somebody sleeps, let exactly that sleep pass, and return how long it was."""
        seconds = await self.asleep()
        self.advance(seconds)
        return seconds
