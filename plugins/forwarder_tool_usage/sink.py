"""Any agent's tool calls as a tool-usage log, each line by one write."""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from forwarder import Batch, Sink, Unavailable
from forwarder_tool_usage import log
from forwarder_tool_usage.lines import line_of

SEARCH_BYTES = 16 << 20  # behind a batch in doubt stand its own lines, and those that others have added since


@dataclass
class ToolUsageLines(Sink):
    """Options: `path`, the log; `starts`: a line when a call starts too, not only when it is over.

    The default is not the log of `forwarder track`, so that no call is read as a helper's.
    """

    path: str = "~/runtime/tool-usage/agents/events.jsonl"
    starts: bool = False
    _writer: ThreadPoolExecutor = field(init=False, repr=False)
    _in_doubt: bool = field(init=False, repr=False, default=True)
    _last_id: str = field(init=False, repr=False, default="")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """At the end wait for a write under way. What was written last before is in doubt."""
        self._in_doubt = True
        self._writer = ThreadPoolExecutor(1, "tool-usage")
        try:
            yield
        finally:
            await asyncio.to_thread(self._writer.shutdown)

    async def send(self, batch: Batch) -> None:
        """Append a line for each call. A cancelled call still finishes in its thread."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._write, batch)
        except OSError as error:
            raise Unavailable(f"cannot write {self._path}: {error.strerror}; the batch is tried again") from error

    @property
    def _path(self) -> str:
        return os.path.expanduser(self.path)

    def _write(self, batch: Batch) -> None:
        """Write what is missing of `batch`; after a crash, an error or a cancellation some of it may be there."""
        if batch.id == self._last_id and not self._in_doubt:
            return
        lines = [line for event in batch.lines if (line := line_of(event, with_starts=self.starts))]
        fd = log.opened(self._path)
        try:
            missing = _without_held(fd, lines) if self._in_doubt else lines
            self._in_doubt = True
            for line in missing:
                log.write(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        self._in_doubt, self._last_id = False, batch.id


def _without_held(fd: int, lines: Iterable[bytes]) -> list[bytes]:
    """Those of the lines that are not at the end of the file yet."""
    size = os.fstat(fd).st_size
    if not size:
        return list(lines)
    start = max(0, size - SEARCH_BYTES) // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    with mmap.mmap(fd, size - start, access=mmap.ACCESS_READ, offset=start) as end:
        held = set(end[:].split(b"\n"))
    return [line for line in lines if line[:-1] not in held]
