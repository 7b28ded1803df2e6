"""What pi-daemon tells of itself: its ``pi_daemon_…`` metrics and the numbers of ``/admin/stats``."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from forwarder import Clock
from forwarder_pi_daemon.exposition import counters, family
from forwarder_pi_daemon.posted import Labels, Observation
from forwarder_pi_daemon.series import Series

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  # a method that nobody knows, a path where nothing is: the label must not take what clients think up

_REQUESTS, _DURATION = "pi_daemon_requests_total", "pi_daemon_request_duration_seconds"
_UPTIME, _MEMORY = "pi_daemon_uptime_seconds", "pi_daemon_memory_usage_bytes"


class Memory(Struct):
    """Bytes that the process has in memory, now and at most so far."""

    rss: int
    peak: int


class Stats(Struct, rename="camel"):
    """``/admin/stats``: seconds, bytes, and how many series there are under how many names."""

    uptime: float
    memory: Memory
    pid: int
    python_version: str
    metric_names: int
    series: int


@dataclass
class Own:
    """Counts requests from when it is made on."""

    clock: Clock
    _requests: Counter[Labels] = field(default_factory=Counter[Labels])
    _duration: Series = field(default_factory=lambda: Series(_DURATION, "histogram", ()))
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock.monotonic()

    @property
    def uptime(self) -> float:
        return round(self.clock.monotonic() - self._started, 3)

    def answered(self, method: str, path: str, *, status: int, seconds: float) -> None:
        """Count a request; `path` is that of its route, empty where there is none."""
        known = method if method in METHODS else OTHER
        self._requests[("method", known), ("path", path or OTHER), ("status", str(status))] += 1
        self._duration = self._duration.told(Observation(_DURATION, "histogram", "observe", seconds, {}, (), None), 0.0)

    def stats(self, *, metric_names: int, series: int) -> Stats:
        return Stats(self.uptime, memory(), os.getpid(), platform.python_version(), metric_names, series)

    def lines(self) -> Iterator[str]:
        """In the text format."""
        used = memory()
        yield from counters(_REQUESTS, self._requests)
        yield from family(_DURATION, "histogram", [self._duration] if self._duration.count else [])
        yield from counters(_UPTIME, {(): self.uptime}, "gauge")
        yield from counters(_MEMORY, {(("type", "peak"),): used.peak, (("type", "rss"),): used.rss}, "gauge")


def memory() -> Memory:
    """Of this process. Where the system does not tell what is used now (macOS), that is the peak."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes, but bytes on macOS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return Memory(peak, peak)
    return Memory(int(statm.read_text().split()[1]) * resource.getpagesize(), peak)
