"""Which file is read next: live ones before history, and in turns, so that nobody waits for a backfill."""

from __future__ import annotations

import asyncio
import os
import stat
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from forwarder.errors import ForwarderError
from forwarder.source import Quiet, Record, Vanished
from forwarder.tail.compression import translated
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import Chunk, OpenStream, check_name, open_stream
from forwarder.tail.whole import OpenWhole

MAX_OPEN = 64  # while more live files than this take turns, they are closed in between: often 1,024 may be open
LIVE_BACKLOG_BYTES = 4 << 20  # a file with more unread than this is history, whoever wrote to it last


Opened = OpenStream | OpenWhole


class File(NamedTuple):
    """A file that a source wants, by its path."""

    source: str
    path: Path


class Follower:
    """Hands out chunks of the files that were reported to it, one at a time.

    Reading one chunk ahead runs in a thread beside the mapping of the one before. Files are open only while there is
    something to read in them.
    """

    def __init__(
        self,
        index: StreamIndex,
        *,
        max_line_bytes: int,
        now: Callable[[], datetime],
        on_problem: Callable[[File, Exception], None],
        is_whole: Callable[[File], bool] = lambda _: False,
    ) -> None:
        """`now` is the wall clock."""
        self.index = index
        self._now = now
        self._is_whole = is_whole
        self._max_line_bytes = max_line_bytes
        self._on_problem = on_problem
        self._live: OrderedDict[File, Opened | None] = OrderedDict()
        self._history: OrderedDict[File, Opened | None] = OrderedDict()
        self._notices: deque[tuple[File, Quiet]] = deque()
        self._reported = asyncio.Event()
        self._is_ending = False
        self._is_closed = False

    def report(self, file: File, *, is_live: bool) -> None:
        """The file is new or has changed. Reporting it again while it waits changes nothing but its turn."""
        if is_live:
            self._live.setdefault(file, self._history.pop(file, None))
        elif file not in self._live:
            self._history.setdefault(file, None)
        self._reported.set()

    def tell(self, file: File, quiet: Quiet) -> None:
        """Hand the notice out as a record of the file's stream, behind what is being read of it."""
        self._notices.append((file, quiet))
        self._reported.set()

    def end(self) -> None:
        """No file will be reported any more: `chunks` ends when everything has been read."""
        self._is_ending = True
        self._reported.set()

    @property
    def waiting(self) -> int:
        """How many files have something left to read, or to hear."""
        return len(self._live) + len(self._history) + len(self._notices)

    async def chunks(self) -> AsyncGenerator[Chunk]:
        """What was read, in the order of the file; waits for reports when there is nothing to read."""
        ahead = asyncio.create_task(self._next())
        try:
            while True:
                # Unlike `await ahead`, this does not cancel a read whose file handle only the reading thread knows.
                await asyncio.wait([ahead])
                chunk = ahead.result()
                if chunk is None:
                    return
                ahead = asyncio.create_task(self._next())
                yield chunk
        finally:
            self._is_closed = True
            self._reported.set()
            await asyncio.wait([ahead])
            self._close_all()

    async def _next(self) -> Chunk | None:
        while not self._is_closed:
            queue = self._live or self._history
            if self._notices:
                if chunk := self._notice(*self._notices.popleft()):
                    return chunk
            elif queue:
                file, opened = queue.popitem(last=False)
                if chunk := await self._read(file, opened):
                    return chunk
            elif self._is_ending:
                return None
            else:
                self._reported.clear()
                await self._reported.wait()
        return None

    def _notice(self, file: File, notice: Vanished | Quiet) -> Chunk | None:
        row = self.index.known(file.source, file.path)
        if row is None:
            return None
        return Chunk(row, [Record(b"", 0, 0, row.head, read_at=self._now(), notice=notice)], is_restarted=False)

    def _vanished(self, file: File) -> Chunk | None:
        """A file that is one record was known by its path: that it is gone is news."""
        return self._notice(file, Vanished(self._now())) if self._is_whole(file) else None

    async def _read(self, file: File, opened: Opened | None) -> Chunk | None:
        try:
            opened, chunk = await asyncio.to_thread(self._read_blocking, file, opened)
        except FileNotFoundError:
            return self._vanished(file)
        except (OSError, ForwarderError) as error:
            self._on_problem(file, error)
            return None
        if chunk:
            self.index.update(chunk.row)
        if opened:
            self._put_back(file, opened)
        return chunk

    def _read_blocking(self, file: File, opened: Opened | None) -> tuple[Opened | None, Chunk | None]:
        with translated(file.path):
            opened = opened or self._open(file)
            try:
                chunk = self._chunk(opened)
                while opened.is_stale:
                    opened.close()
                    opened = self._open(file)
                    chunk = self._chunk(opened)
            except BaseException:
                opened.close()
                raise
        if chunk is None:
            if isinstance(opened, OpenStream):
                self.index.saw(opened.seen())
            opened.close()
            return None, None
        return opened, chunk

    def _open(self, file: File) -> Opened:
        check_name(file.path)
        found = os.stat(file.path)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{file.path} is not a regular file")
        if self._is_whole(file):
            row = self.index.by_path(file.source, file.path, found)
            return OpenWhole(row, file.path, max_bytes=self._max_line_bytes, now=self._now)
        return open_stream(
            file.path, self.index.find(file.source, file.path, found), max_line_bytes=self._max_line_bytes
        )

    def _chunk(self, opened: Opened) -> Chunk | None:
        chunk = opened.read()
        if chunk is None and self._is_ending and opened.has_rest:
            return opened.read_last()
        return chunk

    def _put_back(self, file: File, opened: Opened) -> None:
        """More to read: a live file goes to the end of its queue, a long read goes on where it is."""
        backlog = opened.backlog()
        if backlog == 0:
            opened.close()  # if it was reported again meanwhile, it waits for its turn already
        elif file in self._live or (backlog is not None and backlog < LIVE_BACKLOG_BYTES and not self._is_ending):
            is_kept = len(self._live) < MAX_OPEN
            if not is_kept:
                opened.close()
            self._live[file] = opened if is_kept else None
        else:
            self._history[file] = opened
            self._history.move_to_end(file, last=False)

    def _close_all(self) -> None:
        for opened in (*self._live.values(), *self._history.values()):
            if opened:
                opened.close()
        self._live.clear()
        self._history.clear()
