"""The configured sinks at work: one sender each, started together and drained until a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from forwarder.app.assembly import loosest, transform_for
from forwarder.app.config import SinkSettings
from forwarder.app.redelivery import Redelivery
from forwarder.app.stopping import Stop
from forwarder.clock import Clock
from forwarder.delivery.selection import Selection
from forwarder.delivery.sender import Sender
from forwarder.errors import SinkClosed
from forwarder.journal import Journal
from forwarder.pipeline.redaction import Redactor
from forwarder.sink import Batching, Sink

_log = structlog.get_logger(__name__)


class Delivery:
    """The senders of all sinks while they run; made by `delivering`."""

    def __init__(self, senders: Mapping[str, Sender], journal: Journal, redelivery: Redelivery) -> None:
        self.senders = senders
        self.redelivery = redelivery
        self._journal = journal
        self._gone: set[str] = set()
        self._waited_for: dict[str, asyncio.Task[None]] = {}

    def left(self, name: str) -> None:
        """The destination of this sink is gone on purpose: nobody waits for it any more."""
        self._gone.add(name)
        if name in self._waited_for:
            self._waited_for[name].cancel()

    async def drained(self) -> None:
        """Return when every sink that is still there has taken everything in the journal."""
        for name, sender in self.senders.items():
            if name not in self._gone:
                sender.hurry()
                self._waited_for[name] = asyncio.create_task(sender.caught_up(self._journal.last))
        try:
            if self._waited_for:
                await asyncio.wait(self._waited_for.values())
        finally:
            for task in self._waited_for.values():
                task.cancel()
            self._waited_for.clear()

    @property
    def dead_lettered(self) -> int:
        """Events that destinations refused for good."""
        return sum(sender.dead_lettered for sender in self.senders.values())

    def delivered(self) -> dict[str, int]:
        """How many events each sink has taken, those that are gone included."""
        return {name: sender.status().delivered_events for name, sender in self.senders.items()}

    def late(self) -> dict[str, int]:
        """How many events each sink that has not taken everything lacks."""
        behind = {name: sender.status().behind for name, sender in self.senders.items() if name not in self._gone}
        return {name: count for name, count in behind.items() if count}


@asynccontextmanager
async def delivering(
    sinks: Mapping[str, Sink],
    settings: Mapping[str, SinkSettings],
    *,
    journal: Journal,
    redactor: Redactor,
    clock: Clock,
    stop: Stop,
) -> AsyncGenerator[Delivery]:
    """Open the sinks and deliver to them while the block runs; a sink whose destination left asks to stop."""
    level = loosest(settings.values())
    async with AsyncExitStack() as stack:
        for name, sink in sinks.items():
            sink.recall(await journal.plugin_notes(settings[name].owner))
            await stack.enter_async_context(sink.lifespan())
        senders = {
            name: Sender(
                name,
                sink,
                journal,
                clock=clock,
                batching=_batching(sink, settings[name]),
                selection=_selection(settings[name]),
                transform=transform_for(settings[name], level, redactor),
                scrub=redactor.scrub,
                owner=settings[name].owner,
            )
            for name, sink in sinks.items()
        }
        redelivery = Redelivery(journal, senders, settings, level=level, redactor=redactor)
        await redelivery.take_up(await journal.asked_letters())  # what a crash interrupted goes before what is new
        delivery = Delivery(senders, journal, redelivery)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(_deliver(sender, delivery, stop)) for sender in senders.values()]
            try:
                yield delivery
            finally:
                for task in running:
                    task.cancel()


async def _deliver(sender: Sender, delivery: Delivery, stop: Stop) -> None:
    try:
        await sender.run()
    except SinkClosed as error:
        _log.debug(f"sink {sender.name} is gone: {error}")  # on purpose, as in `| head`: no reason to say anything
        delivery.left(sender.name)
        stop.ask(f"sink {sender.name} is gone")


def _batching(sink: Sink, settings: SinkSettings) -> Batching:
    default = sink.batching
    return Batching(
        max_events=settings.batch_events or default.max_events,
        max_bytes=settings.batch_bytes or default.max_bytes,
        max_wait_seconds=default.max_wait_seconds
        if settings.batch_wait_seconds is None
        else settings.batch_wait_seconds,
    )


def _selection(settings: SinkSettings) -> Selection:
    return Selection(types=settings.types, agents=settings.agents, projects=settings.projects)
