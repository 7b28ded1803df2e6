"""Which file is which, through rename, copy, compression and truncation.

A stream is a file's content as it grows, wherever it lies. Its identity is device and inode, and what was read of it
proves it: a digest of the head, and one of the bytes before the offset. A renamed file keeps its offset. A file that
got an old inode or an old name does not. A known head and tail under another inode is adopted when it bears the same
name (apart from a suffix of compression) and the old file is gone: a restored, remounted or compressed file is not read
again. Content alone is never the key: forked sessions share their head.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Literal, NamedTuple

from msgspec.structs import replace

from forwarder.journal import StreamRow
from forwarder.source import Record
from forwarder.tail.compression import plain_bytes, translated
from forwarder.tail.reader import LineReader

SKIP_BYTES = 1 << 20  # of a compressed file at a time, when only its size is asked for
HEAD_BYTES = 1024  # more than the ids in the first record of any agent; a shorter file is known by what it has


class Lost(NamedTuple):
    """Bytes from `offset` on that were seen and are gone unread; `key` tells the loss from every other one."""

    reason: Literal["truncated", "replaced"]
    offset: int
    bytes: int
    key: tuple[str | int, ...]


class Chunk(NamedTuple):
    """Records of one stream and its checkpoint behind them; `row.state` is the state before them.

    `is_restarted`: the content was not the one read before, so the state has to begin anew. `lost` is what of the
    content before nobody can read any more.
    """

    row: StreamRow
    records: list[Record]
    is_restarted: bool
    lost: Lost | None = None


class OpenStream:
    """The file at `path`, read on from the offset of `row` once its content is proven. All calls block.

    A content that is not the one of `row` begins a new generation at offset 0; see `is_restarted`. `is_stale` says that
    the content was replaced while the file was open: close it and open it again.
    """

    def __init__(self, row: StreamRow, path: Path, *, max_line_bytes: int) -> None:
        """Raises `OSError` when the file cannot be read, and `MissingExtra`."""
        self.row = self._saved = row
        self.is_restarted = False
        self.is_stale = False
        self._lost: Lost | None = None
        self._path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by `close`
        try:
            self._start(max_line_bytes)
        except BaseException:
            self._file.close()
            raise

    def _start(self, max_line_bytes: int) -> None:
        row, stat = self.row, os.fstat(self._file.fileno())
        self._plain, self._is_compressed = plain_bytes(self._file, self._path)
        tail = b""
        if is_proof_needed(row):
            is_shorter = not self._is_compressed and stat.st_size < max(row.offset, row.skip_until)
            known = None if is_shorter else _proven_tail(self._plain, row)
            if known is None:
                self.is_restarted = True
                self._lost = _lost(row, "truncated" if is_shorter else "replaced")
                row = restarted(row)
            else:
                tail = known
        self._time = stat.st_mtime
        # Whether a compressed file has been read to its end cannot be told from its size: only this time tells it.
        time = 0.0 if self._is_compressed else self._time
        self.row = replace(row, path=str(self._path), device=stat.st_dev, inode=stat.st_ino, time=time)
        self._reader = LineReader(
            self._plain, offset=row.offset, tail=tail, first_line=row.first_line, max_line_bytes=max_line_bytes
        )

    def read(self) -> Chunk | None:
        """The next whole records, or None at the present end of the file.

        Before that, there may be a chunk without records: a checkpoint for a file that is known under another name.
        """
        tail = self._reader.tail
        records = self._reader.read()
        if not self._is_compressed and os.pread(self._file.fileno(), len(tail), self.row.offset - len(tail)) != tail:
            self.is_stale = True
            return None
        if self._reader.offset > self.row.offset:
            return self._chunk(records)
        return self._checkpoint()

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

    def seen(self) -> StreamRow:
        """The checkpoint with the file's size now; that of a compressed file tells nothing."""
        return self.row if self._is_compressed else replace(self.row, seen=os.fstat(self._file.fileno()).st_size)

    def close(self) -> None:
        """Close the file; the object cannot be used any more."""
        self._file.close()

    def _checkpoint(self) -> Chunk | None:
        if self._is_compressed:
            self.row = replace(self.row, time=self._time)
        if _place(self.row, self._is_compressed) == _place(self._saved, self._is_compressed):
            return None
        return self._handed_out([])

    def _handed_out(self, records: list[Record]) -> Chunk:
        is_restarted, self.is_restarted = self.is_restarted, False
        lost, self._lost = self._lost, None
        time = datetime.fromtimestamp(os.fstat(self._file.fileno()).st_mtime, UTC)
        for record in records:
            record.time = time
        self._saved = self.row
        return Chunk(self.row, records, is_restarted, lost)

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
        self.row = self.seen()
        return self._handed_out(records)


