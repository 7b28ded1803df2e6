"""From files to the journal: each chunk that the tail hands out is mapped and given to the committer."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from forwarder.app.committing import Committer
from forwarder.errors import JournalDamaged
from forwarder.journal import Journal, StreamRow
from forwarder.pipeline.mapping import Mapped, Mapper
from forwarder.source import Record, Source
from forwarder.tail.follow import Follower
from forwarder.tail.stream import Chunk

SLICE_SECONDS = 0.005  # of mapping at a time; what a record costs is measured and rounded up (`make bench`)
RECORD_SECONDS = 20e-6
BYTE_SECONDS = 4e-9
MAPPERS_KEPT = 512  # states in memory; of a stream that is read again later, the journal has it

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
    ) -> None:
        self._follower = follower
        self._committer = committer
        self._journal = journal
        self._sources = sources
        self._make_mapper = make_mapper
        self._mappers: OrderedDict[int, Mapper] = OrderedDict()
        self._on_progress = on_progress

    async def run(self) -> None:
        """Map and hand on chunk after chunk; the offset and the state behind a chunk travel with its events."""
        async with aclosing(self._follower.chunks()) as chunks:
            async for chunk in chunks:
                mapper = await self._mapper(chunk)
                mapped = await self._map(mapper, chunk)
                is_more_coming = self._follower.waiting > 0
                row = replace(chunk.row, state=mapper.state())
                await self._committer.put(mapped, row, is_more_coming=is_more_coming)
                if self._on_progress:
                    self._on_progress(chunk.row, mapped)

    async def _map(self, mapper: Mapper, chunk: Chunk) -> Mapped:
        """Map in slices, so that delivery and signals get their turn in between."""
        mapped = Mapped()
        for start, end in _slices(chunk.records):
            if start:
                await asyncio.sleep(0)
            part = mapper.map(chunk.records[start:end], skip_until=chunk.row.skip_until)
            mapped.lines += part.lines
            mapped.facts += part.facts
            mapped.dead_letters += part.dead_letters
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
