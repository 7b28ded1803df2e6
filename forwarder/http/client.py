"""The HTTP client: the only module that names the library, so that its successor is a change of one line."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import httpx as http

from forwarder.errors import ConfigError, NotSent, Unavailable
from forwarder.http.answer import HttpAnswer

MAX_ANSWER_BYTES = 1 << 16  # read of an answer, for the message and to keep the connection; the rest is not waited for


@dataclass(frozen=True)
class Tls:
    """`ca_file` is trusted instead of the usual authorities; `client_cert` and `client_key` are PEM files."""

    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Raises `ConfigError` that names the file which cannot be used."""
        if self == Tls():
            return _usual_context()
        try:
            context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else http.create_ssl_context()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"ca_file {self.ca_file}: {error}; name a PEM file of certificates") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_cert:
            try:
                context.load_cert_chain(self.client_cert, self.client_key)
            except (OSError, ssl.SSLError) as error:
                files = " and ".join(filter(None, (self.client_cert, self.client_key)))
                raise ConfigError(f"client_cert {files}: {error}; name PEM files that belong together") from error
        return context


@cache
def _usual_context() -> ssl.SSLContext:
    """Shared by all clients and never changed: reading the usual authorities takes 40 ms."""
    return http.create_ssl_context()


class Client:
    """Sends to one URL, or to paths below it, over connections that stay open.

    `place` is the URL as messages may show it. Every exchange is whole within the time limit, else it raises
    `Unavailable`: `NotSent` where no byte of the request went out, so that it may come again without harm.
    """

    def __init__(self, connection: http.AsyncClient, *, url: str, place: str, timeout_seconds: float) -> None:
        self._connection = connection
        self._url = url
        self._place = place
        self._timeout_seconds = timeout_seconds

    async def post(self, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """POST to the URL itself."""
        return await self._ask(_Request("POST", self._url, body, headers), place=self._place, most=MAX_ANSWER_BYTES)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] = MappingProxyType({}),
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> HttpAnswer:
        """Any method, to `path` below the URL: it begins with a slash, is quoted, and may have a query."""
        request = _Request(method, _below(self._url, path), body, headers)
        place = self._place.rstrip("/") + path.partition("?")[0]
        return await self._ask(request, place=place, most=max_answer_bytes)

    async def _ask(self, request: _Request, *, place: str, most: int) -> HttpAnswer:
        progress = _Progress()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._exchange(request, progress, most)
        except TimeoutError as error:
            raise progress.kind(f"no answer from {place} within {self._timeout_seconds:g} s") from error
        except http.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise progress.kind(f"cannot reach {place}: {reason}") from error

    async def _exchange(self, request: _Request, progress: _Progress, most: int) -> HttpAnswer:
        async with self._connection.stream(
            request.method,
            request.url,
            content=request.body,
            headers=request.headers,
            extensions={"trace": progress.note},
        ) as response:
            text = bytearray()
            async for chunk in response.aiter_raw():
                text += chunk
                if len(text) >= most:
                    break
            return HttpAnswer(response.status_code, dict(response.headers), text.decode(errors="replace"))


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    body: bytes
    headers: Mapping[str, str]


class _Progress:
    """Whether the request itself has begun to be written, by the library's own account (its `trace` extension)."""

    def __init__(self) -> None:
        self.kind: type[Unavailable] = NotSent

    async def note(self, what: str, info: Mapping[str, Any]) -> None:
        # A tunnel through a proxy begins with a CONNECT of its own: nothing of ours has gone out by that.
        if what.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            self.kind = Unavailable


def _below(url: str, path: str) -> str:
    base, _, query = url.partition("?")
    own = "&".join(filter(None, (path.partition("?")[2], query)))
    return base.rstrip("/") + path.partition("?")[0] + (f"?{own}" if own else "")


@asynccontextmanager
async def connect(
    *, url: str, place: str, headers: Mapping[str, str], tls: Tls, timeout_seconds: float
) -> AsyncGenerator[Client]:
    """A client; proxies come from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY). Redirects are not followed."""
    async with http.AsyncClient(
        headers={"Accept-Encoding": "identity", **headers},
        verify=tls.context(),
        # `Client` limits the whole exchange instead of each of its steps. Connecting and the handshake have half each,
        # since the library closes the socket of a handshake that times out and forgets that of a cancelled one.
        timeout=http.Timeout(None, connect=timeout_seconds / 2),
        limits=http.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30.0),
        trust_env=True,
    ) as connection:
        yield Client(connection, url=url, place=place, timeout_seconds=timeout_seconds)
