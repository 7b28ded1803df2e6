"""The sink `stdout`: which form, and what a failed write means."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from forwarder import Batch, Sink, SinkClosed, Unavailable
from forwarder_stdout.feed import Feed
from forwarder_stdout.outlet import Outlet

NOBODY_READS = {errno.EPIPE, errno.EBADF}


@dataclass
class Stdout(Sink):
    """Option `format`: ``json`` (one event a line), ``pretty`` (a live feed to read) or ``auto``, which is ``pretty``
    on a terminal and ``json`` elsewhere. `fd` is standard output.
    """

    fd: ClassVar[int] = 1

    format: Literal["auto", "json", "pretty"] = "auto"
    _outlet: Outlet = field(init=False, repr=False)
    _feed: Feed | None = field(init=False, repr=False)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Look at what standard output is; it is left open."""
        is_pretty = self.format == "pretty" or (self.format == "auto" and os.isatty(self.fd))
        self._feed = Feed(self.fd) if is_pretty else None
        self._outlet = Outlet(self.fd)
        yield

    async def send(self, batch: Batch) -> None:
        """Hand every byte of the batch to the system. Raises `SinkClosed` when there is no reader any more."""
        body = await asyncio.to_thread(self._feed.render, batch) if self._feed else batch.jsonl()
        try:
            await self._outlet.write(batch.id, body)
        except OSError as error:
            has_hung_up = error.errno == errno.EIO and os.isatty(self.fd)
            if error.errno in NOBODY_READS or has_hung_up:
                raise SinkClosed("nobody reads standard output any more") from error
            raise Unavailable(f"cannot write to standard output: {error.strerror}") from error
