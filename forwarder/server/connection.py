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
        self.waiting: dict[Connection, None] = {}


class Connection(H11Protocol):
    """Closed when the head of a request does not come in time, or to make room for one that may be quicker."""

    server_state: Connections
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        state = self.server_state
        self._look()
        if len(state.connections) <= state.max_connections:
            return
        slowest = next(iter(state.waiting))
        if slowest is self:
            self._say(TOO_MANY)
        else:
            slowest._stop_waiting()
            slowest.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._stop_waiting()
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
        """Whose turn it is: the client's, for a head or the rest of a body, or ours."""
        if self.transport.is_closing():
            return
        if self._is_busy and not self.cycle.more_body:
            self._stop_waiting()
            return
        self.server_state.waiting.setdefault(self)
        if self._is_busy:
            self._stop_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.server_state.header_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        self.server_state.waiting.pop(self, None)
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _say(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()
