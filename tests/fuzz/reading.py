"""Target: the line reader, whatever the file holds and however the reads cut it."""

from __future__ import annotations

import io
from random import Random

from forwarder import Record
from forwarder.tail.reader import HEAD_KEPT, LineReader
from tests.fuzz.mutation import spoilt
from tests.fuzz.target import Target, require

LIMITS = (1, 7, 64, 300, 5000, 1 << 20)
_PIECES = (
    *(b"\n", b"\r\n", b"\n\n", b"\0", b"\0" * 300, b"\0\n", b"\xef\xbb\xbf", b"\xef\xbb", b'{"a":1}', b"\r", b"x"),
    *(b"y" * 63, b"y" * 64, b"y" * 65, b"z" * 299, b"z" * 300, b"z" * 301, b"\n" * 40, b"long" * 1500, b"\xff\xfe"),
)


class _Pieces(io.BytesIO):
    """Hands out as little as it likes, and sometimes nothing although there is more: a file that grows."""

    def __init__(self, content: bytes, random: Random) -> None:
        super().__init__(content)
        self._random = random

    def read(self, size: int | None = -1, /) -> bytes:
        del size
        return super().read(self._random.choice((0, 1, 1, 2, 5, 64, 257, 4000)))


class ReaderTarget(Target):
    """An input is a file."""

    name = "line_reader"

    def seeds(self) -> list[bytes]:
        return [b"".join(Random(seed).choices(_PIECES, k=30)) for seed in range(20)]

    def mutated(self, data: bytes, random: Random) -> bytes:
        for _ in range(random.randrange(1, 6)):
            at = random.randrange(len(data) + 1)
            piece = random.choice(_PIECES)
            data = data[:at] + piece + data[at:] if random.random() < 0.6 else spoilt(data, random)
        return data[:20_000]

    def check(self, data: bytes) -> None:
        random = Random(data)
        limit = random.choice(LIMITS)
        whole, _ = _read(LineReader(io.BytesIO(data), offset=0, max_line_bytes=limit))
        cut, places = _read(LineReader(_Pieces(data, random), offset=0, max_line_bytes=limit))
        require(cut == whole, f"cuts change the records (lines up to {limit}): {_difference(whole, cut)}")
        require(_texts(whole) == _expected(data, limit), f"not the lines of the file (lines up to {limit})")
        if whole:
            self._check_resumed(data, whole, random.choice(places), limit)

    def _check_resumed(self, data: bytes, whole: list[Record], place: tuple[int, bytes, bytes], limit: int) -> None:
        offset, tail, first_line = place
        require(offset == 0 or data[offset - 1 : offset] == b"\n", f"offset {offset} is not behind a newline")
        require(tail == data[max(0, offset - 256) : offset], f"the tail at {offset} is not what stands before it")
        reader = LineReader(io.BytesIO(data), offset=offset, tail=tail, first_line=first_line, max_line_bytes=limit)
        rest, _ = _read(reader)
        expected = [record for record in whole if record.offset >= offset]
        require(rest == expected, f"read on at {offset} (lines up to {limit}): {_difference(expected, rest)}")


Place = tuple[int, bytes, bytes]


def _read(reader: LineReader) -> tuple[list[Record], list[Place]]:
    """All records, and where the reader has stood between reads."""
    records: list[Record] = []
    places: list[Place] = []
    ends = 0
    while ends < 64:  # a file that seems to end and goes on
        records += reader.read()
        places.append((reader.offset, reader.tail, reader.first_line))
        ends = ends + 1 if reader.is_at_end else 0
    return records + reader.read_last(), places


def _expected(data: bytes, limit: int) -> list[tuple[bytes, int, int]]:
    """The same by the simplest code that can say it: text or head, offset, size."""
    found: list[tuple[bytes, int, int]] = []
    offset = 0
    for line in data.split(b"\n"):
        text = line.lstrip(b"\0")
        at = offset + len(line) - len(text)
        offset += len(line) + 1
        if len(text) > limit:
            found.append((text[:HEAD_KEPT], at, len(text)))
            continue
        if at == 0 and text.startswith(b"\xef\xbb\xbf"):
            text, at = text[3:], 3
        if text := text.removesuffix(b"\r"):
            found.append((text, at, len(text)))
    return found


def _texts(records: list[Record]) -> list[tuple[bytes, int, int]]:
    return [(record.line, record.offset, record.size) for record in records]


def _difference(wanted: list[Record], got: list[Record]) -> str:
    for one, other in zip(wanted, got, strict=False):
        if one != other:
            return f"{one} became {other}"
    return f"{len(wanted)} records became {len(got)}"
