"""Whole records from one open file, from an offset; a half-written end waits.

All calls block and belong into a thread. Lines longer than the limit are skipped without being held: what is kept of
them is their head, and where the search for their end stands.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import BinaryIO

from forwarder.source import Record

CHUNK_BYTES = 256 << 10  # about a millisecond of mapping: what a live file waits for while a backfill is read
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
        """The next whole lines, about `CHUNK_BYTES` of them; none when the end was reached (`is_at_end`)."""
        records: list[Record] = []
        while not records and not self.is_at_end:
            data = self._file.read(CHUNK_BYTES)
            self.is_at_end = not data
            if self._long:
                records = self._go_on_skipping(data)
            elif data:
                records = self._cut(data)
        return records

    @property
    def has_rest(self) -> bool:
        """Something other than NUL bytes stands behind the last newline."""
        return bool(self._rest or self._long)

    def read_last(self) -> list[Record]:
        """At the end of a file that will not grow: the last line although no newline ends it."""
        if self._long:
            return [self._end_long_line(self._long, newline=0)]
        rest, self._rest = self._rest, b""
        return self._records([rest], rest) if rest else []

    def _cut(self, data: bytes) -> list[Record]:
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            consumed = self._rest + whole + b"\n" if self._rest else whole + b"\n"
            records = self._records(consumed[:-1].split(b"\n"), consumed)
            self._rest = rest
            return records
        self._rest += data
        if self._rest[0] == 0 and not (stripped := self._rest.lstrip(_NUL)):
            self._nuls += len(self._rest)
            self._rest = stripped
        elif len(self._rest) > self._max_line_bytes:
            self._long = _LongLine(self._rest)
            self._rest = b""
        return []

    def _records(self, lines: list[bytes], consumed: bytes) -> list[Record]:
        offset = self.offset + self._nuls
        if not self.first_line:
            self.first_line = blake2b(lines[0], digest_size=16).digest()
        records: list[Record] = []
        for line in lines:
            size = len(line)
            if size > self._max_line_bytes:
                records.append(self._record(line[:HEAD_KEPT], offset, size, is_whole=False))
            elif line:
                if line[0] == 0 or line[-1] == 13 or offset == 0:
                    records.extend(self._cleaned(line, offset))
                else:
                    records.append(Record(line, offset, size, self.first_line))
            offset += size + 1
        self._advance(consumed)
        return records

    def _cleaned(self, line: bytes, offset: int) -> list[Record]:
        """The line without BOM, carriage return and leading NUL bytes; nothing if that is all there is."""
        text = line.removesuffix(b"\r")
        text = text.removeprefix(_BOM) if offset == 0 else text
        text = text.lstrip(_NUL)
        return [self._record(text, offset + line.find(text), len(text))] if text else []

    def _record(self, line: bytes, offset: int, size: int, *, is_whole: bool = True) -> Record:
        return Record(line, offset, size, self.first_line, is_whole)

    def _advance(self, consumed: bytes) -> None:
        self.offset += self._nuls + len(consumed)
        self._nuls = 0
        self.tail = consumed[-TAIL_BYTES:] if len(consumed) >= TAIL_BYTES else (self.tail + consumed)[-TAIL_BYTES:]

    def _go_on_skipping(self, data: bytes) -> list[Record]:
        assert self._long
        end = data.find(b"\n")
        if end < 0:
            self._long.feed(data)
            return []
        self._long.feed(data[:end])
        records = [self._end_long_line(self._long, newline=1)]
        after = data[end + 1 :]
        return records + (self._cut(after) if after else [])

    def _end_long_line(self, line: _LongLine, *, newline: int) -> Record:
        self._long = None
        start = self.offset + self._nuls
        self.first_line = self.first_line or blake2b(line.head, digest_size=16).digest()
        self.offset = start + line.size + newline
        self.tail = (line.last + b"\n" * newline)[-TAIL_BYTES:]
        self._nuls = 0
        return self._record(line.head, start, line.size, is_whole=False)


class _LongLine:
    """A line over the limit while its end is searched."""

    def __init__(self, data: bytes) -> None:
        self.size = 0
        self.head = data[:HEAD_KEPT]
        self.last = b""
        self.feed(data)

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        self.last = (self.last + data)[-TAIL_BYTES:]
