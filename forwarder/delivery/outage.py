"""What the log says while a sink cannot deliver: at once, then at growing intervals, and once when it is over."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from forwarder.clock import Clock
from forwarder.errors import DeliveryError, Rejected, Unavailable
from forwarder.journal import Journal

FIRST_REPEAT_SECONDS = 60.0
LONGEST_SILENCE_SECONDS = 3600.0
REASON_CHARS = 200  # an answer's beginning says why; the rest of an HTML page does not

_MIB = 1 << 20
_SAFE = "nothing is lost, reading waits when the journal is full"
_log: structlog.stdlib.BoundLogger = structlog.get_logger("forwarder.delivery")


class Outage:
    """The time during which one sink fails. An `error` in the log means that a person must act."""

    def __init__(self, sink: str, journal: Journal, clock: Clock, scrub: Callable[[str], str] = str) -> None:
        """`scrub` takes secrets out of what the destination says."""
        self._sink = sink
        self._scrub = scrub
        self._journal = journal
        self._clock = clock
        self.since: datetime | None = None  # by the wall clock, None while all is well
        self._since: float | None = None
        self._kind = ""
        self._failures = _Silence()
        self._refusals = _Silence()
        self._refused = 0

    def failed(self, error: Exception) -> None:
        """The sink could not deliver; anything but `Unavailable` is a bug in it."""
        match error:
            case Unavailable(is_refused=True):
                self._report("refused", described(error, self._scrub), f"check address and credentials; {_SAFE}")
            case Unavailable():
                self._report("unavailable", described(error, self._scrub), _SAFE)
            case _:
                self._report(
                    "bug", described(error, self._scrub), f"this is a bug in the sink, please report it; {_SAFE}"
                )

    def cannot_save(self, error: Exception) -> None:
        """What the sink has taken could not be written into the journal."""
        self._report("journal", f"its cursor cannot be saved: {error}", "delivery goes on once the disk has room again")

    def refused(self, rejection: Rejected, events: int) -> None:
        """Events became dead letters: the destination answers, but will never take them."""
        self._refused += events
        if self._refusals.is_over(self._clock.monotonic()):
            count, self._refused = self._refused, 0
            events_refused = "1 event" if count == 1 else f"{count} events"
            words = described(rejection, self._scrub)
            _log.error(f"sink {self._sink}: {events_refused} refused, kept in the dead letters: {words}")

    def is_over(self) -> None:
        """The destination answers as it should, and the journal takes the answer."""
        if self._since is None:
            return
        away = _duration(self._clock.monotonic() - self._since)
        self._since, self._kind, self.since = None, "", None
        _log.info(f"sink {self._sink}: delivers again after {away}, {self._fill()}")

    def _report(self, kind: str, what: str, consequence: str) -> None:
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        self.since = self.since or self._clock.now()
        if kind != self._kind:
            self._kind, self._failures = kind, _Silence()
        if not self._failures.is_over(now):
            return
        lasting = f" for {_duration(now - self._since)}" if now - self._since >= 1 else ""
        say = _log.warning if kind == "unavailable" else _log.error
        say(f"sink {self._sink}: {what}{lasting}, {self._fill()}; {consequence}")

    def _fill(self) -> str:
        return f"{self._journal.bytes / _MIB:.0f} of {self._journal.max_bytes / _MIB:.0f} MiB journalled"


class _Silence:
    """How long the same is not said again: twice as long each time."""

    def __init__(self) -> None:
        self._until = -math.inf
        self._seconds = FIRST_REPEAT_SECONDS

    def is_over(self, now: float) -> bool:
        """Whether it may be said now; if so, the next silence begins."""
        if now < self._until:
            return False
        self._until = now + self._seconds
        self._seconds = min(self._seconds * 2, LONGEST_SILENCE_SECONDS)
        return True


def described(error: Exception, scrub: Callable[[str], str]) -> str:
    """The error on one line: the destination's own words, or the kind of a bug and where it was raised.

    `scrub` comes before the cut, behind which half a secret would not be known for one.
    """
    words = " ".join(scrub(str(error)).split())[:REASON_CHARS]
    if isinstance(error, DeliveryError):
        return words
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" in {frame.tb_frame.f_code.co_qualname}, line {frame.tb_lineno}" if frame is not None else ""
    return f"{type(error).__name__}{where}" + (f": {words}" if words else "")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h"
    return f"{timedelta(seconds=seconds).days} days"
