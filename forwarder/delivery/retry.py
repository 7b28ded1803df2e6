"""When to try again: exponential backoff with full jitter, or one probe per interval while we are not let in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from forwarder.errors import Unavailable


class Circuit(StrEnum):
    """`OPEN`: the destination answered but does not let us in; `HALF_OPEN`: a probe is on its way there."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True)
class Pace:
    """Full jitter between 0 and `base_seconds` doubled at each failure: many forwarders do not come back as one."""

    base_seconds: float = 0.5
    cap_seconds: float = 60.0
    probe_seconds: float = 60.0


class Retry:
    """The failures since the last success; there is no limit to them, the journal holds what waits."""

    def __init__(self, pace: Pace, random: Random) -> None:
        self.circuit = Circuit.CLOSED
        self.failures = 0
        self._pace = pace
        self._random = random

    def begin(self) -> None:
        """A request is about to be made."""
        if self.circuit is Circuit.OPEN:
            self.circuit = Circuit.HALF_OPEN

    def succeeded(self) -> None:
        """The destination took a batch, or judged it."""
        self.circuit = Circuit.CLOSED
        self.failures = 0

    def failed(self, error: Exception) -> float:
        """Count the failure and return the seconds until the next try."""
        self.failures += 1
        is_refused = isinstance(error, Unavailable) and error.is_refused
        self.circuit = Circuit.OPEN if is_refused else Circuit.CLOSED
        wait = self._pace.probe_seconds if is_refused else self._jitter()
        asked = error.after if isinstance(error, Unavailable) else None
        return max(wait, asked or 0.0)

    def _jitter(self) -> float:
        doublings = min(self.failures - 1, 32)  # far beyond any cap, and 2.0**1024 is an error
        return self._random.uniform(0, min(self._pace.cap_seconds, self._pace.base_seconds * 2**doublings))
