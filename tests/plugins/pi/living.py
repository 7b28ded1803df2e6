"""A live telemetry folder: heartbeat files come, change and go, and the engine's own rooms follow them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from forwarder_pi import Pi
from forwarder_pi.instance import Instance
from forwarder_pi.state import State

from forwarder import Event, Record, SystemClock
from forwarder.app.committing import Committer
from forwarder.app.intake import Intake
from forwarder.app.problems import Problems
from forwarder.app.quiet import QuietWatch
from forwarder.app.state_folder import held
from forwarder.journal import Journal
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapper
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.tail.follow import File, Follower
from forwarder.tail.index import StreamIndex
from forwarder.tail.watch import Watch
from forwarder.testing import ManualClock

PATIENCE_SECONDS = 20.0  # only a failing test waits as long

Row = dict[str, Any]


@dataclass(frozen=True)
class Watched(Pi):
    """The source, with a list of all that it told."""

    told: list[Event] = field(default_factory=list[Event])

    def map(self, record: Record, state: State | Instance) -> Iterator[Event]:
        events = list(super().map(record, state))
        self.told.extend(events)
        return iter(events)


class Missing(QuietWatch):
    """Remembers which files were found missing."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.found: set[File] = set()

    def gone(self, file: File) -> bool:
        self.found.add(file)
        return super().gone(file)


class Folder:
    """The folder and those who follow it. `alive` are the pids of processes that live."""

    def __init__(self, path: Path, journal: Journal, clock: ManualClock) -> None:
        self.path, self.clock, self.journal = path, clock, journal
        self.alive: set[int] = set()
        self.mapped: dict[str, bytes] = {}
        self.source = Watched(home=str(path / "none"), telemetry=str(path))
        self.index = StreamIndex([], journal.new_stream_id)
        self.follower = Follower(
            self.index,
            max_line_bytes=1 << 20,
            clock=clock,
            on_problem=Problems().add,
            is_whole=lambda file: self.source.is_whole(file.path),
            gist=lambda _, record: self.source.gist(record),
        )
        self.quiet = Missing(self.follower, clock, host="devbox", process_began=self._began)
        self.committer = Committer(journal, clock)
        self.intake = Intake(
            self.follower,
            self.committer,
            journal,
            sources={"pi": self.source},
            make_mapper=lambda name, source, file: Mapper(
                source,
                name=name,
                path=file,
                encoder=Encoder(host="devbox", level=Level.NONE, redactor=Redactor(Rules()), prices=None),
                redactor=Redactor(Rules()),
                level=Level.NONE,
                now=clock.now,
            ),
            on_progress=lambda row, _: self.mapped.update({Path(row.path).name: row.head}),
            quiet=self.quiet,
        )
        self.watch = Watch({"pi": self.source.patterns()}, clock=SystemClock(), sweep_seconds=0.5)

    def _began(self, pid: int) -> float | None:
        return 0.0 if pid in self.alive else None

    async def write(self, name: str, data: str, *, is_told_by_events: bool = True) -> None:
        """As the extension does: whole, under another name, then renamed. Returns once it was mapped, or
        found to say what the one before said.

        File events take some milliseconds; whoever writes thousands of heartbeats tells the follower instead.
        """
        self.path.mkdir(exist_ok=True)
        temporary = self.path / f"{name}.tmp-1"
        content = data.encode("utf-8", "surrogatepass")
        temporary.write_bytes(content)
        temporary.rename(self.path / name)
        if not is_told_by_events:
            self.follower.report(File("pi", self.path / name), is_live=True)
        digest = blake2b(content, digest_size=16).digest()
        file, found = File("pi", self.path / name), os.stat(self.path / name)
        await self._until(lambda: self.mapped.get(name) == digest or self.follower.beats.has_read(file, found))

    async def remove(self, name: str) -> None:
        """Returns once it was noticed."""
        file = File("pi", self.path / name)
        self.quiet.found.discard(file)
        os.unlink(file.path)
        await self._until(lambda: file in self.quiet.found)

    async def wait(self, seconds: float) -> None:
        """Let time pass in the steps in which somebody looks at the clock, and what is told be taken in."""
        end = self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            self.clock.advance(min(left, max(await self.clock.asleep(), 0.001)))
            await self._until(lambda: not self.follower.waiting)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await asyncio.sleep(0.0005)


@asynccontextmanager
async def live_folder(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[Folder]:
    """The rooms at work over a folder that does not exist yet; at the end everything told is in the journal."""
    path = tmp_path / "instances"
    state = tmp_path / "state"
    with held(state):
        async with Journal(
            state, sinks=[], max_bytes=1 << 30, keep_seconds=1e9, remember_seconds=1e9, clock=clock
        ) as journal:
            folder = Folder(path, journal, clock)
            report = folder.follower.report
            tasks = [
                asyncio.create_task(work)
                for work in (
                    folder.committer.run(),
                    folder.intake.run(),
                    folder.quiet.run(),
                    folder.watch.run(lambda file: report(file, is_live=True)),
                )
            ]
            try:
                yield folder
                await folder.committer.finish()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)


async def play(rows: list[Row], tmp_path: Path, *, after_seconds: float = 60.0) -> tuple[list[Event], int]:
    """Do again what was recorded, with the recorder's clock. Returns what was told, and how much was journalled.

    A process lives as long as its file is written or removed later on.
    """
    rows = [row for row in rows if row["op"] == "unlink" or (row["op"] == "rename" and "data" in row)]
    clock = ManualClock(datetime.fromtimestamp(rows[0]["t"] / 1000, UTC))
    async with live_folder(tmp_path, clock) as folder:
        for number, row in enumerate(rows):
            await folder.wait(row["t"] / 1000 - clock.now().timestamp())
            if row["op"] == "unlink":
                await folder.remove(row["name"])
            else:
                await folder.write(row["name"], row["data"])
            folder.alive = {int(Path(later["name"]).stem) for later in _same_lives(rows[: number + 1], rows[number:])}
        folder.alive = set()
        await folder.wait(after_seconds)
        events = folder.source.told
        await folder.committer.finish()
        return events, folder.journal.last


def _same_lives(before: list[Row], after: list[Row]) -> Iterator[Row]:
    """Rows that come, of the lives that there are: the next of each file, unless it is of another life."""
    started = {row["name"]: _started(row) for row in before if row["op"] == "rename"}
    seen: set[str] = set()
    for row in after[1:]:
        if row["name"] not in seen and row["name"] in started:
            seen.add(row["name"])
            if row["op"] == "unlink" or _started(row) == started[row["name"]]:
                yield row


def _started(row: Row) -> int:
    started: int = json.loads(row["data"])["process"]["startedAt"]
    return started
