"""A real HTTP server on loopback that does what a test tells it, and remembers what it was sent.

async with HttpPeer() as peer:
    peer.script(Reply(503, headers={"Retry-After": "2"}), Reply(trouble="reset_in_body"))
    ...  # from the third request on: 200
    assert peer.ids() == [...]
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from struct import pack
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Trouble = Literal[
    "reset_before_body", "reset_in_body", "reset_after_body", "half_answer", "wrong_length", "slow_reading", "silence"
]
TAKEN_IN = {
    "reset_after_body",
    "half_answer",
    "wrong_length",
    "silence",
}  # the peer has the whole body, only the sender cannot know
SIPS = 10  # in which a slow reader takes a body


@dataclass(frozen=True)
class Reply:
    """What one request is answered: `status` after `delay_seconds`, or a `trouble` in its place.

    ``reset_*`` ends the connection with a TCP reset, ``half_answer`` closes it inside a 200, ``wrong_length`` sends
    more than its head announced, and ``silence`` never answers. ``slow_reading`` takes the body in `SIPS` with
    `delay_seconds` between them, and then answers `status`.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b"{}"
    delay_seconds: float = 0.0
    trouble: Trouble | None = None


@dataclass(frozen=True)
class Request:
    """One request as it came in; `headers` have lower-case names."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def content(self) -> bytes:
        """The body, decompressed."""
        match self.headers.get("content-encoding"):
            case "gzip":
                return gzip.decompress(self.body)
            case "zstd":
                return zstd.decompress(self.body)
            case _:
                return self.body

    def events(self) -> list[dict[str, Any]]:
        """The events of an NDJSON or JSON array body."""
        content = self.content()
        return _decode(content) if content.startswith(b"[") else [_decode(line) for line in content.splitlines()]


_decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode


class HttpPeer:
    """Listens on 127.0.0.1 while entered. `requests` are all that were read whole, `accepted` those it took in."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self.connections = 0
        self.otherwise = Reply()
        self._tls = tls
        self._port = port
        self._script: deque[Reply] = deque()
        self._arrived = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/v1/events"

    def script(self, *replies: Reply) -> None:
        """Answer the next requests so, one reply each; after them with `otherwise`."""
        self._script.extend(replies)

    def forget_script(self) -> None:
        """Answer with `otherwise` from now on."""
        self._script.clear()

    def announced(self, size: int, reply: Reply) -> Reply:
        """The reply to a request whose head says that its body has `size` bytes; a subclass may not want to read it."""
        return reply

    def judge(self, request: Request, reply: Reply) -> Reply:
        """The reply to a request that was read whole; a subclass may look into the body."""
        return reply

    def take_in(self, request: Request) -> None:
        """Keep a request that is answered with success, or was read whole before the connection broke."""
        self.accepted.append(request)

    def remember(self, request: Request) -> None:
        """Keep a request that was read whole, whatever it is answered."""
        self.requests.append(request)

    async def wait_for(self, requests: int) -> None:
        """Return when so many requests have been read."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= requests)

    def events(self) -> list[dict[str, Any]]:
        """The events that were taken in, in order, as often as they came."""
        return [event for request in self.accepted for event in request.events()]

    def ids(self) -> list[str]:
        """The ids of `events`, in order, as often as they came."""
        return [event["id"] for event in self.events()]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls, limit=1 << 20)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        while self._writers:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        size = int(headers.get("content-length", "0"))
        reply = self.announced(size, self._script.popleft() if self._script else self.otherwise)
        if reply.trouble == "reset_before_body":
            return _reset(writer)
        if reply.trouble == "slow_reading":
            body = await _in_sips(reader, size, reply.delay_seconds)
        else:
            body = await reader.readexactly(size // 2 if reply.trouble == "reset_in_body" else size)
        if reply.trouble == "reset_in_body":
            return _reset(writer)

        request = Request(method, path, headers, body)
        reply = self.judge(request, reply)
        if reply.trouble in TAKEN_IN or 200 <= reply.status < 300:
            self.take_in(request)
        async with self._arrived:
            self.remember(request)
            self._arrived.notify_all()
        return await self._answer(reader, writer, reply)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: Reply) -> bool:
        if reply.trouble == "reset_after_body":
            return _reset(writer)
        if reply.trouble == "silence":
            return bool(await reader.read(1))  # until the other side gives up
        if reply.delay_seconds and reply.trouble != "slow_reading":
            await asyncio.sleep(reply.delay_seconds)
        reason = HTTPStatus(reply.status).phrase
        length = len(reply.body) - 1 if reply.trouble == "wrong_length" else len(reply.body)
        headers = {"Content-Length": str(length), **reply.headers}
        lines = [f"HTTP/1.1 {reply.status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        is_half = reply.trouble == "half_answer"
        writer.write(
            "\r\n".join(lines).encode("latin-1") + (reply.body[: len(reply.body) // 2] if is_half else reply.body)
        )
        await writer.drain()
        if is_half or headers.get("Connection") == "close":
            writer.close()
            return False
        return True


async def _in_sips(reader: asyncio.StreamReader, size: int, pause_seconds: float) -> bytes:
    body = b""
    while len(body) < size:
        await asyncio.sleep(pause_seconds)
        body += await reader.readexactly(min(size - len(body), -(-size // SIPS)))
    return body


def _reset(writer: asyncio.StreamWriter) -> bool:
    """End the connection as a crashed host does: whatever was not read yet is gone."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
    writer.transport.abort()
    return False