def open_stream(path: Path, candidates: Iterable[StreamRow], *, max_line_bytes: int) -> OpenStream:
    """Open the file as the first candidate whose content it continues. If there is none: as a new generation of the one
    that is known under its inode, else as the last candidate, the new one. Blocks; raises `OSError` and `MissingExtra`.
    """
    rewritten: OpenStream | None = None
    try:
        for row in candidates:
            opened = OpenStream(row, path, max_line_bytes=max_line_bytes)
            if opened.is_restarted and (row.device, row.inode) == (opened.row.device, opened.row.inode):
                rewritten = opened
                continue
            if opened.is_restarted:
                opened.close()
                continue
            if rewritten is None:
                return opened
            chosen, other = (opened, rewritten) if is_proof_needed(row) else (rewritten, opened)
            other.close()
            return chosen
    except BaseException:
        if rewritten:
            rewritten.close()
        raise
    raise AssertionError("the last candidate is new and needs no proof")


def restarted(row: StreamRow) -> StreamRow:
    """The same stream in a new generation, from offset 0."""
    return replace(
        row, generation=row.generation + 1, offset=0, skip_until=0, first_line=b"", head_size=0, head=b"",
        tail_size=0, tail=b"", state=b"", seen=0,
    )  # fmt: skip


def _lost(row: StreamRow, reason: Literal["truncated", "replaced"]) -> Lost | None:
    """What was seen behind the offset; bytes that came and went between two looks are not known of."""
    read = max(row.offset, row.skip_until)
    if row.seen <= read:
        return None
    return Lost(reason, read, row.seen - read, (row.first_line.hex(), reason, row.generation, read))


def check_name(path: Path) -> None:
    """Raises `OSError` for a path that is not UTF-8: neither the journal nor an event could carry it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise OSError("its name is not UTF-8; rename it") from error


def regular(path: Path) -> os.stat_result:
    """What the file at `path` is. Raises `OSError` unless it is a regular one with a name that can be written down."""
    check_name(path)
    found = os.stat(path)
    if not S_ISREG(found.st_mode):
        raise OSError(f"{path} is not a regular file")
    return found


def skipped(row: StreamRow) -> StreamRow:
    """The stream with everything that is in its file now marked as unwanted. Blocks; raises `OSError`, `MissingExtra`.

    The head is remembered, so that another file under the same inode or name is not taken for this one.
    """
    path = Path(row.path)
    check_name(path)
    with open(path, "rb", buffering=0) as file, translated(path):
        stat = os.fstat(file.fileno())
        plain, is_compressed = plain_bytes(file, path)
        head = _read_at(plain, 0, HEAD_BYTES)
        size = len(head)
        while is_compressed and (more := plain.read(SKIP_BYTES)):
            size += len(more)
    end = size if is_compressed else stat.st_size
    return replace(row, skip_until=end, head_size=len(head), head=_digest(head), time=stat.st_mtime)


def begun(row: StreamRow, head: bytes) -> StreamRow:
    """The stream of a file that begins with these bytes, of which no record has been read.

    The head is its proof: nothing is known of another file that gets its inode. An empty first line is passed over.
    """
    passed = head[: head.startswith(b"\n")]
    known = passed or head[:HEAD_BYTES]
    return replace(
        row,
        offset=len(passed),
        head_size=len(known),
        head=_digest(known),
        tail_size=len(passed),
        tail=_digest(passed) if passed else b"",
    )


def is_proof_needed(row: StreamRow) -> bool:
    """Something is known of the stream's content."""
    return row.offset > 0 or row.head_size > 0


def _place(row: StreamRow, is_compressed: bool) -> tuple[str, int, int, float]:
    return row.path, row.device, row.inode, row.time if is_compressed else 0.0


def _proven_tail(plain: BinaryIO, row: StreamRow) -> bytes | None:
    """The bytes before the offset, or None when this is not the content that was read up to there."""
    if _digest(_read_at(plain, 0, row.head_size)) != row.head:
        return None
    if not row.tail_size:
        return b""
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
