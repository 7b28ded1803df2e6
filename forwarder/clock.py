"""Time as one object, so that a test can move it instead of waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamps and ages, monotonic time for waits and rates."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` of monotonic time have passed."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # here, since it is two thirds of the time that importing `forwarder` would take

        await asyncio.sleep(seconds)
