"""The rooms from file to journal, wired as the engine does it, with a tiny source and no sinks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from forwarder import Event, Prompt, Record, Session, Source, text_digest, text_size
from forwarder.app.committing import Committer
from forwarder.app.discovery import report_present
from forwarder.app.intake import Intake
from forwarder.app.problems import Problems
from forwarder.journal import Journal, StreamRow
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapper
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.tail.follow import File, Follower
from forwarder.tail.index import StreamIndex
from forwarder.testing import ManualClock

TIME = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Count:
    """How many records came before, and the session of the file that the state was made for."""

    session: Session
    records: int = 0


@dataclass(frozen=True)
class Counting(Source[Count]):
    """One prompt per JSON line; its text says how many records came before it, so that a wrong state shows."""

    def patterns(self) -> list[str]:
        return ["/nowhere/*.jsonl"]

    def new_state(self, path: Path) -> Count:
        return Count(Session(agent="acme", id=path.name))

    def map(self, record: Record, state: Count) -> Iterator[Event]:
        text = f"{state.records}:{record.json()}"
        state.records += 1
        yield Prompt(
            key=record.key,
            time=TIME,
            session=state.session,
            bytes=text_size(text),
            chars=len(text),
            sha256=text_digest(text),
            text=text,
        )


class Rooms:
    """One life of the pipeline over a journal."""

    def __init__(self, journal: Journal, rows: list[StreamRow], clock: ManualClock) -> None:
        self.journal = journal
        self.clock = clock
        self.problems = Problems()
        self.index = StreamIndex(rows, journal.new_stream_id)
        self.follower = Follower(self.index, max_line_bytes=1 << 20, clock=clock, on_problem=self.problems.add)
        self.committer = Committer(journal, clock)
        redactor = Redactor(Rules())
        encoder = Encoder(host="mac", level=Level.NONE, redactor=redactor, prices=None)

        self.mappers_made = 0

        def make_mapper(name: str, source: Source[Any], path: Path) -> Mapper:
            self.mappers_made += 1
            return Mapper(
                source, name=name, path=path, encoder=encoder, redactor=redactor, level=Level.NONE, now=clock.now
            )

        sources = {"acme": Counting()}
        self.intake = Intake(self.follower, self.committer, journal, sources=sources, make_mapper=make_mapper)

    async def start(self, *paths: Path, start: float | Literal["all", "none"] = "all") -> int:
        """What the engine does with the files that are there when it starts; returns how many have to be read."""
        await report_present(
            [File("acme", path) for path in paths],
            index=self.index,
            follower=self.follower,
            journal=self.journal,
            committer=self.committer,
            start=start,
            clock=self.clock,
        )
        return self.follower.waiting

    async def read(self, *changed: Path) -> None:
        """Read what was reported, and these files, to the end, and commit it."""
        for path in changed:
            self.follower.report(File("acme", path), is_live=True)
        self.follower.end()
        async with asyncio.timeout(10):
            await self.intake.run()
            await self.committer.finish()

    async def texts(self) -> list[str]:
        """The prompts in the journal, in order."""
        if not self.journal.last:
            return []
        lines = [line for block in await self.journal.events_after(0) for line in block.lines]
        return [json.loads(line)["text"] for line in lines]


@asynccontextmanager
async def opened(folder: Path, clock: ManualClock) -> AsyncGenerator[Rooms]:
    """The rooms over the journal in `folder`, with a committer at work."""
    journal = Journal(folder, sinks=[], max_bytes=1 << 30, keep_seconds=1e9, remember_seconds=1e9, clock=clock)
    async with journal:
        rooms = Rooms(journal, await journal.streams(), clock)
        task = asyncio.create_task(rooms.committer.run())
        try:
            yield rooms
        finally:
            task.cancel()
            await asyncio.wait([task])
