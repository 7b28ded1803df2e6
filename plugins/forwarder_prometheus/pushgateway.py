"""The sink `pushgateway`: all series of this machine as one group, replaced by each push."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
from forwarder_prometheus.counting import counted, new_totals
from forwarder_prometheus.exposition import CONTENT_TYPES, rendered
from forwarder_prometheus.gateway import disputed, group_path, said
from forwarder_prometheus.metrics import HELP
from forwarder_prometheus.remembering import notes_of, recall
from forwarder_prometheus.totals import Changes, Totals

ASK_AGAIN_SECONDS = 600.0  # after which metrics that were disputed are pushed again: whoever disputed them may be gone
# After which the same is pushed again though nothing happened: a gateway that was restarted has forgotten it, sessions
# that were silent for too long go, and an alert on `push_time_seconds` tells an idle machine from one that is off.
REFRESH_SECONDS = 300.0
INSTANCE = "instance"  # the note of the group that was pushed last

_log = structlog.get_logger("forwarder_prometheus")


@dataclass
class Pushgateway(Sink):
    """Options: `url` of the gateway; `job` and `instance`, which name the group, the latter by default after the
    machine; `delete_at_stop`; `token`, or `username` and `password`; `timeout_seconds` of one push; TLS: `ca_file`,
    `client_cert`, `client_key`, `verify`; `max_series` and `max_series_per_metric`, above which new sets of labels are
    counted as `other`.
    """

    batching: ClassVar[Batching] = Batching(max_events=20_000, max_bytes=8 << 20, max_wait_seconds=1.0)
    counts: ClassVar[bool] = True

    url: str
    job: str = "forwarder"
    instance: str | None = None
    delete_at_stop: bool = False
    token: Secret | None = None
    username: str | None = None
    password: Secret | None = None
    timeout_seconds: float = 10.0
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    verify: bool = True
    max_series: int = 10_000
    max_series_per_metric: int = 1_000
    clock: Clock = field(default_factory=SystemClock, init=False, repr=False)
    _url: SplitResult = field(init=False, repr=False)
    _headers: dict[str, str] = field(init=False, repr=False)
    _client: Client = field(init=False, repr=False)
    _totals: Totals = field(init=False, repr=False)
    _turn: asyncio.Lock = field(init=False, repr=False)
    _changes: Changes | None = field(init=False, repr=False, default=None)
    _pushed: str | None = field(init=False, repr=False, default=None)  # the instance whose group is on the gateway
    _is_settled: bool = field(init=False, repr=False, default=False)  # the gateway has what the totals say
    _disputed: set[str] = field(init=False, repr=False, default_factory=set[str])
    _disputed_since: float = field(init=False, repr=False, default=0.0)

    def __post_init__(self) -> None:
        self._url = checked_url(self.url, example="http://127.0.0.1:9091")
        if not self.job:
            raise ConfigError("job must not be empty: the gateway takes no group without one")
        if self.timeout_seconds <= 0:
            raise ConfigError(f"timeout_seconds must be more than 0, not {self.timeout_seconds}")
        if self.client_key and not self.client_cert:
            raise ConfigError("client_key is of no use without client_cert: name the certificate as well")
        self._headers = {"Content-Type": CONTENT_TYPES["text"], **self._credentials()}
        self._totals = new_totals(self.max_series, self.max_series_per_metric)

    def recall(self, notes: Mapping[str, bytes]) -> None:
        noted = dict(notes)
        instance = noted.pop(INSTANCE, None)
        self._pushed = instance.decode() if instance is not None else None
        self._changes = None
        self._is_settled = False
        self._disputed = set()
        recall(self._totals, noted)

    def notes(self) -> Notes:
        if self._changes is None:
            return {}
        own: Notes = {} if self._pushed is None else {INSTANCE: self._pushed.encode()}
        return {**notes_of(self._changes), **own}

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold one connection open, and the group fresh; at the end delete it, if that is asked for."""
        warn_if_exposed(self._url, has_secret="Authorization" in self._headers, verify=self.verify)
        async with connect(
            url=self.url,
            place=place_of(self._url),
            headers=self._headers,
            tls=Tls(self.ca_file, self.client_cert, self.client_key, self.verify),
            timeout_seconds=self.timeout_seconds,
        ) as self._client:
            self._turn = asyncio.Lock()
            refreshing = asyncio.create_task(self._refresh())
            try:
                yield
            finally:
                refreshing.cancel()
                await asyncio.wait([refreshing])
            if self.delete_at_stop and self._pushed is not None:
                await self._delete_at_end(self._pushed)

    async def send(self, batch: Batch) -> None:
        """Push what all series are with this batch. It counts once that is taken: a batch that comes again is new."""
        changes, rejection = await counted(self._totals, batch, self.clock.now().timestamp())
        instance = self._instance_of(batch)
        async with self._turn:
            self._is_settled = False
            if self._pushed is not None and self._pushed != instance:
                await self._delete(self._pushed)  # the machine has another name; its counters go on under that
            await self._push(changes, instance)
            self._totals.apply(changes)
            self._changes, self._pushed, self._is_settled = changes, instance, True
        if rejection:
            raise rejection

    async def _refresh(self) -> None:
        """Push again now and then; not while a batch is in doubt: the gateway may have it, and no counter may fall."""
        while True:
            await self.clock.sleep(REFRESH_SECONDS)
            async with self._turn:
                if self._is_settled and self._pushed is not None:
                    await self._push_again(self._pushed)

    async def _push_again(self, instance: str) -> None:
        try:
            await self._push(Changes(self._totals, self.clock.now().timestamp()), instance)
        except Unavailable as error:  # the next batch is retried until it is taken, so nothing waits for this one
            _log.warning(f"the metrics could not be refreshed: {error}")

    def _instance_of(self, batch: Batch) -> str:
        """As events name the machine: a pseudonym, where the user asked for that."""
        if self.instance is not None:
            return self.instance
        return str(msgspec.json.decode(batch.lines[-1]).get("host", ""))

    async def _push(self, changes: Changes, instance: str) -> None:
        """PUT the whole group, so that nothing older stays. Raises `Unavailable`."""
        if self._disputed and self.clock.monotonic() - self._disputed_since >= ASK_AGAIN_SECONDS:
            self._disputed = set()
        body = await asyncio.to_thread(rendered, changes.snapshot(), "text", without=self._disputed)
        answer = await self._client.request("PUT", group_path(self.job, instance), body=body)
        if 200 <= answer.status < 300:
            return
        if answer.status == 400 and (new := (disputed(answer.text) & HELP.keys()) - self._disputed):
            self._disputed |= new
            self._disputed_since = self.clock.monotonic()
            names = ", ".join(sorted(new)[:3]) + (f" and {len(new) - 3} more" if len(new) > 3 else "")
            raise Unavailable(f"{names} left out for 10 min: {self._failure(answer)}")
        error = self._failure(answer)
        raise Unavailable(str(error), is_refused=True) if isinstance(error, Rejected) else error

    async def _delete(self, instance: str) -> None:
        answer = await self._client.request("DELETE", group_path(self.job, instance))
        if not 200 <= answer.status < 300:
            raise self._failure(answer)

    async def _delete_at_end(self, instance: str) -> None:
        try:
            await self._delete(instance)
        except DeliveryError as error:
            _log.warning(f"the group of this machine stays on the gateway: {error}")

    def _failure(self, answer: HttpAnswer) -> DeliveryError:
        """What the gateway said, without our credentials."""
        secrets = self._headers.get("Authorization", "").split()[1:]
        secrets += [one.reveal() for one in (self.token, self.password) if one]
        short = HttpAnswer(answer.status, answer.headers, said(answer.text))
        return failure(short.without(secrets), place=place_of(self._url))

    def _credentials(self) -> dict[str, str]:
        if (self.username is None) != (self.password is None):
            raise ConfigError("username and password belong together: give both, or neither")
        if self.token and self.password:
            raise ConfigError("token and password are both set: keep one")
        if self.token:
            check_header("Authorization", self.token.reveal(), key="token")
            return {"Authorization": f"Bearer {self.token.reveal()}"}
        if self.username is not None and self.password is not None:
            if ":" in self.username:
                raise ConfigError("username must not hold a colon: basic authentication cannot carry one")
            both = f"{self.username}:{self.password.reveal()}"
            return {"Authorization": f"Basic {b64encode(both.encode()).decode()}"}
        return {}
