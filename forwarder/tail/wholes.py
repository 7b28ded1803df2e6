"""Reads files that are one record, many in a thread's turn, and puts what they said last before what happens next."""

from __future__ import annotations

from collections.abc import Iterable

from forwarder.clock import Clock
from forwarder.errors import ForwarderError
from forwarder.source import Quiet, Record, Vanished
from forwarder.tail.beats import Beats, Key
from forwarder.tail.compression import translated
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import Chunk, regular
from forwarder.tail.whole import OpenWhole


class Wholes:
    """`index` knows their streams, by path; `beats` what they say over and over."""

    def __init__(self, index: StreamIndex, beats: Beats, *, max_bytes: int, clock: Clock) -> None:
        self._index = index
        self._beats = beats
        self._max_bytes = max_bytes
        self._clock = clock

    def read(self, files: Iterable[Key], *, is_ending: bool) -> list[list[Chunk] | OSError | ForwarderError]:
        """Of each file what is new in it, or why it cannot be read. Blocks.

        `is_ending`: they will not change any more, so a half-written content is taken as it is.
        """
        return [self._read(file, is_ending=is_ending) for file in files]

    def notice(self, file: Key, notice: Vanished | Quiet) -> list[Chunk]:
        """The notice as a record, behind what the file said last; if it says the same again, that is news."""
        row = self._index.known(*file)
        if row is None:
            return []
        record = Record(b"", 0, 0, row.head, read_at=self._clock.now(), notice=notice)
        said = self._beats.flush(file)
        self._beats.forget(file)
        return [*said, Chunk(row, [record], is_restarted=False)]

    def _read(self, file: Key, *, is_ending: bool) -> list[Chunk] | OSError | ForwarderError:
        try:
            with translated(file[1]):
                return self._beats.read(file) if file in self._beats else self._begin(file, is_ending=is_ending)
        except (OSError, ForwarderError) as error:
            return error

    def _begin(self, file: Key, *, is_ending: bool) -> list[Chunk]:
        source, path = file
        row = self._index.by_path(source, path, regular(path))
        opened = OpenWhole(row, path, max_bytes=self._max_bytes, now=self._clock.now)
        try:
            chunk = opened.read()
            if chunk is None and is_ending and opened.has_rest:
                chunk = opened.read_last()
        finally:
            opened.close()
        if chunk is None:
            return []
        self._beats.begin(file, chunk)
        return [chunk]
