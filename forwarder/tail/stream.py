"""Which file is which, through rename, copy, compression and truncation.

A stream is a file's content as it grows, wherever it lies. Its identity is device and inode, and what was read of it
proves it: a digest of the head, and one of the bytes before the offset. A renamed file keeps its offset. A file that
got an old inode or an old name does not. A known head and tail under another inode is adopted when it bears the same
name (apart from a suffix of compression) and the old file is gone: a restored, remounted or compressed file is not read
again. Content alone is never the key: forked sessions share their head.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple

from msgspec.structs import replace

from forwarder.journal import StreamRow
from forwarder.source import Record
from forwarder.tail.compression import plain_bytes, plain_name
from forwarder.tail.reader import LineReader

HEAD_BYTES = 1024  # more than the ids in the first record of any agent; a shorter file is known by what it has


class Chunk(NamedTuple):
    """Records of one stream and its checkpoint behind them; `row.state` is the state before them.

    `is_restarted`: the content was not the one read before, so the state has to begin anew.
    """

    row: StreamRow
    records: list[Record]
    is_restarted: bool


class OpenStream:
    """An open file of a stream, read on from the stream's offset once its content is proven. All calls block.

    A content that is not the one of `row` begins a new generation at offset 0; see `is_restarted`.
    """

    def __init__(self, row: StreamRow, *, max_line_bytes: int) -> None:
        """Raises `OSError` when the file cannot be read, and `MissingExtra`."""
        self.row = row
        self.is_restarted = False
        self._file = open(row.path, "rb", buffering=0)  # noqa: SIM115 - closed by `close`
        try:
            self._start(max_line_bytes)
        except BaseException:
            self._file.close()
            raise

    def _start(self, max_line_bytes: int) -> None:
        row, stat = self.row, os.fstat(self._file.fileno())
        self._plain, self._is_compressed = plain_bytes(self._file, Path(row.path))
        tail = b""
        if row.offset:
            is_shorter = not self._is_compressed and stat.st_size < row.offset
            known = None if is_shorter else _proven_tail(self._plain, row)
            if known is None:
                self.is_restarted = True
                row = restarted(row)
            else:
                tail = known
        self.row = replace(row, device=stat.st_dev, inode=stat.st_ino, time=stat.st_mtime)
        self._reader = LineReader(
            self._plain, offset=row.offset, tail=tail, first_line=row.first_line, max_line_bytes=max_line_bytes
        )

    def read(self) -> Chunk | None:
        """The next whole records, or None at the present end of the file."""
        records = self._reader.read()
        return self._chunk(records) if self._reader.offset > self.row.offset else None

    def read_last(self) -> Chunk:
        """At the end of a file that will not grow: the last line although no newline ends it, if there is one."""
        return self._chunk(self._reader.read_last())

    @property
    def has_rest(self) -> bool:
        """Something stands behind the last newline."""
        return self._reader.has_rest

    def backlog(self) -> int | None:
        """Bytes behind the offset; None for a compressed file, whose plain size is not known."""
        return None if self._is_compressed else os.fstat(self._file.fileno()).st_size - self.row.offset

    def close(self) -> None:
        """Close the file; the object cannot be used any more."""
        self._file.close()

    def _chunk(self, records: list[Record]) -> Chunk:
        reader, row = self._reader, self.row
        if row.head_size < HEAD_BYTES:
            position = self._plain.tell()
            head = _read_at(self._plain, 0, min(HEAD_BYTES, reader.offset))
            self._plain.seek(position)
            row = replace(row, head_size=len(head), head=_digest(head))
        self.row = replace(
            row,
            offset=reader.offset,
            first_line=reader.first_line,
            tail_size=len(reader.tail),
            tail=_digest(reader.tail),
        )
        is_restarted, self.is_restarted = self.is_restarted, False
        return Chunk(self.row, records, is_restarted)


class StreamIndex:
    """The known streams of all sources, found by inode or by name."""

    def __init__(self, rows: Iterable[StreamRow], new_id: Callable[[], int]) -> None:
        self._new_id = new_id
        self._by_id: dict[int, StreamRow] = {}
        self._by_inode: dict[tuple[str, int, int], int] = {}
        self._by_name: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for row in rows:
            self.update(row)

    def update(self, row: StreamRow) -> None:
        """Take over a checkpoint (its state is not kept here)."""
        old = self._by_id.get(row.id)
        if old is None or old.path != row.path:
            if old is not None:
                self._by_name[self._name(old)].remove(old.id)
            self._by_name[self._name(row)].append(row.id)
        self._by_id[row.id] = replace(row, state=b"") if row.state else row
        self._by_inode[row.source, row.device, row.inode] = row.id

    def at(self, source: str, stat: os.stat_result) -> StreamRow | None:
        """The stream that was last seen under this device and inode."""
        known = self._by_inode.get((source, stat.st_dev, stat.st_ino))
        return self._by_id[known] if known is not None else None

    def find(self, source: str, path: Path, stat: os.stat_result) -> Iterator[StreamRow]:
        """Streams that the file at `path` may be, best guess first; the last one is new. Their content decides."""
        known = self.at(source, stat)
        if known is not None:
            yield replace(known, path=str(path))
        for one in list(self._by_name.get((source, plain_name(path)), ())):
            row = self._by_id[one]
            if row is not known and (row.path == str(path) or not os.path.exists(row.path)):
                yield replace(row, path=str(path))
        yield self.new(source, path, stat)

    def new(self, source: str, path: Path, stat: os.stat_result, *, skip_until: int = 0) -> StreamRow:
        """A stream that nobody has read from yet."""
        return StreamRow(
            id=self._new_id(),
            source=source,
            path=str(path),
            device=stat.st_dev,
            inode=stat.st_ino,
            skip_until=skip_until,
            time=stat.st_mtime,
        )

    def rows(self) -> Iterable[StreamRow]:
        """All known streams."""
        return self._by_id.values()

    def forget(self, ids: Iterable[int]) -> None:
        """Drop streams whose files are gone for good."""
        for one in ids:
            row = self._by_id.pop(one)
            self._by_name[self._name(row)].remove(one)
            if self._by_inode.get((row.source, row.device, row.inode)) == one:
                del self._by_inode[row.source, row.device, row.inode]

    @staticmethod
    def _name(row: StreamRow) -> tuple[str, str]:
        return row.source, plain_name(Path(row.path))


def open_stream(candidates: Iterable[StreamRow], *, max_line_bytes: int) -> OpenStream:
    """Open the file as the first candidate whose content it continues; if there is none, as a new generation of the
    first one. Blocks; raises `OSError` and `MissingExtra`.
    """
    fallback: OpenStream | None = None
    for row in candidates:
        opened = OpenStream(row, max_line_bytes=max_line_bytes)
        if not opened.is_restarted:
            if fallback and row.offset == 0:  # a new stream, though the file has a known inode: a new generation of it
                opened.close()
                return fallback
            if fallback:
                fallback.close()
            return opened
        if fallback:
            opened.close()
        else:
            fallback = opened
    assert fallback, "the last candidate is new and cannot be restarted"
    return fallback


def restarted(row: StreamRow) -> StreamRow:
    """The same stream in a new generation, from offset 0."""
    return replace(
        row, generation=row.generation + 1, offset=0, skip_until=0, first_line=b"", head_size=0, head=b"",
        tail_size=0, tail=b"", state=b"",
    )  # fmt: skip


def _proven_tail(plain: BinaryIO, row: StreamRow) -> bytes | None:
    """The bytes before the offset, or None when this is not the content that was read up to there."""
    if _digest(_read_at(plain, 0, row.head_size)) != row.head:
        return None
    tail = _read_at(plain, row.offset - row.tail_size, row.tail_size)
    return tail if _digest(tail) == row.tail else None


def _read_at(plain: BinaryIO, offset: int, size: int) -> bytes:
    plain.seek(offset)
    data = plain.read(size)
    while len(data) < size and (more := plain.read(size - len(data))):
        data += more
    return data


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
