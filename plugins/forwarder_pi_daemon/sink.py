"""Events as metrics, posted to a pi-daemon in batches."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import ClassVar
from urllib.parse import SplitResult

import msgspec
import structlog

from forwarder import (
    Batch,
    Batching,
    Clock,
    ConfigError,
    DeliveryError,
    Notes,
    Rejected,
    Secret,
    Sink,
    SystemClock,
    Unavailable,
)
from forwarder.http import (
    Client,
    HttpAnswer,
    Tls,
    check_header,
    checked_url,
    connect,
    failure,
    place_of,
    warn_if_exposed,
)
from forwarder_pi_daemon.answers import Outcome, outcome
from forwarder_pi_daemon.outgoing import Outgoing, Teller
from forwarder_pi_daemon.sessions import Sessions

URL = "http://127.0.0.1:9876"
PATH = "/api/metrics/batch"
MAX_ROUNDS = 5  # in which a daemon that is up has failed to take the same metric: it is the metric's fault, then

_log = structlog.get_logger("forwarder_pi_daemon")


@dataclass
class _Progress:
    """How far a batch has come. `waiting` was not taken yet; each round of it has a requestId of its own."""

    batch_id: str = ""
    waiting: list[Outgoing] = field(default_factory=list[Outgoing])
    round: int = 0
    refused: dict[str, str] = field(default_factory=dict[str, str])  # by the events' ids

    @property
    def request_id(self) -> str:
        """The batch's own id, and for what is left of it another: a repeat is refused for five minutes."""
        if not self.round:
            return self.batch_id
        return blake2b(f"{self.batch_id} {self.round}".encode(), digest_size=16).hexdigest()

    def body(self) -> bytes:
        """What is posted."""
        return msgspec.json.encode({"requestId": self.request_id, "metrics": [one.form for one in self.waiting]})

    def settle(self, outcome: Outcome) -> None:
        """Keep what may be taken in the next round; give up on what was never taken in any."""
        refused = dict(outcome.refused)
        if self.round + 1 >= MAX_ROUNDS:
            refused |= dict.fromkeys(outcome.rest, f"not taken in {MAX_ROUNDS} tries: {outcome.reason}")
        self.refused |= {self.waiting[place].event: why for place, why in refused.items()}
        self.waiting = [self.waiting[place] for place in outcome.rest if place not in refused]
        self.round += 1


@dataclass
class PiDaemonSink(Sink):
    """Options: `daemon_url`; `token`, sent as a bearer token; `session_label`, whether series are told apart by
    session; `posted_metrics`, whether metrics that receivers took are posted on; `timeout_seconds` of one request.

    Its own `clock` is for tests.
    """

    batching: ClassVar[Batching] = Batching(max_events=500, max_wait_seconds=1.0)  # about 300 KB of the 1 MiB allowed
    counts: ClassVar[bool] = True  # the daemon knows a repeated batch for five minutes, and never one of a replay

    daemon_url: str = URL
    token: Secret | None = None
    session_label: bool = False
    posted_metrics: bool = False  # else one whose url is a receiver of its own forwarder would never come to an end
    timeout_seconds: float = 10.0
    clock: Clock = field(default_factory=SystemClock, init=False, repr=False)
    _base: SplitResult = field(init=False, repr=False)
    _client: Client = field(init=False, repr=False)
    _sessions: Sessions = field(init=False, repr=False)
    _teller: Teller = field(init=False, repr=False)
    _progress: _Progress = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._base = checked_url(self.daemon_url, key="daemon_url", example=URL)
        if self.timeout_seconds <= 0:
            raise ConfigError(f"timeout_seconds must be more than 0, not {self.timeout_seconds}")
        for value in self._headers().values():
            check_header("Authorization", value, key="token")
        self.recall({})

    def recall(self, notes: Mapping[str, bytes]) -> None:
        """What each session said last, for the gauges."""
        self._sessions = Sessions(notes)
        self._teller = Teller(
            self._sessions, has_session_label=self.session_label, has_posted_metrics=self.posted_metrics
        )
        self._progress = _Progress()

    def notes(self) -> Notes:
        return self._sessions.notes()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold one connection open."""
        warn_if_exposed(self._base, has_secret=self.token is not None)
        async with connect(
            url=self._base.geturl(),
            place=place_of(self._base),
            headers={"Content-Type": "application/json", **self._headers()},
            tls=Tls(),
            timeout_seconds=self.timeout_seconds,
        ) as self._client:
            yield

    async def send(self, batch: Batch) -> None:
        """Post until all is settled. Raises `Rejected` with the events that were refused, once the others are taken."""
        if self._progress.batch_id != batch.id:
            told = self._teller.tell(batch.events(), now=self.clock.now().timestamp())
            self._progress = _Progress(batch.id, told.metrics, refused=told.refused)
        progress = self._progress
        if progress.waiting:
            await self._post(progress)
        self._progress = _Progress()
        self._sessions.are_told()
        if refused := progress.refused:
            raise Rejected(next(iter(refused.values())), refused=refused)

    async def _post(self, progress: _Progress) -> None:
        """Post what is left of a batch once. Raises `Unavailable` while anything is left of it."""
        answer = await self._client.request("POST", PATH, body=progress.body())
        if answer.status == 409:
            return  # taken before, and the answer to that was lost
        found = outcome(answer.text, progress.waiting) if answer.status == 200 else None
        if found is None:
            raise self._failure(answer)
        if found.unknown:
            _log.warning(f"{found.unknown} metrics were not taken, and the answer does not say which: they are lost")
        progress.settle(found)
        if left := len(progress.waiting):
            raise Unavailable(f"{place_of(self._base)} did not take {left} metrics: {found.reason}")

    def _failure(self, answer: HttpAnswer) -> DeliveryError:
        """The daemon's words are logged and kept, and some servers repeat what they were sent."""
        error = failure(answer.without([self.token.reveal()] if self.token else []), place=place_of(self._base))
        if 200 <= answer.status < 300:
            return Unavailable(f"{error}; that is no pi-daemon: look at daemon_url", is_refused=True)
        if isinstance(error, Rejected):
            self._progress = _Progress()  # its halves come as other batches
        return error

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.reveal()}"} if self.token else {}
