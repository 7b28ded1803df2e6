"""Wires the rooms: files are followed and mapped, the journal commits, every sink has its own sender."""

from __future__ import annotations

import asyncio
import platform
import sqlite3
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog

from forwarder.app.assembly import (
    fingerprint_key,
    loss_announcer,
    make_encoder,
    make_redactor,
    make_sources,
    mapper_maker,
    name_keeper,
    open_journal,
)
from forwarder.app.committing import Committer
from forwarder.app.config import Settings
from forwarder.app.delivering import Delivery, delivering
from forwarder.app.discovery import gone_for_good, report_present
from forwarder.app.draining import drain, ended, tell_end
from forwarder.app.exits import Exit
from forwarder.app.health import Health
from forwarder.app.intake import Intake, MakeMapper
from forwarder.app.problems import Problems
from forwarder.app.quiet import QuietWatch, whole_files
from forwarder.app.receiving import Reception
from forwarder.app.registry import make_receiver, make_sink
from forwarder.app.remapping import Remapping
from forwarder.app.retrying import take_up_letters
from forwarder.app.serving import Doors
from forwarder.app.spools import Spools
from forwarder.app.state_folder import held
from forwarder.app.state_shapes import renew_states
from forwarder.app.status_note import StatusNote
from forwarder.app.stopping import Stop, stop_on_signals
from forwarder.app.threads import share_the_interpreter
from forwarder.app.unreadable import tell_unreadable
from forwarder.clock import Clock, SystemClock
from forwarder.errors import JournalDamaged
from forwarder.journal import Journal, StreamRow, set_aside
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapped
from forwarder.pipeline.redaction import Redactor
from forwarder.receiver import Receiver
from forwarder.sink import Sink
from forwarder.source import Source
from forwarder.tail.follow import Follower
from forwarder.tail.index import StreamIndex
from forwarder.tail.watch import Watch

PRUNE_SECONDS = 60.0  # between two looks for what the journal need not keep any longer

_log = structlog.get_logger(__name__)


async def run(settings: Settings, *, clock: Clock | None = None) -> Exit:
    """Follow the agents' files and deliver until a signal or a closed pipe asks to stop.

    Raises `ConfigError`, `StateError`; a damaged journal is set aside and reading starts again.
    """
    share_the_interpreter()
    clock = clock or SystemClock()
    sources = make_sources(settings)
    sinks = {name: make_sink(one) for name, one in settings.sinks.items()}
    receivers = {name: make_receiver(one) for name, one in settings.receivers.items()}
    redactor = make_redactor(settings)
    with held(settings.state_dir), stop_on_signals() as stop:
        while True:
            forwarding = Forwarding(settings, sources, sinks, receivers, redactor=redactor, clock=clock, stop=stop)
            try:
                return await forwarding.run()
            except* JournalDamaged as errors:
                aside = set_aside(settings.state_dir, clock.now())
                _log.error(
                    f"{errors.exceptions[0]}; set aside as {aside.name}, reading starts again from the files "
                    "(what sinks have got keeps its ids)"
                )


