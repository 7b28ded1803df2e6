"""Whole records from one open file, from an offset; a half-written end waits.

All calls block and belong into a thread. Lines longer than the limit are skipped without being held: what is kept of
them is their head, and where the search for their end stands.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from io import FileIO
from typing import BinaryIO

from forwarder.source import Record

CHUNK_BYTES = 1 << 20  # what a live file waits for while a backfill is read; smaller ones cost more hops of threads
HEAD_KEPT = 4096  # of a line over the limit: enough for its type, ids and time
TAIL_BYTES = 256  # remembered before the offset, to notice a file that was rewritten in place
_BOM = b"\xef\xbb\xbf"
_NUL = b"\0"


class LineReader:
    """Reads records of one stream. `offset` stands after a newline; `tail` is the up to 256 bytes before it."""

    def __init__(
        self, file: BinaryIO, *, offset: int, tail: bytes = b"", first_line: bytes = b"", max_line_bytes: int
    ) -> None:
        self.offset = offset
        self.tail = tail
        self.first_line = first_line
        self.is_at_end = False
        self._file = file
        self._max_line_bytes = max_line_bytes
        self._nuls = 0  # NUL bytes at `offset`, as a stale writer or a power cut leaves them: not held, skipped
        self._rest = b""  # the bytes behind them that hold no newline yet
        self._long: _LongLine | None = None
        file.seek(offset)

    def read(self) -> list[Record]:
        """The next whole lines, about `CHUNK_BYTES` of them; none when the present end was reached (`is_at_end`)."""
        records: list[Record] = []
        self.is_at_end = False
        while not records and not self.is_at_end:
            data = self._file.read(max(CHUNK_BYTES, len(self._rest)))  # doubling, or long lines are copied many times
            self.is_at_end = not data
            if self._long:
                records = self._go_on_skipping(data)
            elif data:
                records = self._cut(data)
                if self._nuls and not self._rest:
                    self._skip_hole()
        return records

    @property
    def has_rest(self) -> bool:
        """Something other than NUL bytes stands behind the last newline."""
        return bool(self._rest or self._long)

    def read_last(self) -> list[Record]:
        """At the end of a file that will not grow: the last line although no newline ends it."""
        if self._long:
            return [self._end_long_line(self._long, newline=b"")]
        rest, self._rest = self._rest, b""
        return self._records([rest], len(rest), rest[-TAIL_BYTES:]) if rest else []

    def _cut(self, data: bytes) -> list[Record]:
        """Only the line that the rest begins is put together: joining all of the text first would copy it twice."""
        lines = data.split(b"\n")
        rest = lines.pop()
        records: list[Record] = []
        if lines:
            begun, self._rest = self._rest, b""
            lines[0] = begun + lines[0]
            end = len(data) - len(rest)
            last = data[end - TAIL_BYTES : end] if end >= TAIL_BYTES else begun[-TAIL_BYTES:] + data[:end]
            records = self._records(lines, len(begun) + end, last)
        self._keep(rest)
        return records

    def _skip_hole(self) -> None:
        """Pass over what a sparse file holds no bytes for: reading 10 GB of nothing would keep other files waiting."""
        if not isinstance(self._file, FileIO) or not hasattr(os, "SEEK_DATA"):
            return
        here, end = self._file.tell(), os.fstat(self._file.fileno()).st_size
        try:
            there = self._file.seek(here, os.SEEK_DATA)
        except OSError:  # no data up to `end`; what was appended since stands behind it
            there = self._file.seek(max(here, end))
        self._nuls += there - here

    def _keep(self, rest: bytes) -> None:
        """Remember the beginning of a line: of NUL bytes only how many, of a line over the limit only its head."""
        self._rest = self._rest + rest if self._rest else rest
        if self._rest.startswith(_NUL):
            stripped = self._rest.lstrip(_NUL)
            self._nuls += len(self._rest) - len(stripped)
            self._rest = stripped
        if len(self._rest) > self._max_line_bytes:
            self._long = _LongLine(self._rest)
            self._rest = b""

    def _records(self, lines: list[bytes], size: int, last: bytes) -> list[Record]:
        """The records of whole lines; `size` counts their newlines, `last` is how they end (see `_advance`)."""
        offset, limit = self.offset + self._nuls, self._max_line_bytes
        if not self.first_line:
            first = lines[0].lstrip(_NUL)
            self.first_line = _digest(first if len(first) <= limit else first[:HEAD_KEPT])
        first_line = self.first_line
        records: list[Record] = []
        for line in lines:
            length = len(line)
            if line and (line[0] == 0 or line[-1] == 13 or offset == 0 or length > limit):
                records.extend(self._trimmed(line, offset))
            elif line:
                records.append(Record(line, offset, length, first_line))
            offset += length + 1
        self._advance(size, last)
        return records

    def _trimmed(self, line: bytes, offset: int) -> list[Record]:
        """The line without leading NUL bytes, BOM and carriage return, or its head; nothing if that is all there is."""
        text = line.lstrip(_NUL)
        offset += len(line) - len(text)
        if len(text) > self._max_line_bytes:
            return [Record(text[:HEAD_KEPT], offset, len(text), self.first_line, is_whole=False)]
        if offset == 0 and text.startswith(_BOM):
            text, offset = text[len(_BOM) :], len(_BOM)
        text = text.removesuffix(b"\r")
        return [Record(text, offset, len(text), self.first_line)] if text else []

    def _advance(self, size: int, last: bytes) -> None:
        """`last` is the end of what was read, whole or at least `TAIL_BYTES` of it, behind the NUL bytes skipped."""
        if len(last) < TAIL_BYTES:
            last = self.tail + bytes(min(self._nuls, TAIL_BYTES)) + last
        self.offset += self._nuls + size
        self.tail = last[-TAIL_BYTES:]
        self._nuls = 0

    def _go_on_skipping(self, data: bytes) -> list[Record]:
        assert self._long
        end = data.find(b"\n")
        if end < 0:
            self._long.feed(data)
            return []
        self._long.feed(data[:end])
        records = [self._end_long_line(self._long, newline=b"\n")]
        after = data[end + 1 :]
        return records + (self._cut(after) if after else [])

    def _end_long_line(self, line: _LongLine, *, newline: bytes) -> Record:
        self._long = None
        self.first_line = self.first_line or _digest(line.head)
        record = Record(line.head, self.offset + self._nuls, line.size, self.first_line, is_whole=False)
        self._advance(line.size + len(newline), line.last + newline)
        return record


class _LongLine:
    """A line over the limit while its end is searched."""

    def __init__(self, data: bytes) -> None:
        self.size = 0
        self.head = b""
        self.last = b""
        self.feed(data)

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        if len(self.head) < HEAD_KEPT:
            self.head += data[: HEAD_KEPT - len(self.head)]
        self.last = (self.last + data[-TAIL_BYTES:])[-TAIL_BYTES:]


def _digest(line: bytes) -> bytes:
    return blake2b(line, digest_size=16).digest()
