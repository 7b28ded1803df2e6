"""Writing to a file descriptor whose reader may be slow, stuck or gone."""

from __future__ import annotations

import asyncio
import os
import select
from contextlib import suppress
from threading import Thread


class Outlet:
    """Writes bodies in order, each whole and once.

    A write happens in a thread of its own, a daemon: a reader that has stopped reading blocks neither the event loop
    nor the end of the process. Making the descriptor non-blocking instead would do so for every process that shares the
    terminal or pipe, and confuse those. Where another process has made it so, the thread waits until there is room.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._key = ""
        self._rest = memoryview(b"")
        self._running: asyncio.Future[OSError | None] | None = None

    async def write(self, key: str, body: bytes) -> None:
        """Write `body`, or what is left of it when `key` is that of the call before. Raises `OSError`.

        When it is cancelled the thread goes on; a call with the same key then waits for that thread.
        """
        if self._running and not self._running.done():
            await asyncio.wait([self._running])
        if key != self._key:  # what another body left in the middle of a line is finished first
            self._key, self._rest = key, memoryview(bytes(self._rest) + body if self._rest else body)
        loop = asyncio.get_running_loop()
        self._running = loop.create_future()
        Thread(target=self._drain, args=(loop, self._running), name="stdout", daemon=True).start()
        if error := await asyncio.shield(self._running):
            raise error

    def _drain(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[OSError | None]) -> None:
        error: OSError | None = None
        try:
            while self._rest:
                self._rest = self._rest[self._write_some() :]
        except OSError as caught:
            error = caught
        with suppress(RuntimeError):  # the loop is closed: the process is ending and nobody waits
            loop.call_soon_threadsafe(_finish, done, error)

    def _write_some(self) -> int:
        try:
            return os.write(self._fd, self._rest)
        except BlockingIOError:
            room = select.poll()
            room.register(self._fd, select.POLLOUT)
            room.poll()
            return 0


def _finish(done: asyncio.Future[OSError | None], error: OSError | None) -> None:
    if not done.done():
        done.set_result(error)
