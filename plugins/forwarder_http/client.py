"""The HTTP client: the only module that names the library, so that its successor is a change of one line."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx as http

from forwarder import ConfigError, Unavailable

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


@dataclass(frozen=True)
class Answer:
    """What the destination said; `text` is the beginning of its body, `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    text: str

    def without(self, secrets: Iterable[str]) -> Answer:
        """The same without these."""
        text, headers = self.text, self.headers
        for secret in secrets:
            text = text.replace(secret, "[REDACTED]")
            headers = {name: value.replace(secret, "[REDACTED]") for name, value in headers.items()}
        return Answer(self.status, headers, text)


class Client:
    """Posts to one URL over connections that stay open. `place` is the URL as messages may show it."""

    def __init__(self, connection: http.AsyncClient, *, url: str, place: str, timeout_seconds: float) -> None:
        self._connection = connection
        self._url = url
        self._place = place
        self._timeout_seconds = timeout_seconds

    async def post(self, body: bytes, headers: dict[str, str]) -> Answer:
        """The whole exchange within the time limit. Raises `Unavailable` when no whole answer came."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._exchange(body, headers)
        except TimeoutError as error:
            raise Unavailable(f"no answer from {self._place} within {self._timeout_seconds:g} s") from error
        except http.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"cannot reach {self._place}: {reason}") from error

    async def _exchange(self, body: bytes, headers: dict[str, str]) -> Answer:
        async with self._connection.stream("POST", self._url, content=body, headers=headers) as response:
            text = b""
            async for chunk in response.aiter_raw():
                text += chunk
                if len(text) >= MAX_ANSWER_BYTES:
                    break
            return Answer(response.status_code, dict(response.headers), text.decode(errors="replace"))


@asynccontextmanager
async def connect(
    *, url: str, place: str, headers: dict[str, str], tls: Tls, timeout_seconds: float
) -> AsyncGenerator[Client]:
    """A client; proxies come from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY). Redirects are not followed."""
    async with http.AsyncClient(
        headers={"Accept-Encoding": "identity", **headers},
        verify=tls.context(),
        timeout=None,  # `Client.post` limits the whole exchange instead of each of its steps
        limits=http.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30.0),
        trust_env=True,
    ) as connection:
        yield Client(connection, url=url, place=place, timeout_seconds=timeout_seconds)
