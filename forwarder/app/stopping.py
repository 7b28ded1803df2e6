"""How the process is asked to stop: SIGTERM or Ctrl-C once to drain, a second time to end at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager

from forwarder.app.exits import Exit


class Stop:
    """Set once; `wait` returns then. `reason` is for the log."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.reason = ""
        self.is_by_signal = False

    def ask(self, reason: str, *, is_by_signal: bool = False) -> None:
        """Stop soon and in order."""
        self.reason = self.reason or reason
        self.is_by_signal = self.is_by_signal or is_by_signal
        self._asked.set()

    @property
    def is_asked(self) -> bool:
        return self._asked.is_set()

    async def wait(self) -> None:
        """Return when somebody asked to stop."""
        await self._asked.wait()


@contextmanager
def stop_on_signals() -> Generator[Stop]:
    """While the block runs, the first SIGTERM or SIGINT asks to stop and the second ends the process."""
    stop = Stop()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_asked:
            sys.stderr.write("forwarder: stopped at once; what was not delivered is in the journal\n")
            sys.stderr.flush()
            os._exit(Exit.INTERRUPTED)  # threads may hang in a write: no exception reaches them
        stop.ask(signal.Signals(number).name, is_by_signal=True)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
