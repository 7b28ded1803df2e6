"""The sink `http`: options, and one POST for each batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import SplitResult

from forwarder import Batch, Batching, ConfigError, Secret, Sink, Unavailable
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
from forwarder_http.body import CONTENT_TYPES, Compression, Format, compressor, join


@dataclass
class Http(Sink):
    """Options: `url`; `body` and `compress`; `token`, sent as a bearer token, and further `headers`; `timeout_seconds`
    of one whole request; `conflict_is_delivered`, whether 409 after an unknown outcome means that the batch is there;
    TLS: `ca_file`, `client_cert`, `client_key`, `verify`.
    """

    batching: ClassVar[Batching] = Batching(max_events=5_000, max_bytes=1 << 20, max_wait_seconds=0.0)

    url: str
    body: Format = "ndjson"
    compress: Compression = "none"
    token: Secret | None = None
    headers: dict[str, Secret | str] = field(default_factory=dict[str, Secret | str])
    timeout_seconds: float = 30.0
    conflict_is_delivered: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    verify: bool = True
    _parsed: SplitResult = field(init=False, repr=False)
    _compressor: Callable[[bytes], bytes] | None = field(init=False, repr=False)
    _client: Client = field(init=False, repr=False)
    _may_be_there: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._parsed = checked_url(self.url)
        self._compressor = None if self.compress == "none" else compressor(self.compress)
        if self.timeout_seconds <= 0:
            raise ConfigError(f"timeout_seconds must be more than 0, not {self.timeout_seconds}")
        if self.client_key and not self.client_cert:
            raise ConfigError("client_key is of no use without client_cert: name the certificate as well")
        for name, value in self._all_headers().items():
            key = f"headers.{name}" if name in self.headers else "token"
            check_header(name, value, key=key, ours={"idempotency-key"})

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold one connection open. The first batch may have been sent before the forwarder was started."""
        has_secret = bool(self.token) or any(isinstance(value, Secret) for value in self.headers.values())
        warn_if_exposed(self._parsed, has_secret=has_secret, verify=self.verify)
        self._may_be_there = True
        async with connect(
            url=self.url,
            place=place_of(self._parsed),
            headers=self._headers_of_all_requests(),
            tls=Tls(self.ca_file, self.client_cert, self.client_key, self.verify),
            timeout_seconds=self.timeout_seconds,
        ) as self._client:
            yield

    async def send(self, batch: Batch) -> None:
        """POST the batch: 2xx acknowledges; `forwarder.http.failure` says what any other answer means."""
        was_in_doubt, self._may_be_there = self._may_be_there, True
        answer = await self._post(batch)
        self._may_be_there = answer.status >= 500  # a gateway may say so after it passed the batch on
        if 200 <= answer.status < 300 or (answer.status == 409 and was_in_doubt and self.conflict_is_delivered):
            self._may_be_there = False
            return
        error = failure(self._without_credentials(answer), place=place_of(self._parsed))
        if isinstance(error, Unavailable):
            self._may_be_there |= was_in_doubt
        raise error

    async def _post(self, batch: Batch) -> HttpAnswer:
        headers = {"Idempotency-Key": batch.id}
        content = join(batch, self.body)
        if self._compressor:
            headers["Content-Encoding"] = self.compress
            content = await asyncio.to_thread(self._compressor, content)
        return await self._client.post(content, headers)

    def _without_credentials(self, answer: HttpAnswer) -> HttpAnswer:
        """Some destinations repeat what they were sent; what they say is logged and kept."""
        secrets = [one.reveal() for one in (self.token, *self.headers.values()) if isinstance(one, Secret)]
        return answer.without(secrets)

    def _all_headers(self) -> dict[str, str]:
        headers = {name: v.reveal() if isinstance(v, Secret) else v for name, v in self.headers.items()}
        if self.token:
            if any(name.lower() == "authorization" for name in headers):
                raise ConfigError("token and headers.Authorization are both set: keep one")
            headers["Authorization"] = f"Bearer {self.token.reveal()}"
        return headers

    def _headers_of_all_requests(self) -> dict[str, str]:
        headers = self._all_headers()
        if not any(name.lower() == "content-type" for name in headers):  # some endpoints insist on a name of their own
            headers["Content-Type"] = CONTENT_TYPES[self.body]
        return headers
