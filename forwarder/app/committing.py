"""Gathers what was mapped and commits it, one transaction after the other: while one is written, the next is mapped."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

import structlog

from forwarder.clock import Clock
from forwarder.journal import Changes, Journal, StreamRow
from forwarder.pipeline.mapping import Mapped

PENDING_BYTES = 1 << 20  # gathered while a commit is under way; more would only cost memory
GATHER_BYTES = PENDING_BYTES // 2
GATHER_SECONDS = 0.02  # that a live line may wait beside a backfill
LAZY_SECONDS = 5.0  # hundreds of files that are rewritten every second, to no effect, share one transaction
RETRY_SECONDS = 1.0  # between tries while the disk is full

_log = structlog.get_logger(__name__)


class Committer:
    """`put` from the mapping side, `run` as a task; `finish` returns once everything that was put is committed."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        on_full: Literal["wait", "drop"] = "wait",
        announce: Callable[[int], Mapped] | None = None,
    ) -> None:
        """`announce` makes the event that tells how many events a full journal has cost."""
        self._journal = journal
        self._clock = clock
        self._on_full = on_full
        self._announce = announce
        self._pending = Changes()
        self._pending_bytes = 0
        self._is_more_coming = False
        self._is_urgent = False
        self._under_way = Changes()
        self._changed = asyncio.Condition()
        self._room = asyncio.Lock()  # events are given up by one, and counted once
        self.problem: str | None = None  # why nothing can be committed at the moment
        self.given_up = 0  # events that a full journal cost, where the configuration says so

    async def put(
        self,
        mapped: Mapped,
        row: StreamRow,
        *,
        is_more_coming: bool = False,
        is_lazy: bool = False,
        is_sole_copy: bool = False,
    ) -> None:
        """Add events and the checkpoint behind them; waits while enough is gathered already.

        When more is coming at once the commit may wait for it, a little: a transaction per chunk of a backfill would
        cost more than its events. A lazy checkpoint, which only spares reading something again, waits for company for
        seconds. Events of which there is no other copy reach the disk before the commit returns.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._pending_bytes < PENDING_BYTES)
            pending = self._pending
            pending.lines += mapped.lines
            pending.facts += mapped.facts
            pending.dead_letters += mapped.dead_letters
            pending.sessions += mapped.sessions
            pending.checkpoints[row.id] = row
            pending.is_sole_copy |= is_sole_copy and bool(mapped.lines)
            self._pending_bytes += sum(map(len, mapped.lines)) + len(row.state)
            self._is_more_coming = is_more_coming
            if not is_lazy:
                self._is_urgent = True
            self._changed.notify_all()

    @property
    def has_uncommitted(self) -> bool:
        """Something that was put is not in the journal yet."""
        return bool(self._pending or self._under_way)

    def is_uncommitted(self, stream: int) -> bool:
        """The newest checkpoint of this stream is not in the journal yet."""
        return stream in self._pending.checkpoints or stream in self._under_way.checkpoints

    async def finish(self) -> None:
        """Return once everything is committed."""
        async with self._changed:
            self._is_urgent = self._is_urgent or bool(self._pending)
            self._changed.notify_all()
            await self._changed.wait_for(lambda: not self.has_uncommitted)

    async def run(self) -> None:
        """Commit for ever. Raises `JournalDamaged`."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._pending)
                await self._wait(LAZY_SECONDS, lambda: self._is_urgent)
                await self._gather()
            await self.make_room()
            async with self._changed:
                self._under_way, self._pending, self._pending_bytes = self._pending, Changes(), 0
                self._is_urgent = False
                self._changed.notify_all()
            await self.write(lambda: self._journal.commit(self._under_way))
            async with self._changed:
                self._under_way = Changes()
                self._changed.notify_all()

    async def _gather(self) -> None:
        await self._wait(GATHER_SECONDS, lambda: not self._is_more_coming or self._pending_bytes >= GATHER_BYTES)

    async def _wait(self, seconds: float, until: Callable[[], bool]) -> None:
        """Until what is wanted has come; what there is after so many seconds goes without company."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait_for(until)

    async def make_room(self) -> None:
        """Return when the journal may grow: at once, or after it gave up events, or when a sink has taken some."""
        async with self._room:
            given_up = self.given_up
            await self.write(self._make_room)
            if self.given_up > given_up:  # which is told
                async with self._changed:
                    self._is_urgent = True
                    self._changed.notify_all()

    async def _make_room(self) -> None:
        if self._on_full == "drop":
            while self._journal.is_full and (count := await self._journal.give_up_oldest()):
                self.given_up += count
                if self._announce:
                    said = self._announce(count)
                    self._pending.lines += said.lines
                    self._pending.facts += said.facts
                _log.error(f"the journal is full and on_full is drop: gave up {count} undelivered events")
        else:
            await self._journal.room()

    async def write(self, write: Callable[[], Awaitable[object]]) -> None:
        """Make a write to the journal; while the disk is full, again and again."""
        while True:
            try:
                await write()
            except sqlite3.OperationalError as error:
                self._complain(str(error))
                await self._clock.sleep(RETRY_SECONDS)
            else:
                if self.problem:
                    _log.warning(f"the journal can be written again (it was: {self.problem})")
                    self.problem = None
                return

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            _log.error(
                f"cannot write the journal in {self._journal.folder}: {problem}; nothing is lost, reading waits and it "
                f"is tried again every {RETRY_SECONDS:g} s"
            )
            self.problem = problem
