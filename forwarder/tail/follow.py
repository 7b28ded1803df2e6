"""Which file is read next: live ones before history, and in turns, so that nobody waits for a backfill."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from forwarder.clock import Clock
from forwarder.errors import ForwarderError
from forwarder.source import Quiet, Record, Vanished
from forwarder.tail.beats import Beats, Key
from forwarder.tail.compression import translated
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import Chunk, OpenStream, open_stream, regular
from forwarder.tail.wholes import Wholes

MAX_OPEN = 64  # while more live files than this take turns, they are closed in between: often 1,024 may be open
WHOLE_AT_ONCE = 64  # small files that are read in one turn of a thread: the turn costs more than a file
LIVE_BACKLOG_BYTES = 4 << 20  # a file with more unread than this is history, whoever wrote to it last


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
        clock: Clock,
        on_problem: Callable[[File, Exception], None],
        is_whole: Callable[[File], bool] = lambda _: False,
        gist: Callable[[Key, Record], object] = lambda _, __: None,
    ) -> None:
        """`is_whole` and `gist` are what the file's source says of it."""
        self.index = index
        self._clock = clock
        self._is_whole = is_whole
        self._max_line_bytes = max_line_bytes
        self._on_problem = on_problem
        self._live: OrderedDict[File, OpenStream | None] = OrderedDict()
        self._history: OrderedDict[File, OpenStream | None] = OrderedDict()
        self._notices: deque[tuple[File, Quiet]] = deque()
        self._ready: deque[Chunk] = deque()
        self.beats = Beats(gist, max_bytes=max_line_bytes, clock=clock)
        self._wholes = Wholes(index, self.beats, max_bytes=max_line_bytes, clock=clock)
        self._held: set[File] = set()
        self._reading = asyncio.Lock()
        self._reported = asyncio.Event()
        self._is_ending = False
        self._is_closed = False

    def report(self, file: File, *, is_live: bool) -> bool:
        """The file is new or has changed. Reporting it again while it waits changes nothing but its turn.

        Returns whether that may be news: some files say the same over and over.
        """
        if is_live:
            self._live.setdefault(file, self._history.pop(file, None))
        elif file not in self._live:
            self._history.setdefault(file, None)
        self._reported.set()
        return file not in self.beats

    def tell(self, file: File, quiet: Quiet) -> None:
        """Hand the notice out as a record of the file's stream, behind what is being read of it."""
        self._notices.append((file, quiet))
        self._reported.set()

    async def hold(self, file: File) -> None:
        """Leave the file alone, whoever reports it, until `release`. It is not open any more when this returns."""
        self._held.add(file)
        async with self._reading:
            for queue in (self._live, self._history):
                if opened := queue.pop(file, None):
                    opened.close()

    def release(self, file: File) -> None:
        """Read the file again."""
        self._held.discard(file)
        self.report(file, is_live=True)

    def end(self) -> None:
        """No file will be reported any more: `chunks` ends when everything has been read."""
        self._is_ending = True
        self._reported.set()

    @property
    def waiting(self) -> int:
        """How many files have something left to read, or to hear."""
        return len(self._live) + len(self._history) + len(self._notices) + len(self._ready)

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
            if self._ready:
                return self._ready.popleft()
            if self._notices:
                self._hand_out(self._wholes.notice(*self._notices.popleft()))
            elif queue:
                if chunk := await self._read_first(queue):
                    return chunk
            elif self._is_ending:
                return None
            else:
                self._reported.clear()
                await self._reported.wait()
        return None

    async def _read_first(self, queue: OrderedDict[File, OpenStream | None]) -> Chunk | None:
        """Of the file that has waited longest; None where it said nothing, or what it said is in `_ready`."""
        file, opened = queue.popitem(last=False)
        if opened is None and self._is_whole(file):
            await self._read_whole([file, *self._more_whole(queue)])
            return None
        return await self._read(file, opened)

    def _hand_out(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            if not chunk.records or chunk.records[-1].notice is None:
                self.index.update(chunk.row)
        self._ready += chunks

    def _more_whole(self, queue: OrderedDict[File, OpenStream | None]) -> Iterator[File]:
        """Files that are one record and wait next: many are small, so they share a thread's turn."""
        for _ in range(WHOLE_AT_ONCE - 1):
            file = next(iter(queue), None)
            if file is None or not self._is_whole(file):
                return
            del queue[file]
            yield file

    async def _read_whole(self, files: list[File]) -> None:
        async with self._reading:
            wanted = [file for file in files if file not in self._held]
            found = await asyncio.to_thread(self._wholes.read, wanted, is_ending=self._is_ending)
        for file, said in zip(wanted, found, strict=True):
            match said:
                case FileNotFoundError():
                    self._hand_out(self._wholes.notice(file, Vanished(self._clock.now())))
                case Exception():
                    self._on_problem(file, said)
                case _:
                    self._hand_out(said)

    async def _read(self, file: File, opened: OpenStream | None) -> Chunk | None:
        async with self._reading:
            if file not in self._held:
                return await self._read_on(file, opened)
        if opened:
            opened.close()
        return None

    async def _read_on(self, file: File, opened: OpenStream | None) -> Chunk | None:
        try:
            opened, chunk = await asyncio.to_thread(self._read_blocking, file, opened)
        except FileNotFoundError:
            return None
        except (OSError, ForwarderError) as error:
            self._on_problem(file, error)
            return None
        if chunk:
            self.index.update(chunk.row)
        if opened:
            self._put_back(file, opened)
        return chunk

    def _read_blocking(self, file: File, opened: OpenStream | None) -> tuple[OpenStream | None, Chunk | None]:
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
            self.index.saw(opened.seen())
            opened.close()
            return None, None
        return opened, chunk

    def _open(self, file: File) -> OpenStream:
        candidates = self.index.find(file.source, file.path, regular(file.path))
        return open_stream(file.path, candidates, max_line_bytes=self._max_line_bytes)

    def _chunk(self, opened: OpenStream) -> Chunk | None:
        chunk = opened.read()
        if chunk is None and self._is_ending and opened.has_rest:
            return opened.read_last()
        return chunk

    def _put_back(self, file: File, opened: OpenStream) -> None:
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
