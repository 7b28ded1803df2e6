"""The sink `air`: an AIr server is told what agents do, each event once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import SplitResult, urlunsplit

from forwarder import Batch, Batching, ConfigError, Notes, Rejected, Secret, Sink
from forwarder.http import Tls, check_header, checked_url, connect, place_of, warn_if_exposed
from forwarder_air.announced import Announced
from forwarder_air.courier import Courier
from forwarder_air.exchange import Air
from forwarder_air.letters import letters
from forwarder_air.outgoing import session_of

WEB = {"ws": "http", "wss": "https"}
PATHS = ("/ws/collector", "/api/ingest/batch", "/api/ingest")  # with which AIr's own collectors may be configured
MAX_WORDS = 1_000  # of the reasons for one batch's dead letters


@dataclass
class AirSink(Sink):
    """Options: `url` of the server, as AIR_URL has it; `token`, for a proxy in front of it; `timeout_seconds` of one
    request; `ca_file`.
    """

    # Half of what a request may have: an event of AIr is seldom twice as long, and if it is, there are two requests.
    batching: ClassVar[Batching] = Batching(max_events=250, max_bytes=1 << 19, max_wait_seconds=0.0)

    url: str = "http://127.0.0.1:5200"
    token: Secret | None = None
    timeout_seconds: float = 30.0
    ca_file: str | None = None
    _parsed: SplitResult = field(init=False, repr=False)
    _announced: Announced = field(init=False, repr=False)
    _courier: Courier = field(init=False, repr=False)
    _is_first: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._parsed = checked_url(_web_form(self.url), example="http://127.0.0.1:5200")
        self._announced = Announced({})
        if self.timeout_seconds <= 0:
            raise ConfigError(f"timeout_seconds must be more than 0, not {self.timeout_seconds}")
        for name, value in self._headers().items():
            check_header(name, value, key="token")

    def recall(self, notes: Mapping[str, bytes]) -> None:
        """Which sessions AIr knows."""
        self._announced = Announced(notes)

    def notes(self) -> Notes:
        """The sessions of which AIr was told more."""
        return self._announced.changes()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold one connection open. The first batch may have been sent before the forwarder was started."""
        warn_if_exposed(self._parsed, has_secret=bool(self.token))
        place = place_of(self._parsed)
        secrets = [self.token.reveal()] if self.token else []
        async with connect(
            url=urlunsplit(self._parsed),
            place=place,
            headers=self._headers(),
            tls=Tls(self.ca_file),
            timeout_seconds=self.timeout_seconds,
        ) as client:
            self._courier = Courier(Air(client, place=place, secrets=secrets))
            self._is_first = True
            yield

    async def send(self, batch: Batch) -> None:
        """Send what AIr has not; `Rejected` names the events that it refuses, when all others are there."""
        events = batch.events()
        self._announced.begin()
        waiting = letters(events, self._announced)
        sessions = {session_of(event) for event in events}
        in_doubt = {one for one in sessions if self._is_first or not self._announced.was_known(one)}
        refused = await self._courier.deliver(waiting, in_doubt=in_doubt)
        for letter in waiting:
            if letter.event in refused:
                self._announced.doubt(letter.session)
        self._announced.commit()
        self._is_first = False
        if refused:
            words = "; ".join(dict.fromkeys(refused.values()))
            raise Rejected(words[:MAX_WORDS], refused=refused.keys())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.reveal()}"} if self.token else {}


def _web_form(url: str) -> str:
    """AIR_URL is http for two of AIr's collectors and ws for the third, with the path of a WebSocket."""
    scheme, separator, rest = url.partition("://")
    url = WEB.get(scheme.lower(), scheme) + separator + rest
    for path in PATHS:
        url = url.removesuffix(path)
    return url
