"""Records that could not be mapped and are wanted again, after an update maybe."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from forwarder.app.committing import Committer
from forwarder.app.intake import MakeMapper
from forwarder.errors import ForwarderError
from forwarder.journal import Changes, Journal, StoredLetter
from forwarder.pipeline.mapping import Mapped
from forwarder.source import Record, Source
from forwarder.tail.compression import COMPRESSED_SUFFIXES, plain_bytes, translated
from forwarder.tail.reader import LineReader

MAPPED_AT_ONCE = 64  # records; then delivery and signals get their turn

_log = structlog.get_logger(__name__)


class Remapping:
    """Maps records again that could not be mapped: what a record means may depend on all before it in its file."""

    def __init__(
        self,
        journal: Journal,
        committer: Committer,
        sources: Mapping[str, Source[Any]],
        make_mapper: MakeMapper,
        *,
        max_line_bytes: int,
    ) -> None:
        self._journal = journal
        self._committer = committer
        self._sources = sources
        self._make_mapper = make_mapper
        self._max_line_bytes = max_line_bytes

    async def take_up(self, letters: Sequence[StoredLetter]) -> None:
        """Map those of sources again. Their events and the end of the letter are one commit."""
        for stored in letters:
            name = stored.letter.source
            if name is None or name not in self._sources:
                continue
            await self._again(stored, self._sources[name])

    async def _again(self, stored: StoredLetter, source: Source[Any]) -> None:
        try:
            mapped = await self._map(stored, source)
        except (OSError, ForwarderError) as error:
            return await self._refuse(stored, str(error))
        if mapped.dead_letters:
            return await self._refuse(stored, mapped.dead_letters[0].reason)
        changes = Changes(lines=mapped.lines, facts=mapped.facts, settled=[stored.id])
        await self._committer.write(partial(self._journal.commit, changes))
        _log.info(f"{stored.letter.source}: a dead letter was mapped again", letter=stored.id, events=len(mapped.lines))
        return None

    async def _refuse(self, stored: StoredLetter, reason: str) -> None:
        await self._committer.write(partial(self._journal.settle_letter, stored.id, refusal=reason))

    async def _map(self, stored: StoredLetter, source: Source[Any]) -> Mapped:
        """What the record says now. Raises `OSError` and `RecordError` when it cannot be found."""
        letter = stored.letter
        assert letter.source is not None
        assert letter.file is not None
        assert letter.offset is not None
        path = _where_it_is(Path(letter.file))
        if source.is_whole(path):
            raise OSError(f"{path} is rewritten in place: what it held then is gone")
        mapper = self._make_mapper(letter.source, source, path)
        with closing(portions(path, max_line_bytes=self._max_line_bytes)) as found:
            while records := await asyncio.to_thread(next, found, None):
                end = next((i for i, one in enumerate(records, 1) if one.offset >= letter.offset), len(records))
                mapped = mapper.map(records[:end], skip_until=letter.offset)
                last = records[end - 1]
                if (last.offset, last.size) == (letter.offset, letter.size):
                    return mapped
                if last.offset >= letter.offset:
                    break
                await asyncio.sleep(0)
        raise OSError(f"no record of {letter.size} bytes begins at {letter.offset} of {path} any more")


def _where_it_is(path: Path) -> Path:
    """The file, or what stands in its place since it was compressed."""
    candidates = (path, *(path.with_name(path.name + suffix) for suffix in COMPRESSED_SUFFIXES))
    return next((one for one in candidates if one.exists()), path)


def portions(path: Path, *, max_line_bytes: int) -> Generator[list[Record]]:
    """The file's records from its beginning, some at a time. Blocks; raises `OSError` and `MissingExtra`."""
    with path.open("rb", buffering=0) as file, translated(path):
        plain, _ = plain_bytes(file, path)
        reader = LineReader(plain, offset=0, max_line_bytes=max_line_bytes)
        while True:
            records = reader.read()
            if not records:
                records = reader.read_last() if reader.has_rest else []
                if not records:
                    return
            for start in range(0, len(records), MAPPED_AT_ONCE):
                yield records[start : start + MAPPED_AT_ONCE]
