"""What a run knows of its streams, kept from one reading of a file to the next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from forwarder.journal import StreamRow
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import Chunk, open_stream

LIMIT = 1 << 20


class Tail:
    """Reads what is new in a file, as the follower does it, and remembers the checkpoints."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.index = StreamIndex([], lambda: next(self._numbers))

    def chunks(self, path: Path, stat: os.stat_result | None = None) -> list[Chunk]:
        """All chunks of one opening of the file; `stat` pretends another identity."""
        candidates = self.index.find("acme", path, stat or os.stat(path))
        opened = open_stream(path, candidates, max_line_bytes=LIMIT)
        found: list[Chunk] = []
        try:
            while chunk := opened.read():
                self.index.update(chunk.row)
                found.append(chunk)
        finally:
            opened.close()
        return found

    def lines(self, path: Path, stat: os.stat_result | None = None) -> list[bytes]:
        """The lines of all chunks."""
        return [record.line for chunk in self.chunks(path, stat) for record in chunk.records]

    def rows(self) -> list[StreamRow]:
        """The checkpoints of all streams, the oldest stream first."""
        return sorted(self.index.rows(), key=lambda row: row.id)

    def restart(self) -> None:
        """Forget all but what the journal would keep."""
        self.index = StreamIndex(self.rows(), lambda: next(self._numbers))


@pytest.fixture
def tail() -> Tail:
    return Tail()


@pytest.fixture
def lines() -> Iterator[bytes]:
    """Lines that are all different, each with its newline."""
    return (b'{"number":%d,"text":"%b"}\n' % (number, b"x" * (number % 50)) for number in count())
