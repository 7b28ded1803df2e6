"""The sink `http`: options, and one POST for each batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import ClassVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

import structlog

from forwarder import Batch, Batching, ConfigError, Secret, Sink, Unavailable
from forwarder_http.answer import failure
from forwarder_http.body import CONTENT_TYPES, Compression, Format, compressor, join
from forwarder_http.client import Answer, Client, Tls, connect

OURS = {"content-length", "content-encoding", "transfer-encoding", "idempotency-key"}

_log = structlog.get_logger("forwarder_http")


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
        self._parsed = _parse(self.url)
        self._compressor = None if self.compress == "none" else compressor(self.compress)
        if self.timeout_seconds <= 0:
            raise ConfigError(f"timeout_seconds must be more than 0, not {self.timeout_seconds}")
        if self.client_key and not self.client_cert:
            raise ConfigError("client_key is of no use without client_cert: name the certificate as well")
        for name, value in self._all_headers().items():
            _check_header(name, value, key=f"headers.{name}" if name in self.headers else "token")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold one connection open. The first batch may have been sent before the forwarder was started."""
        if self._is_exposed():
            _log.warning("credentials travel unencrypted; use https", url=self._place)
        if not self.verify:
            _log.warning("verify = false: anybody on the way can pose as the destination", url=self._place)
        self._may_be_there = True
        async with connect(
            url=self.url,
            place=self._place,
            headers=self._headers_of_all_requests(),
            tls=Tls(self.ca_file, self.client_cert, self.client_key, self.verify),
            timeout_seconds=self.timeout_seconds,
        ) as self._client:
            yield

    async def send(self, batch: Batch) -> None:
        """POST the batch: 2xx acknowledges; `forwarder_http.answer` says what any other answer means."""
        was_in_doubt, self._may_be_there = self._may_be_there, True
        answer = await self._post(batch)
        self._may_be_there = answer.status >= 500  # a gateway may say so after it passed the batch on
        if 200 <= answer.status < 300 or (answer.status == 409 and was_in_doubt and self.conflict_is_delivered):
            self._may_be_there = False
            return
        error = failure(self._without_credentials(answer), place=self._place)
        if isinstance(error, Unavailable):
            self._may_be_there |= was_in_doubt
        raise error

    async def _post(self, batch: Batch) -> Answer:
        headers = {"Idempotency-Key": batch.id}
        content = join(batch, self.body)
        if self._compressor:
            headers["Content-Encoding"] = self.compress
            content = await asyncio.to_thread(self._compressor, content)
        return await self._client.post(content, headers)

    def _without_credentials(self, answer: Answer) -> Answer:
        """Some destinations repeat what they were sent; what they say is logged and kept."""
        secrets = [one.reveal() for one in (self.token, *self.headers.values()) if isinstance(one, Secret)]
        return answer.without(secrets)

    @property
    def _place(self) -> str:
        """The URL without its query, which may hold a key."""
        return urlunsplit((self._parsed.scheme, self._parsed.netloc, self._parsed.path, "", ""))

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

    def _is_exposed(self) -> bool:
        has_secret = bool(self.token) or any(isinstance(value, Secret) for value in self.headers.values())
        return has_secret and self._parsed.scheme == "http" and not _is_loopback(self._parsed.hostname or "")


def _parse(url: str) -> SplitResult:
    try:
        parsed = urlsplit(url)
        is_usable = parsed.scheme in {"http", "https"} and bool(parsed.hostname) and parsed.port != 0
    except ValueError as error:
        raise ConfigError(f"url: {error}; write it like https://collect.example.com/v1/events") from error
    if parsed.username is not None:
        raise ConfigError("url must not hold a password, which messages would show: use token or headers")
    if not is_usable or not url.isprintable() or " " in url:
        raise ConfigError(f"url must be like https://collect.example.com/v1/events, not {url!r}")
    return parsed


def _check_header(name: str, value: str, *, key: str) -> None:
    if name.lower() in OURS:
        raise ConfigError(f"{key}: the forwarder sets this header itself, remove it")
    if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
        raise ConfigError(f"{key}: not the name of a header")
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise ConfigError(f"{key}: the value must be one line of plain ASCII; is there a line break at its end?")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
