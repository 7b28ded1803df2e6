"""A file that is one record: read whole each time its content has changed.

Such a file is known by its path, since writers replace it as often as they rewrite it, and its state lives on from one
content to the next. Nothing in it is ever history that was passed over: what it holds now is what counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from msgspec.structs import replace

from forwarder.journal import StreamRow
from forwarder.source import Record
from forwarder.tail.reader import HEAD_KEPT
from forwarder.tail.stream import Chunk

_ENDS = {b"{": b"}", b"[": b"]"}
_BLANK = b" \t\r\n\0\xef\xbb\xbf"


class OpenWhole:
    """The file at `path`; `row` holds the digest of the content that was read last. All calls block.

    A content that does not end as its JSON began is half-written: it waits, and `has_rest` is true.
    """

    def __init__(self, row: StreamRow, path: Path, *, max_bytes: int, now: Callable[[], datetime]) -> None:
        """`now` is the wall clock. Raises `OSError` when the file cannot be read."""
        self.row = row
        self.has_rest = False
        self._now = now
        self._path = path
        self._max_bytes = max_bytes
        self._file = open(path, "rb")  # noqa: SIM115 - closed by `close`

    def read(self) -> Chunk | None:
        """The content as one record, or None if it was read before or is half-written."""
        content, stat = self._content()
        row = row_of(self.row, self._path, content, stat)
        trimmed = content.strip(_BLANK)
        self.has_rest = row.head != self.row.head and is_half(content)
        if not trimmed or self.has_rest:
            return None
        if row.head != self.row.head:
            return self._chunk(content, stat)
        if row == self.row:
            return None
        self.row = row  # touched or replaced by its like: a checkpoint, so that the next look finds nothing new
        return Chunk(row, [], is_restarted=False)

    def read_last(self) -> Chunk:
        """The content as it is, for a file that will not change any more."""
        self.has_rest = False
        return self._chunk(*self._content())

    def close(self) -> None:
        """Close the file; the object cannot be used any more."""
        self._file.close()

    def _content(self) -> tuple[bytes, os.stat_result]:
        stat = os.fstat(self._file.fileno())
        self._file.seek(0)
        return self._file.read(self._max_bytes + 1), stat

    def _chunk(self, content: bytes, stat: os.stat_result) -> Chunk:
        row = row_of(self.row, self._path, content, stat)
        chunk = chunk_of(row, content, max_bytes=self._max_bytes, read_at=self._now())
        self.row = chunk.row
        return chunk


def is_half(content: bytes) -> bool:
    """It is empty, or does not end as its JSON began: whoever writes it is not done. What is no JSON is never half."""
    trimmed = content.strip(_BLANK)
    return trimmed[-1:] != _ENDS.get(trimmed[:1], trimmed[-1:] or None)


def row_of(row: StreamRow, path: Path, content: bytes, stat: os.stat_result) -> StreamRow:
    """The checkpoint behind this content of the file at `path`."""
    return replace(
        row,
        path=str(path),
        device=stat.st_dev,
        inode=stat.st_ino,
        offset=stat.st_size,
        skip_until=0,
        head_size=len(content),
        head=blake2b(content, digest_size=16).digest(),
        time=stat.st_mtime,
    )


def chunk_of(row: StreamRow, content: bytes, *, max_bytes: int, read_at: datetime) -> Chunk:
    """The content, whose checkpoint `row` is, as the next generation of its stream."""
    row = replace(row, generation=row.generation + 1, first_line=row.head)
    is_whole = len(content) <= max_bytes
    line = content if is_whole else content[:HEAD_KEPT]
    time = datetime.fromtimestamp(row.time, UTC)
    record = Record(line, 0, row.offset, row.head, is_whole=is_whole, time=time, read_at=read_at)
    return Chunk(row, [record], is_restarted=False)
