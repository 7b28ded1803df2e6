"""One sink's loop: next batch, send, ack; or wait with jitter and retry; or dead letter.

What was in flight is marked in the journal before it is sent, so whatever happens in between, the destination sees the
same batch again under the same id. The mark of a batch and the ack of the one before share a write when the next batch
is there already.

An event that was refused and is wanted again travels alone, so that its batch has the same id after a crash, and only
while nothing else is in doubt: whichever was being sent when the process died is sent first by the next one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
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
from forwarder.journal import Cursor, DeadLetter, Journal, Noted
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
        owner: str = "",
    ) -> None:
        """`owner` is whom the journal knows the sink's notes by; without one they are its name's."""
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
        self._again: dict[int, bytes] = {}  # by the numbers of the dead letters
        self._asked = asyncio.Event()
        self._is_in_doubt = journal.cursor(name).in_flight > self._acked
        self._letters: list[DeadLetter] = []  # saved together with the cursor that leaves them behind
        self._noted: list[Noted] = []  # the same
        self._owner = owner or name
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
        self._outage = Outage(name, journal, clock, scrub)
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
                if self._again and not self._is_in_doubt:
                    await self._deliver_again()
                stretch = await self._batcher.available()
                if stretch is None:
                    await self._save(self._acked)
                    stretch = await self._next()
                if stretch is not None:
                    await self._deliver(stretch)
                self._is_in_doubt = False
        finally:
            await self._save_once()

    def redeliver(self, letter: int, line: bytes) -> None:
        """Send the event of a dead letter once more; asking twice is asking once."""
        self._again.setdefault(letter, line)
        self._asked.set()

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
            failing_since=self._outage.since,
            next_try=self._next_try,
        )

    async def _next(self) -> Stretch | None:
        """The next stretch, or None as soon as refused events are asked for again."""
        if self._again:
            return None
        self._asked.clear()
        waits = asyncio.ensure_future(self._batcher.next()), asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
        return None if waits[0].cancelled() else waits[0].result()

    async def _deliver_again(self) -> None:
        """The event that was asked for first: it is a dead letter no more, or stays one with the newest reason."""
        await self._save(self._acked)
        letter, line = next(iter(self._again.items()))
        batch = Batch((line,))
        rejection = await self._send(batch)
        reason = self._scrub(str(rejection)) if rejection is not None else None
        if rejection is None:
            self.delivered_events += 1
            self.delivered_batches += 1
            self._rate.add(1)
        else:
            self._remember(described(rejection, self._scrub))
            self._outage.refused(rejection, 1)
        await self._written(lambda: self._journal.settle_letter(letter, refusal=reason, noting=self._noted))
        self._noted = []
        del self._again[letter]

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
            reason = self._scrub(str(rejection))
            letters = [
                DeadLetter(time=now, sink=self.name, reason=reason, body=line, event=number)
                for number, line, id in zip(stretch.numbers, batch.lines, batch.ids(), strict=True)
                if id in refused
            ]
            self._letters += letters
            self.dead_lettered += len(letters)
            self._remember(described(rejection, self._scrub))
            self._outage.refused(rejection, len(letters))
        self._acked = stretch.end
        self.delivered_events += (taken := len(batch) - len(refused))
        self.delivered_batches += taken > 0
        self._rate.add(taken)

    async def _send(self, batch: Batch) -> Rejected | None:
        """Send until the destination has taken the batch (None) or will never take it."""
        while True:
            self._sending.begin()
            try:
                rejection = await self._offer(batch)
            except SinkClosed:
                raise
            except Exception as error:  # noqa: BLE001 - the edge of one batch: a sink's bug costs a retry, not the run
                self._remember(described(error, self._scrub))
                self._outage.failed(error)
                self.retries += 1
                await self._pause(self._sending.failed(error))
                continue
            self._sending.succeeded()
            self._outage.is_over()
            return rejection

    async def _offer(self, batch: Batch) -> Rejected | None:
        """Send once. What the sink notes belongs to the end of the batch, not to a rejection that splits it."""
        rejection = None
        try:
            await self._sink.send(batch)
        except Rejected as error:
            rejection = error
        is_dealt_with = rejection is None or len(batch) == 1 or bool(_named(rejection, batch))
        if is_dealt_with and (notes := self._sink.notes()):
            self._noted.append(Noted(self._owner, dict(notes)))
        return rejection

    async def _save(self, in_flight: int) -> None:
        """Write the place into the journal; on a full disk deliver nothing more until that is possible again."""
        cursor = Cursor(self._acked, in_flight)
        if cursor == self._journal.cursor(self.name) and not self._letters:
            return
        await self._written(lambda: self._journal.move(self.name, cursor, self._letters, self._noted))
        self._letters, self._noted = [], []
        self._moved.set()
        self._moved = asyncio.Event()

    async def _written(self, write: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await write()
            except sqlite3.OperationalError as error:
                self._remember(f"its cursor cannot be saved: {error}")
                self._outage.cannot_save(error)
                await self._pause(self._saving.failed(error))
                continue
            self._saving.succeeded()
            self._outage.is_over()
            return

    async def _save_once(self) -> None:
        """Keep what was acknowledged since the last write; a full disk means that the batch comes again."""
        saved = self._journal.cursor(self.name)
        if self._acked <= saved.acked:
            return
        cursor = Cursor(self._acked, max(self._acked, saved.in_flight))
        try:
            await self._journal.move(self.name, cursor, self._letters, self._noted)
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
