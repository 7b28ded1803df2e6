"""What a sink's delivery shows of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from forwarder.clock import Clock
from forwarder.delivery.retry import Circuit

RATE_SECONDS = 10.0  # what happened this long ago counts a third of what happens now


@dataclass(frozen=True, kw_only=True)
class SenderStatus:
    """One sink at one moment. `behind` counts the events that it has still to take or to leave out; times are UTC."""

    name: str
    state: Circuit
    acked: int
    behind: int
    delivered_events: int
    delivered_batches: int
    events_per_second: float
    retries: int
    dead_lettered: int
    last_error: str | None
    last_error_time: datetime | None
    next_try: datetime | None
    failing_since: datetime | None = None


class Rate:
    """Events per second of the recent past: an average that forgets exponentially, so it needs no history."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._value = 0.0
        self._at = clock.monotonic()

    def add(self, events: int) -> None:
        """Count events of this moment."""
        self._value = self.per_second() + events / RATE_SECONDS
        self._at = self._clock.monotonic()

    def per_second(self) -> float:
        """The rate now; falls towards 0 while nothing happens."""
        return self._value * math.exp((self._at - self._clock.monotonic()) / RATE_SECONDS)
