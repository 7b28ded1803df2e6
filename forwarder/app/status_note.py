"""What a running forwarder writes down about itself, for `forwarder status` in another process to read."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from typing import Protocol

import msgspec
import structlog

from forwarder.app.committing import Committer
from forwarder.app.delivering import Delivery
from forwarder.app.metrics import Sample, collect
from forwarder.clock import Clock
from forwarder.delivery.status import SenderStatus
from forwarder.journal import Journal
from forwarder.pipeline.redaction import Redactor
from forwarder.tail.watch import Watch

NOTE = "status"
PROBLEMS = 100  # of unreadable files: more are counted, not listed
WRITE_SECONDS = 2.0  # when something changed
BEAT_SECONDS = 30.0  # when nothing did; an idle forwarder hardly writes

_log = structlog.get_logger(__name__)


class Status(msgspec.Struct, kw_only=True):
    """The note. `time` is when it was written; `problems` are files that cannot be read, each with the reason."""

    pid: int
    started: datetime
    time: datetime
    is_running: bool
    sinks: dict[str, SenderStatus]
    problems: dict[str, str]
    watching: str
    journal_problem: str | None = None
    given_up: int = 0
    metrics: dict[str, float] = {}


class HasProblems(Protocol):
    """Whoever collects the files that cannot be read."""

    by_file: dict[str, str]


class StatusNote:
    """Run as a task; `write` once more at the end."""

    def __init__(
        self,
        journal: Journal,
        delivery: Delivery,
        committer: Committer,
        watch: Watch,
        problems: HasProblems,
        *,
        redactor: Redactor,
        clock: Clock,
        started: datetime,
        more: Callable[[], Iterable[Sample]] = tuple,
    ) -> None:
        """`more` are samples of others who count."""
        self._journal = journal
        self._delivery = delivery
        self._committer = committer
        self._watch = watch
        self._problems = problems
        self._redactor = redactor
        self._clock = clock
        self._started = started
        self._more = more

    async def run(self) -> None:
        """Write the note whenever something changed, and now and then to show that the process lives."""
        before, written = None, float("-inf")
        while True:
            state = self._state()
            if state != before or self._clock.monotonic() - written >= BEAT_SECONDS:
                await self.write(is_running=True)
                before, written = state, self._clock.monotonic()
            await self._clock.sleep(WRITE_SECONDS)

    async def write(self, *, is_running: bool) -> None:
        """Write the note now. A full disk is no reason to end: the committer says so already."""
        try:
            await self._journal.note(NOTE, msgspec.json.encode(await self._status(is_running=is_running)))
        except sqlite3.OperationalError as error:
            _log.debug(f"no status note: {error}")

    async def _status(self, *, is_running: bool) -> Status:
        scrub = self._redactor.scrub
        sinks = {name: sender.status() for name, sender in self._delivery.senders.items()}
        return Status(
            pid=os.getpid(),
            started=self._started,
            time=self._clock.now(),
            is_running=is_running,
            sinks=sinks,
            problems={scrub(path): scrub(reason) for path, reason in islice(self._problems.by_file.items(), PROBLEMS)},
            watching=self._watch.fallback or "file events and sweeps",
            journal_problem=self._committer.problem,
            given_up=self._committer.given_up,
            metrics={one.name: one.value for one in await self.samples()},
        )

    async def _sessions(self) -> Counter[tuple[str, str]]:
        """Live ones by agent and state."""
        return Counter((row.agent, row.state or "unknown") for row in await self._journal.live_sessions())

    async def samples(self) -> list[Sample]:
        """Every metric as it stands now."""
        samples = collect(
            [sender.status() for sender in self._delivery.senders.values()],
            journal_events=self._journal.last,
            journal_bytes=self._journal.bytes,
            given_up=self._committer.given_up,
            unreadable_files=len(self._problems.by_file),
            sessions=await self._sessions(),
            redacted=self._redactor.counts,
        )
        return [*samples, *self._more()]

    def _state(self) -> object:
        senders = self._delivery.senders.values()
        problems = len(self._problems.by_file), self._watch.fallback, self._committer.problem
        return self._journal.last, [(one.delivered_events, one.retries, one.dead_lettered) for one in senders], problems
