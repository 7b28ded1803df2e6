"""One sink's loop: next batch, send, ack; or wait with jitter and retry; or dead letter.

What was in flight is marked in the journal before it is sent, so whatever happens in between, the destination sees the
same batch again under the same id. The mark of a batch and the ack of the one before share a write when the next batch
is there already.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

from forwarder.clock import Clock
from forwarder.delivery.batching import Batcher, Stretch, Transform
from forwarder.delivery.outage import Outage, described
from forwarder.delivery.retry import Pace, Retry
from forwarder.delivery.selection import Selection
from forwarder.delivery.status import Rate, SenderStatus
from forwarder.delivery.waiting import first_of
from forwarder.errors import Rejected, SinkClosed
from forwarder.journal import Cursor, DeadLetter, Journal
from forwarder.sink import Batch, Batching, Sink


class Sender:
    """Delivers the journal's events to one sink, in order and one batch at a time.

    `name` is the sink's in the configuration and in the journal. `sink` is open: whoever runs the sender has entered
    its `lifespan`. `scrub` takes secrets out of what the destination says before it is kept or shown. The counters
    count since the start of the process.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        journal: Journal,
        *,
        clock: Clock,
        batching: Batching | None = None,
        selection: Selection | None = None,
        transform: Transform | None = None,
        scrub: Callable[[str], str] = str,
        pace: Pace | None = None,
        random: Random | None = None,
    ) -> None:
        self.name = name
        self.delivered_events = 0
        self.delivered_batches = 0
        self.retries = 0
        self.dead_lettered = 0
        self._sink = sink
        self._scrub = scrub
        self._journal = journal
        self._clock = clock
        self._acked = journal.cursor(name).acked  # may be ahead of the journal's cursor, never behind
        self._letters: list[DeadLetter] = []  # saved together with the cursor that leaves them behind
        self._batcher = Batcher(
            journal,
            journal.cursor(name),
            batching=batching or sink.batching,
            clock=clock,
            selection=selection or Selection(),
            transform=transform,
        )
        pace, random = pace or Pace(), random or Random()
        self._sending = Retry(pace, random)
        self._saving = Retry(pace, random)
        self._outage = Outage(name, journal, clock)
        self._rate = Rate(clock)
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._last_error: tuple[str, datetime] | None = None
        self._next_try: datetime | None = None

    async def run(self) -> None:
        """Deliver until cancelled. Raises `SinkClosed` when the destination has gone on purpose, and `JournalDamaged`.

        After a cancellation the journal's cursor says what is known: acknowledged up to there, the batch that was being
        sent in flight.
        """
        try:
            while True:
                stretch = await self._batcher.available()
                if stretch is None:
                    await self._save(self._acked)
                    stretch = await self._batcher.next()
                await self._deliver(stretch)
        finally:
            await self._save_once()

    def hurry(self) -> None:
        """Drain: no event waits for company any more, and a retry that is being waited for is made now."""
        self._batcher.hurry()
        self._wake.set()

    async def caught_up(self, upto: int) -> None:
        """Return when everything up to the sequence number `upto` is acknowledged, and that is in the journal."""
        while self._journal.cursor(self.name).acked < upto:
            await self._moved.wait()

    def status(self) -> SenderStatus:
        """How the sink is doing now."""
        text, time = self._last_error or (None, None)
        return SenderStatus(
            name=self.name,
            state=self._sending.circuit,
            acked=self._acked,
            behind=self._journal.last - self._acked,
            delivered_events=self.delivered_events,
            delivered_batches=self.delivered_batches,
            events_per_second=self._rate.per_second(),
            retries=self.retries,
            dead_lettered=self.dead_lettered,
            last_error=text,
            last_error_time=time,
            next_try=self._next_try,
        )

    async def _deliver(self, stretch: Stretch) -> None:
        """Return when every event of the stretch is acknowledged or a dead letter."""
        if not stretch.numbers:
            self._acked = stretch.end
            return await self._save(stretch.end)
        await self._save(stretch.end)
        rejection = await self._send(stretch.batch)
        if rejection is None:
            self._settle(stretch)
        elif refused := _named(rejection, stretch.batch):
            self._settle(stretch, rejection, refused)
        elif len(stretch.numbers) == 1:
            self._settle(stretch, rejection, frozenset(stretch.batch.ids()))
        else:
            for half in stretch.halves():
                await self._deliver(half)
        return None

    def _settle(
        self, stretch: Stretch, rejection: Rejected | None = None, refused: frozenset[str] = frozenset()
    ) -> None:
        batch = stretch.batch
        if rejection is not None:
            now = self._clock.now().timestamp()
            bodies = [line for line, id in zip(batch.lines, batch.ids(), strict=True) if id in refused]
            reason = self._scrub(str(rejection))
            self._letters += [DeadLetter(time=now, sink=self.name, reason=reason, body=body) for body in bodies]
            self.dead_lettered += len(bodies)
            self._remember(described(rejection))
            self._outage.refused(rejection, len(bodies))
        self._acked = stretch.end
        self.delivered_events += (taken := len(batch) - len(refused))
        self.delivered_batches += taken > 0
        self._rate.add(taken)

    async def _send(self, batch: Batch) -> Rejected | None:
        """Send until the destination has taken the batch (None) or will never take it."""
        while True:
            self._sending.begin()
            try:
                await self._sink.send(batch)
                rejection = None
            except Rejected as error:
                rejection = error
            except SinkClosed:
                raise
            except Exception as error:  # noqa: BLE001 - the edge of one batch: a sink's bug costs a retry, not the run
                self._remember(described(error))
                self._outage.failed(error)
                self.retries += 1
                await self._pause(self._sending.failed(error))
                continue
            self._sending.succeeded()
            self._outage.is_over()
            return rejection

    async def _save(self, in_flight: int) -> None:
        """Write the place into the journal; on a full disk deliver nothing more until that is possible again."""
        cursor = Cursor(self._acked, in_flight)
        while cursor != self._journal.cursor(self.name) or self._letters:
            try:
                await self._journal.move(self.name, cursor, self._letters)
            except sqlite3.OperationalError as error:
                self._remember(f"its cursor cannot be saved: {error}")
                self._outage.cannot_save(error)
                await self._pause(self._saving.failed(error))
                continue
            self._letters = []
            self._saving.succeeded()
            self._outage.is_over()
            self._moved.set()
            self._moved = asyncio.Event()

    async def _save_once(self) -> None:
        """Keep what was acknowledged since the last write; a full disk means that the batch comes again."""
        saved = self._journal.cursor(self.name)
        if self._acked <= saved.acked:
            return
        try:
            await self._journal.move(self.name, Cursor(self._acked, max(self._acked, saved.in_flight)), self._letters)
        except sqlite3.OperationalError as error:
            self._outage.cannot_save(error)

    async def _pause(self, seconds: float) -> None:
        self._next_try = self._clock.now() + timedelta(seconds=seconds)
        await first_of(self._clock.sleep(seconds), self._wake.wait())
        self._wake.clear()
        self._next_try = None

    def _remember(self, error: str) -> None:
        self._last_error = self._scrub(error), self._clock.now()


def _named(rejection: Rejected, batch: Batch) -> frozenset[str]:
    """The refused ids, if the destination named events of this batch and no others."""
    return rejection.refused if rejection.refused <= set(batch.ids()) else frozenset()
