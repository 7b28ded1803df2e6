"""Says when an input takes too long, and when the process has grown."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

BASE_SECONDS = 3.0  # of the processor, so that a busy machine fails nobody
SECONDS_PER_BYTE = 30e-6  # a hundred times what any target needs
DEADLINE_SECONDS = 300.0  # by the clock; then the process ends with a traceback, also out of a library's own loop


class Hangs(BaseException):
    """Passes the edges that stop every ordinary exception: there, it would count as one bad record."""


@contextmanager
def watched(size: int, *, base_seconds: float = BASE_SECONDS) -> Generator[None]:
    """Raises `Hangs` in the block when an input of so many bytes takes too long. For the main thread."""
    seconds = base_seconds + size * SECONDS_PER_BYTE

    def bark(*_: object) -> None:
        raise Hangs(f"an input of {size} bytes took more than {seconds:.1f} s")

    before = signal.signal(signal.SIGVTALRM, bark)
    faulthandler.dump_traceback_later(DEADLINE_SECONDS, exit=True)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGVTALRM, before)


def resident_bytes() -> int:
    """What the process holds in memory now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0
