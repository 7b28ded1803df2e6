"""Files that say the same over and over: of contents in a row with one gist, the first and the last are handed out.

Hundreds of heartbeat files are rewritten every second to no effect. Such a content is read, compared with the one
before and kept; it is handed out when something happens: another gist, a notice, the end of the file. So whoever maps
the records knows what the file said last, and a beat costs a tenth of a record that is mapped and saved.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from forwarder.clock import Clock
from forwarder.journal import StreamRow
from forwarder.source import Record
from forwarder.tail.stream import Chunk
from forwarder.tail.whole import chunk_of, is_half, row_of

STEADY_SECONDS = 20.0

Key = tuple[str, Path]  # the source's name and the file
_Kept = tuple[bytes, os.stat_result, datetime]  # a content, its file, and our clock as it was read


@dataclass(slots=True)
class _Beat:
    """What a file has been saying `since`. `kept` has not been handed out, `at` is when it was read; both monotonic."""

    row: StreamRow
    gist: object
    stat: os.stat_result | None
    kept: _Kept | None
    at: float
    since: float


class Beats:
    """`gist` is the source's: None for a content of which every part counts. `read` blocks."""

    def __init__(self, gist: Callable[[Key, Record], object], *, max_bytes: int, clock: Clock) -> None:
        self._gist = gist
        self._max_bytes = max_bytes
        self._clock = clock
        self._by_file: dict[Key, _Beat] = {}

    def __contains__(self, file: Key) -> bool:
        """The file has said something that may come again."""
        return file in self._by_file

    def last(self, file: Key) -> float:
        """When its last content was read, by the monotonic clock; long ago if there is none."""
        beat = self._by_file.get(file)
        return beat.at if beat else float("-inf")

    def has_read(self, file: Key, found: os.stat_result) -> bool:
        """Whether the file is as it was when it was read last."""
        beat = self._by_file.get(file)
        return beat is not None and beat.stat is not None and _place(beat.stat) == _place(found)

    def begin(self, file: Key, chunk: Chunk) -> None:
        """The content that was just handed out may come again."""
        if chunk.records and (gist := self._gist_of(file, chunk.records[-1])) is not None:
            now = self._clock.monotonic()
            self._by_file[file] = _Beat(chunk.row, gist, None, None, at=now, since=now)

    def steady(self) -> list[Key]:
        """The files that have said nothing new for some time."""
        until = self._clock.monotonic() - STEADY_SECONDS
        return [file for file, beat in self._by_file.items() if beat.since <= until]

    def read(self, file: Key) -> list[Chunk]:
        """What a file that is among these says now: nothing, or what it said last and what is new. Raises `OSError`."""
        beat = self._by_file[file]
        if beat.stat is not None and _place(beat.stat) == _place(os.stat(file[1])):
            return []
        content, found = _content(file[1], self._max_bytes)
        if is_half(content):
            return []
        kept = content, found, self._clock.now()
        gist = self._gist_of(file, Record(content, 0, len(content), b"", is_whole=len(content) <= self._max_bytes))
        if gist is not None and gist == beat.gist:
            beat.stat, beat.kept, beat.at = found, kept, self._clock.monotonic()
            return []
        flushed = self.flush(file)
        chunk = self._chunk(file, beat.row, kept)
        if gist is None:
            self.forget(file)
        else:
            now = self._clock.monotonic()
            self._by_file[file] = _Beat(chunk.row, gist, found, None, at=now, since=now)
        return [*flushed, chunk]

    def flush(self, file: Key) -> list[Chunk]:
        """The last content, if it has not been handed out."""
        beat = self._by_file.get(file)
        if beat is None or beat.kept is None:
            return []
        kept, beat.kept = beat.kept, None
        chunk = self._chunk(file, beat.row, kept)
        beat.row = chunk.row
        return [chunk]

    def forget(self, file: Key) -> None:
        """The file is gone."""
        self._by_file.pop(file, None)

    def _chunk(self, file: Key, row: StreamRow, kept: _Kept) -> Chunk:
        content, found, read_at = kept
        return chunk_of(row_of(row, file[1], content, found), content, max_bytes=self._max_bytes, read_at=read_at)

    def _gist_of(self, file: Key, record: Record) -> object:
        try:
            return self._gist(file, record)
        except Exception:  # noqa: BLE001 - the edge of one record: `map` will say what is wrong with it
            return None


def _content(path: Path, max_bytes: int) -> tuple[bytes, os.stat_result]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is not a regular file")
        return os.read(descriptor, min(found.st_size, max_bytes) + 1), found  # a buffer of this size is taken first
    finally:
        os.close(descriptor)


def _place(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
