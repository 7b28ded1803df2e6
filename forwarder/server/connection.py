"""One connection of an address, with the limits that the web server does not know."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


def _last_words(status: bytes, error: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    body = b'{"error":"%b"}' % error
    return head % (status, len(body)) + body


TOO_MANY = _last_words(b"503 Service Unavailable", b"too many connections")
MALFORMED = _last_words(b"400 Bad Request", b"this is not an HTTP request")


class Connections(ServerState):
    """All connections of an address. `waiting` are those without a complete request, the longest waiting first."""

    def __init__(self, *, max_connections: int, header_seconds: float) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.header_seconds = header_seconds
        self.waiting: dict[Connection, asyncio.TimerHandle] = {}


class Connection(H11Protocol):
    """Closed when the head of a request does not come in time, or to make room for one that may be quicker."""

    server_state: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        state = self.server_state
        self._wait()
        if len(state.connections) <= state.max_connections:
            return
        slowest = next(iter(state.waiting))
        if slowest is self:
            self._say(TOO_MANY)
        else:
            slowest._wait_no_more()
            slowest.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._wait_no_more()
        super().handle_websocket_upgrade(event)

    def shutdown(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """In a form like all our answers; in the middle of another answer there is no way to say it."""
        if self._is_busy:
            self.transport.abort()
        else:
            self._say(MALFORMED)

    @property
    def _is_busy(self) -> bool:
        cycle: Any = self.cycle  # None before the first request, whatever its annotation says
        return cycle is not None and not cycle.response_complete

    def _look(self) -> None:
        if self._is_busy:
            self._wait_no_more()
        elif self not in self.server_state.waiting and not self.transport.is_closing():
            self._wait()

    def _wait(self) -> None:
        state = self.server_state
        state.waiting[self] = self.loop.call_later(state.header_seconds, self.transport.close)

    def _wait_no_more(self) -> None:
        if (timer := self.server_state.waiting.pop(self, None)) is not None:
            timer.cancel()

    def _say(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()
