"""WebSockets as a receiver sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from forwarder.receiver import Answer, Request
from forwarder.server.asgi import Message, Receive, Send, start_of

REFUSED, ENDED = 1008, 1000  # RFC 6455, section 7.4.1
LONGEST_REASON = 123  # bytes of UTF-8, section 5.5


class Connected:
    """A `Socket`: open while entered. `refusal`, where it is set by then, is said at the end."""

    def __init__(self, request: Request, receive: Receive, send: Send) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._is_gone = False
        self.refusal = ""

    @property
    def request(self) -> Request:
        return self._request

    async def __aenter__(self) -> Self:
        await self._send({"type": "websocket.accept"})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        reason = self.refusal.encode()[:LONGEST_REASON].decode(errors="ignore")
        await self._say({"type": "websocket.close", "code": REFUSED if reason else ENDED, "reason": reason})

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while not self._is_gone:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._is_gone = True
            else:
                text: str | None = message.get("text")
                yield message["bytes"] if text is None else text

    async def send(self, message: str | bytes) -> None:
        key = "text" if isinstance(message, str) else "bytes"
        await self._say({"type": "websocket.send", key: message})

    async def _say(self, message: Message) -> None:
        """Send, unless the other side has gone: then there is nobody to tell."""
        if not self._is_gone:
            try:
                await self._send(message)
            except OSError:
                self._is_gone = True


async def refuse_socket(answer: Answer, send: Send) -> None:
    """Answer as if it had been an ordinary request."""
    start = start_of(answer, {})
    headers = [one for one in start["headers"] if one[0] != b"content-length"]  # the server adds its own
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    body = answer.body if isinstance(answer.body, bytes) else b""
    await send({"type": "websocket.http.response.body", "body": body})