class Forwarding:
    """One life of the pipeline over one journal."""

    def __init__(
        self,
        settings: Settings,
        sources: dict[str, Source[Any]],
        sinks: dict[str, Sink],
        receivers: dict[str, Receiver],
        *,
        redactor: Redactor,
        clock: Clock,
        stop: Stop,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._sinks = sinks
        self._receivers = receivers
        self._redactor = redactor
        self._clock = clock
        self._stop = stop
        self._started = clock.now()

    async def run(self) -> Exit:
        """Open the journal and the sinks, work until asked to stop, then drain."""
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(open_journal(self._settings, self._clock, self._redactor))
            delivery = await stack.enter_async_context(
                delivering(
                    self._sinks,
                    self._settings.sinks,
                    journal=journal,
                    redactor=self._redactor,
                    clock=self._clock,
                    stop=self._stop,
                )
            )
            exit_status = await self._work(journal, delivery)
            tell_end(delivery)
            return exit_status

    async def _work(self, journal: Journal, delivery: Delivery) -> Exit:
        settings, clock = self._settings, self._clock
        index = StreamIndex(await journal.streams(), journal.new_stream_id)
        problems = Problems()
        follower = Follower(
            index,
            max_line_bytes=settings.max_line_bytes,
            on_problem=problems.add,
            is_whole=lambda file: self._sources[file.source].is_whole(file.path),
            gist=lambda key, record: self._sources[key[0]].gist(record),
            clock=clock,
        )
        quiet = QuietWatch(follower, clock, host=platform.node())
        spools = Spools(follower, journal, sources=self._sources, clock=clock)
        encoder = make_encoder(settings, self._redactor, key=fingerprint_key(settings))
        announce = loss_announcer(settings, encoder, clock)
        committer = Committer(journal, clock, on_full=settings.journal.on_full, announce=announce)
        await renew_states(self._sources, journal, index, write=committer.write)
        make_mapper = mapper_maker(settings, self._redactor, encoder, clock=clock)
        intake = Intake(
            follower,
            committer,
            journal,
            sources=self._sources,
            make_mapper=make_mapper,
            on_progress=partial(_progress, problems, spools),
            quiet=quiet,
        )
        patterns = {name: source.patterns() for name, source in self._sources.items()}
        watch = Watch(patterns, clock=clock, sweep_seconds=settings.sweep_seconds, steady=follower.beats.steady)
        reception = await self._reception(journal, committer, encoder)
        doors = Doors(settings, self._receivers, reception, sinks=self._sinks)
        status = self._status_note(journal, delivery, committer, watch, problems=problems, doors=doors)
        own = Health(status.samples, lambda: committer.problem, clock)
        async with spools, doors.open(own), asyncio.TaskGroup() as tasks:
            reading = [
                tasks.create_task(intake.run()),
                tasks.create_task(watch.run(lambda file: follower.report(file, is_live=True))),
            ]
            again = problems.retry(clock, lambda file: follower.report(file, is_live=True))
            reading += [tasks.create_task(one) for one in (quiet.run(), spools.run(), again)]
            retrying = self._retry(journal, delivery, committer, make_mapper)
            telling = tell_unreadable(problems, journal, committer, sources=self._sources, make_mapper=make_mapper)
            keeping = [
                tasks.create_task(one)
                for one in (status.run(), self._prune(journal, index), retrying, telling, reception.run())
            ]
            committing = tasks.create_task(committer.run())
            found = await self._report_present(watch, index, follower, journal=journal, committer=committer)
            for file in whole_files(index.rows(), self._sources):
                quiet.look_at(file)
            _log.info("at work", sources=sorted(self._sources), sinks=sorted(self._sinks), files=found)
            await self._stop.wait()
            _log.info(f"{self._stop.reason}: stopping, {settings.drain_seconds:g} s to deliver what was read")
            left = await doors.close(settings.drain_seconds)
            await ended(reading)
            exit_status = await drain(committer, delivery, seconds=left)
            await ended([committing, *keeping])
            await status.write(is_running=False)
        return exit_status

    async def _report_present(
        self, watch: Watch, index: StreamIndex, follower: Follower, *, journal: Journal, committer: Committer
    ) -> int:
        """Have the files read that are there at the start; returns how many there are."""
        return await report_present(
            await watch.sweep(is_full=True),
            index=index,
            follower=follower,
            journal=journal,
            committer=committer,
            start=self._settings.start,
            clock=self._clock,
            rank=lambda file: self._sources[file.source].rank(file.path),
        )

    async def _reception(self, journal: Journal, committer: Committer, encoder: Encoder) -> Reception:
        """What the receivers give their events to; they have been told what they noted."""
        for name, receiver in self._receivers.items():
            receiver.recall(await journal.plugin_notes(self._settings.receivers[name].owner))
        return Reception(
            journal,
            committer,
            encoder=encoder,
            name_of=name_keeper(self._settings, self._redactor),
            owners={name: one.owner for name, one in self._settings.receivers.items()},
        )

    def _status_note(
        self,
        journal: Journal,
        delivery: Delivery,
        committer: Committer,
        watch: Watch,
        *,
        problems: Problems,
        doors: Doors,
    ) -> StatusNote:
        return StatusNote(
            journal,
            delivery,
            committer,
            watch,
            problems,
            redactor=self._redactor,
            clock=self._clock,
            started=self._started,
            more=doors.samples,
        )

    async def _retry(self, journal: Journal, delivery: Delivery, committer: Committer, make_mapper: MakeMapper) -> None:
        """Try dead letters again when somebody asks for it."""
        remapping = Remapping(
            journal, committer, self._sources, make_mapper, max_line_bytes=self._settings.max_line_bytes
        )
        await take_up_letters(journal, [delivery.redelivery.take_up, remapping.take_up], self._clock)

    async def _prune(self, journal: Journal, index: StreamIndex) -> None:
        """Now and then drop what need not be kept: old events that were delivered, files that are gone for good."""
        while True:
            try:
                await journal.prune()
                long_ago = self._clock.now().timestamp() - self._settings.journal.remember_seconds
                gone = await asyncio.to_thread(gone_for_good, list(index.rows()), long_ago)
                await journal.forget_streams(gone)
                index.forget(gone)
            except sqlite3.OperationalError as error:
                _log.warning(f"cannot drop old events from the journal: {error}; tried again in {PRUNE_SECONDS:g} s")
            await self._clock.sleep(PRUNE_SECONDS)


def _progress(problems: Problems, spools: Spools, row: StreamRow, _: Mapped) -> None:
    """A file could be read, up to this checkpoint."""
    problems.solved(row.path)
    spools.see(row)
