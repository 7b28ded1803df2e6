"""From files to the journal: each chunk that the tail hands out is mapped and given to the committer."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace

from forwarder.app.committing import Committer
from forwarder.app.quiet import QuietWatch
from forwarder.errors import JournalDamaged
from forwarder.journal import Journal, StreamRow
from forwarder.pipeline.mapping import Mapped, Mapper
from forwarder.source import Record, Source, Vanished
from forwarder.tail.follow import File, Follower
from forwarder.tail.stream import Chunk

SLICE_SECONDS = 0.005  # of mapping at a time; what a record costs is measured and rounded up (`make bench`)
RECORD_SECONDS = 20e-6
BYTE_SECONDS = 4e-9
MAPPERS_KEPT = 1024  # states in memory; of a stream that is read again later, the journal has it

_log = structlog.get_logger(__name__)

MakeMapper = Callable[[str, Source[Any], Path], Mapper]


class Intake:
    """Runs until the follower ends. `make_mapper` builds the mapper of one stream of a source, by its name."""

    def __init__(
        self,
        follower: Follower,
        committer: Committer,
        journal: Journal,
        *,
        sources: Mapping[str, Source[Any]],
        make_mapper: MakeMapper,
        on_progress: Callable[[StreamRow, Mapped], None] | None = None,
        quiet: QuietWatch | None = None,
    ) -> None:
        """`quiet` is told which files are expected to change again."""
        self._follower = follower
        self._committer = committer
        self._journal = journal
        self._sources = sources
        self._make_mapper = make_mapper
        self._mappers: OrderedDict[int, Mapper] = OrderedDict()
        self._on_progress = on_progress
        self._quiet = quiet

    async def run(self) -> None:
        """Map and hand on chunk after chunk; the offset and the state behind a chunk travel with its events."""
        async with aclosing(self._follower.chunks()) as chunks:
            async for chunk in chunks:
                if not _has_vanished(chunk) or (self._quiet and self._quiet.gone(_file(chunk))):
                    await self._take(chunk)

    async def _take(self, chunk: Chunk) -> None:
        mapper = await self._mapper(chunk)
        mapped = await self._map(mapper, chunk)
        # What is expected to change is gone soon: its events exist only here, its silent checkpoints can wait.
        is_passing = self._expect(mapper, chunk)
        await self._committer.put(
            mapped,
            replace(chunk.row, state=mapper.state()),
            is_more_coming=self._follower.waiting > 0,
            is_lazy=is_passing and not (mapped.lines or mapped.dead_letters),
            is_sole_copy=is_passing,
        )
        if self._on_progress:
            self._on_progress(chunk.row, mapped)

    def _expect(self, mapper: Mapper, chunk: Chunk) -> bool:
        """Whether the source expects, or expected, more of the file."""
        if self._quiet is None:
            return False
        notice = chunk.records[-1].notice if chunk.records else None
        return self._quiet.expect(_file(chunk), mapper.expects(), notice)

    async def _map(self, mapper: Mapper, chunk: Chunk) -> Mapped:
        """Map in slices, so that delivery and signals get their turn in between."""
        mapped = Mapped()
        if (lost := chunk.lost) is not None:
            _log.warning(f"{chunk.row.source}: {lost.bytes} bytes of {chunk.row.path} were {lost.reason} unread")
            mapper.tell_gap(lost.reason, lost.bytes, key=lost.key, offset=lost.offset, mapped=mapped)
        for start, end in _slices(chunk.records):
            if start:
                await asyncio.sleep(0)
            part = mapper.map(chunk.records[start:end], skip_until=chunk.row.skip_until)
            mapped.lines += part.lines
            mapped.facts += part.facts
            mapped.dead_letters += part.dead_letters
            mapped.sessions += part.sessions
        return mapped

    async def _mapper(self, chunk: Chunk) -> Mapper:
        row = chunk.row
        mapper = self._mappers.get(row.id)
        if mapper is None or chunk.is_restarted or mapper.path != Path(row.path):
            state = b"" if chunk.is_restarted else await self._state(row.id)
            mapper = self._make_mapper(row.source, self._sources[row.source], Path(row.path))
            if state and not mapper.restore(state):
                raise JournalDamaged(f"the state of {row.path} in the journal cannot be read")
            self._mappers[row.id] = mapper
            self._forget_some()
        self._mappers.move_to_end(row.id)
        return mapper

    async def _state(self, stream: int) -> bytes:
        mapper = self._mappers.get(stream)
        return mapper.state() if mapper else await self._journal.stream_state(stream)

    def _forget_some(self) -> None:
        while len(self._mappers) > MAPPERS_KEPT:
            oldest = next(iter(self._mappers))
            if self._committer.is_uncommitted(oldest):
                return
            del self._mappers[oldest]


def _file(chunk: Chunk) -> File:
    return File(chunk.row.source, Path(chunk.row.path))


def _has_vanished(chunk: Chunk) -> bool:
    return len(chunk.records) == 1 and isinstance(chunk.records[0].notice, Vanished)


def _slices(records: Sequence[Record]) -> Iterator[tuple[int, int]]:
    """Where to cut the records of a chunk: about `SLICE_SECONDS` of work each."""
    start, cost = 0, 0.0
    for end, record in enumerate(records, 1):
        cost += RECORD_SECONDS + record.size * BYTE_SECONDS
        if cost >= SLICE_SECONDS:
            yield start, end
            start, cost = end, 0.0
    if start < len(records):
        yield start, len(records)
