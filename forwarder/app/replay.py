"""`replay`: the same rooms over files that are read once from their beginning, with a journal of their own.

The journal of a replay lies in a folder named after what was asked for. Interrupted and started again, it goes on where
it was; once everything is delivered the folder is removed, so that the same request replays from the beginning again.
Ids depend on none of this.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import structlog

from forwarder.app.assembly import (
    fingerprint_key,
    make_encoder,
    make_redactor,
    make_sources,
    mapper_maker,
    open_journal,
)
from forwarder.app.committing import Committer
from forwarder.app.config import STDOUT, Settings, SinkSettings
from forwarder.app.delivering import Delivery, delivering
from forwarder.app.draining import drain, ended
from forwarder.app.exits import Exit
from forwarder.app.intake import Intake
from forwarder.app.pacing import Paced
from forwarder.app.problems import Problems
from forwarder.app.registry import make_sink
from forwarder.app.request import Progress, ReplayRequest
from forwarder.app.state_folder import held
from forwarder.app.stopping import Stop, stop_on_signals
from forwarder.app.threads import share_the_interpreter
from forwarder.clock import Clock, SystemClock
from forwarder.errors import ConfigError, JournalDamaged
from forwarder.events import Event
from forwarder.journal import StreamRow
from forwarder.pipeline.mapping import Mapped
from forwarder.sink import Batch, Sink
from forwarder.source import Source
from forwarder.tail.compression import plain_sibling
from forwarder.tail.follow import File, Follower
from forwarder.tail.index import StreamIndex

_log = structlog.get_logger(__name__)

OnProgress = Callable[[Progress], None]


async def replay(
    settings: Settings, request: ReplayRequest, *, progress: OnProgress | None = None, clock: Clock | None = None
) -> Exit:
    """Read the files once and deliver their events to one sink. Raises `ConfigError` and `StateError`."""
    share_the_interpreter()
    clock = clock or SystemClock()
    sources = _chosen(make_sources(settings), request.sources)
    files = sorted(set(_files(request.paths, sources)), key=lambda file: _place(file, sources))
    sink_settings = _destination(settings, request)
    sink: Sink = Discarding() if request.dry_run else make_sink(sink_settings)
    if sink.counts:
        raise ConfigError(
            f"--to {request.to}: this sink counts, and a replay would count again what it has counted already: sinks "
            "like it are left out of replays; name another one"
        )
    if request.speed is not None and not request.dry_run:
        sink = Paced(sink, request.speed, clock)
    folder = settings.state_dir / "replay" / folder_name(request, sink_settings)
    with held(folder), stop_on_signals() as stop:
        replaying = Replaying(
            replace(settings, state_dir=folder, key_dir=settings.state_dir, sinks={sink_settings.name: sink_settings}),
            request,
            sources=sources,
            files=files,
            sink=sink,
            clock=clock,
            stop=stop,
        )
        try:
            exit_status = await replaying.run(progress or (lambda _: None))
        except* JournalDamaged:
            shutil.rmtree(folder)
            raise
        if not stop.is_by_signal:  # a reader that left (`| head`) has seen enough: next time it starts anew
            shutil.rmtree(folder)
    return exit_status


class Discarding(Sink):
    """Where a dry run delivers to."""

    async def send(self, batch: Batch) -> None:
        """Take the batch and do nothing with it."""


class Replaying:
    """One replay at work."""

    def __init__(
        self,
        settings: Settings,
        request: ReplayRequest,
        *,
        sources: Mapping[str, Source[Any]],
        files: list[File],
        sink: Sink,
        clock: Clock,
        stop: Stop,
    ) -> None:
        self._settings = settings
        self._request = request
        self._sources = sources
        self._files = files
        self._sink = sink
        self._clock = clock
        self._stop = stop
        self._dead_letters = 0

    async def run(self, on_progress: OnProgress) -> Exit:
        """Read, map and deliver to the end, or until asked to stop."""
        settings, clock = self._settings, self._clock
        redactor = make_redactor(settings)
        (name,) = settings.sinks
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(open_journal(settings, clock, redactor))
            delivery = await stack.enter_async_context(
                delivering(
                    {name: self._sink}, settings.sinks, journal=journal, redactor=redactor, clock=clock, stop=self._stop
                )
            )
            problems = Problems()
            follower = Follower(
                StreamIndex(await journal.streams(), journal.new_stream_id),
                max_line_bytes=settings.max_line_bytes,
                on_problem=problems.add,
                is_whole=lambda file: self._sources[file.source].is_whole(file.path),
                clock=clock,
            )
            committer = Committer(journal, clock)
            maker = mapper_maker(
                settings,
                redactor,
                make_encoder(settings, redactor, key=fingerprint_key(settings)),
                clock=clock,
                is_replay=True,
                wanted=_wanted(self._request),
            )
            counting = _Counting(self._files, on_progress)
            intake = Intake(
                follower,
                committer,
                journal,
                sources=self._sources,
                make_mapper=maker,
                on_progress=counting.add,
            )
            for file in self._files:
                follower.report(file, is_live=False)
            follower.end()
            async with asyncio.TaskGroup() as tasks:
                committing = tasks.create_task(committer.run())
                await self._until_delivered(tasks.create_task(intake.run()), committer, delivery)
                exit_status = Exit.OK
                if self._stop.is_asked:
                    exit_status = await drain(committer, delivery, seconds=settings.drain_seconds)
                await ended([committing])
            counting.finish(journal.last)
        has_losses = problems.by_file or counting.dead_letters or delivery.dead_lettered
        return Exit.PROBLEM if exit_status is Exit.OK and has_losses else exit_status

    async def _until_delivered(self, intake: asyncio.Task[None], committer: Committer, delivery: Delivery) -> None:
        async def deliver() -> None:
            await intake
            await committer.finish()
            await delivery.drained()

        delivering_all, stopping = asyncio.create_task(deliver()), asyncio.create_task(self._stop.wait())
        await asyncio.wait([delivering_all, stopping], return_when=asyncio.FIRST_COMPLETED)
        await ended([stopping, intake, delivering_all])


class _Counting:
    """Turns what was mapped into progress."""

    def __init__(self, files: list[File], on_progress: OnProgress) -> None:
        self._sizes = {str(file.path): _size(file.path) for file in files}
        self._reached: dict[str, int] = {}
        self._on_progress = on_progress
        self._progress = Progress(files_total=len(files), bytes_total=sum(self._sizes.values()))
        self.dead_letters = 0

    def add(self, row: StreamRow, mapped: Mapped) -> None:
        """Count what was mapped of a stream that now stands at `row`."""
        size = self._sizes.get(row.path, 0)
        before, now = self._reached.get(row.path, 0), min(row.offset, size)
        self._reached[row.path] = now
        progress = self._progress
        progress.bytes_done += now - before
        progress.files_done += before < size <= now
        progress.events += len(mapped.lines)
        self.dead_letters += len(mapped.dead_letters)
        self._on_progress(progress)

    def finish(self, events: int) -> None:
        """Of what was mapped only facts that had not been told were events: forks and copies repeat each other."""
        self._progress.events = events
        self._on_progress(self._progress)


def _chosen(sources: dict[str, Source[Any]], names: tuple[str, ...]) -> dict[str, Source[Any]]:
    if unknown := [name for name in names if name not in sources]:
        raise ConfigError(f"--source {unknown[0]}: no such source; there are {', '.join(sorted(sources))}")
    return {name: source for name, source in sources.items() if not names or name in names}


def _files(paths: Iterable[Path], sources: Mapping[str, Source[Any]]) -> Iterator[File]:
    """The files that some source recognises; a compressed one not beside its plain form."""
    for given in paths:
        found = sorted(_below(given)) if given.is_dir() else [given]
        if not given.exists():
            raise ConfigError(f"{given}: no such file or folder")
        for path in found:
            plain = plain_sibling(path)
            if plain is not None and plain.exists():
                continue
            yield from (File(name, path.absolute()) for name, source in sources.items() if source.recognises(path))


def _place(file: File, sources: Mapping[str, Source[Any]]) -> tuple[int, str, str]:
    """By rank, then always in the same order."""
    return sources[file.source].rank(file.path), str(file.path), file.source


def _below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)


def _destination(settings: Settings, request: ReplayRequest) -> SinkSettings:
    """The sink that `--to` names: one of the configuration, or stdout. `--project` narrows what it takes."""
    sink = settings.sinks.get(request.to)
    if sink is None and request.to == STDOUT:
        sink = settings.on_stdout(STDOUT)
    if sink is None:
        known = ", ".join(sorted({*settings.sinks, STDOUT}))
        raise ConfigError(f"--to {request.to}: no such sink in the configuration; there are {known}")
    return replace(sink, projects=(request.project,)) if request.project else sink


def _wanted(request: ReplayRequest) -> Callable[[Event], bool] | None:
    since, until, session = request.since, request.until, request.session
    if since is None and until is None and session is None:
        return None

    def wanted(event: Event) -> bool:
        return (
            (since is None or event.time >= since)
            and (until is None or event.time < until)
            and (session is None or session in (event.session.id, event.session.parent_id))
        )

    return wanted


def folder_name(request: ReplayRequest, sink: SinkSettings) -> str:
    """A folder name that is the same when the same is asked for again."""
    asked = sorted(str(path.absolute()) for path in request.paths)
    rest = replace(request, paths=())
    if any(request.period):
        rest = replace(rest, since=None, until=None)
    return blake2b(repr((asked, rest, sink)).encode(), digest_size=8).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # it is reported when reading it fails
