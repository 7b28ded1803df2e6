"""From posts to the disk: what waits while one commit is under way goes with the next one, together.

One commit at a time makes the values exact: what is noted of a series is what it was before and what this commit adds,
and all of it is on the disk or nothing. Nobody waits for longer than two commits take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import structlog

from forwarder import Accept, Clock, Event, Metric, Refused, Session
from forwarder_pi_daemon.posted import Observation
from forwarder_pi_daemon.refusals import COMES_AGAIN, Problem
from forwarder_pi_daemon.requests import Identity, Requests, Taken, duplicate
from forwarder_pi_daemon.series import Draft, Registry, Series, series_of

METRICS_AT_ONCE = 2_000  # in one commit; the requests behind them go with the next
WAITING_METRICS = 20_000  # in memory, about 20 MB; beyond them clients are asked to come again
SLICE = 100  # metrics; then other requests get their turn
RETRY_SECONDS = 1.0

EXTENSION = "pi_"  # how the names begin of what pi's own extension posts
NO_SESSION = "unknown"

SERIES, REQUEST = "series ", "request "  # how the keys of notes begin

_log = structlog.get_logger("forwarder_pi_daemon")


@dataclass(eq=False)
class Post:
    """One request's metrics, by their places in it. `failed` has what is wrong with the others, by theirs.

    `origin` is what the events of one commit have to share: where they came, and whether their text was mended.
    `request` is there for a batch with a requestId. `time` is when it came. While it `is_open` nobody has decided about
    it; afterwards `refusal` says why it was not taken, None if it was.
    """

    metrics: dict[int, Observation]
    failed: dict[int, Problem]
    time: datetime
    origin: tuple[str, bool]
    request: Identity | None = None
    is_open: bool = True
    refusal: Refused | None = None

    @property
    def microseconds(self) -> int:
        return round(self.time.timestamp() * 1e6)

    def end(self, refusal: Refused | None = None) -> None:
        self.is_open, self.refusal = False, refusal


class _Commit:
    """What one commit will change, and what is to be noted of it."""

    def __init__(self, registry: Registry, requests: Requests, now: float) -> None:
        self.now = now
        self.draft = Draft(registry, now)
        self.events: list[Event] = []
        self.taken: dict[str, Taken] = {}
        self.forgotten = registry.forgotten()
        self.expired = requests.expired(now)

    def notes(self) -> Iterator[tuple[str, bytes | None]]:
        for key in self.forgotten:
            yield SERIES + key, None
        for key in self.expired:
            yield REQUEST + key, None
        for one in self.draft.changed():
            yield SERIES + one.note_key, msgspec.json.encode(one)
        for key, taken in self.taken.items():
            yield REQUEST + key, msgspec.json.encode(taken)


@dataclass
class Taking:
    """`take` for every request; `recall` what earlier ones left behind."""

    registry: Registry
    clock: Clock
    requests: Requests = field(default_factory=Requests)
    _waiting: list[Post] = field(default_factory=list[Post])
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _number: int = 0

    async def take(self, post: Post, accept: Accept) -> None:
        """Return once the post is on the disk, with what had no place in its `failed`. Raises `Refused`."""
        if self._waiting and sum(len(one.metrics) for one in self._waiting) > WAITING_METRICS:
            raise Refused("too much is waiting: come again", status=COMES_AGAIN, retry_after=RETRY_SECONDS)
        self._waiting.append(post)
        try:
            async with self._turn:
                if post.is_open:
                    await self._take_those_who_wait(accept)
        finally:
            if post in self._waiting:
                self._waiting.remove(post)
        if post.refusal is not None:
            raise post.refusal

    def recall(self, notes: Mapping[str, bytes]) -> None:
        """Go on from what was noted."""
        series: list[Series] = []
        taken: list[tuple[str, Taken]] = []
        for key, body in notes.items():
            try:
                if key.startswith(SERIES):
                    series.append(series_of(body))
                elif key.startswith(REQUEST):
                    taken.append((key.removeprefix(REQUEST), msgspec.json.decode(body, type=Taken)))
            except ValueError as error:
                _log.warning(f"a note cannot be read, what it was of begins anew: {error}")
        for one in sorted(series, key=lambda one: one.updated):
            self.registry.keep(one)
        for key, batch in sorted(taken, key=lambda item: item[1].time):
            self.requests.keep(key, batch)

    async def _take_those_who_wait(self, accept: Accept) -> None:
        """One commit for as many as are there, the caller's post first."""
        group = self._group()
        try:
            await self._commit(group, accept)
        except Refused as refusal:
            self._refuse(group, refusal)
        except BaseException:
            self._refuse(group, Refused("come again", status=COMES_AGAIN, retry_after=RETRY_SECONDS))
            raise

    def _group(self) -> list[Post]:
        group, count = list[Post](), 0
        for post in self._waiting:
            count += len(post.metrics)
            if group and (count > METRICS_AT_ONCE or post.origin != group[0].origin):
                break
            group.append(post)
        del self._waiting[: len(group)]
        return group

    def _refuse(self, group: Sequence[Post], refusal: Refused) -> None:
        for post in group:
            if post.request is not None:
                self.requests.failed(post.request, post.microseconds)
            post.end(refusal)

    async def _commit(self, group: Sequence[Post], accept: Accept) -> None:
        now = self.clock.now().timestamp()
        self.registry.expire(now)
        commit = _Commit(self.registry, self.requests, now)
        refusals = [await self._add(post, commit) for post in group]
        if commit.events or commit.taken:
            await accept(commit.events, notes=dict(commit.notes()))
            self._keep(commit)
        for post, refusal in zip(group, refusals, strict=True):
            if post.request is not None:
                self.requests.succeeded(post.request)
            post.end(refusal)

    async def _add(self, post: Post, commit: _Commit) -> Problem | None:
        """Put a post into the commit; returns the problem of one that was taken before."""
        self._number += 1
        start: tuple[str | int, ...] = (self._number,)
        since = post.microseconds
        if (request := post.request) is not None:
            if known := commit.taken.get(request.key) or self.requests.repeated(request, commit.now):
                return duplicate(request, known, commit.now)
            commit.taken[request.key] = Taken(commit.now, request.body)
            start, since = request, self.requests.since(request, since)
        for count, (place, one) in enumerate(post.metrics.items(), 1):
            try:
                commit.draft.add(one)
            except Problem as problem:
                post.failed[place] = problem
            else:
                commit.events.append(_event(one, (since, *start, place), post.time))
            if not count % SLICE:
                await asyncio.sleep(0)
        return None

    def _keep(self, commit: _Commit) -> None:
        """What is on the disk is what holds."""
        self.registry.are_forgotten(commit.forgotten)
        self.requests.are_forgotten(commit.expired)
        commit.draft.keep()
        for key, one in commit.taken.items():
            self.requests.keep(key, one)


def _event(one: Observation, key: tuple[str | int, ...], came: datetime) -> Metric:
    """A metric of pi's own extension is pi's, and of the session that a label names; all others are pi-daemon's."""
    agent = "pi" if one.name.startswith(EXTENSION) else "pi-daemon"
    return Metric(
        key=key,
        time=one.time or came,
        time_inferred=one.time is None,
        session=Session(agent=agent, id=dict(one.labels).get("session") or NO_SESSION),
        name=one.name,
        kind=one.kind,
        op=one.op,
        value=one.value,
        labels=one.told,
    )
