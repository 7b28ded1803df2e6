"""One address as an ASGI application: every request is guarded, read, handled and answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from forwarder.errors import RecordError, Refused
from forwarder.receiver import Answer, Request, Route, SocketRoute
from forwarder.server.address import Address
from forwarder.server.asgi import Message, Receive, Send, refused, request_of, start_of
from forwarder.server.body import Gone, read_body
from forwarder.server.guard import check_host, check_origin, check_token, cors_headers
from forwarder.server.routing import OPENING, Mount, Routing
from forwarder.server.socket import Connected, refuse_socket

STOPPING_SECONDS = 5.0  # after which a client may find us again; a restart takes about one

_log = structlog.get_logger(__name__)


class Application:
    """Answers for the receivers of one address. `answered` counts requests by receiver and status."""

    def __init__(self, address: Address, routing: Routing, *, body_seconds: float, clean: Callable[[str], str]) -> None:
        """`clean` takes secrets out of what a refusal says: its words may be those of the request."""
        self._address = address
        self._routing = routing
        self._body_seconds = body_seconds
        self._clean = clean
        self._waits: set[asyncio.Timeout] = set()
        self._is_stopping = False
        self.answered: Counter[tuple[str, int]] = Counter()

    def stop(self) -> None:
        """End streams and refuse requests whose bodies are not complete; all others still get their answers."""
        self._is_stopping = True
        for wait in self._waits:
            _end(wait)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        request = request_of(scope)
        if scope["type"] == "websocket":
            await self._open(request, receive, send)
            return
        mount, came = self._routing.mount_of(request.path), time.monotonic()
        try:
            answer = await self._answer(request, mount, receive)
        except Refused as refusal:
            answer = self._refused(mount, refusal)
        except Gone:
            return
        self.answered[mount.name if mount else "", answer.status] += 1
        if mount:
            path = self._routing.template(request.path)
            mount.receiver.answered(request, answer.status, path=path, seconds=time.monotonic() - came)
        await self._send(request, answer, self._headers(request, mount), receive, send)

    async def _answer(self, request: Request, mount: Mount | None, receive: Receive) -> Answer:
        """Raises `Refused` and `Gone`."""
        self._check_page(request, mount)
        if request.method == "OPTIONS":
            return self._options(request, mount)
        found, route, request.params = self._routing.find(request.method, request.path)
        assert isinstance(route, Route)
        if not route.is_open:
            check_token(request.headers, found.token)
        request.body = await self._body(request, found, receive)
        try:
            return await route.handler(request, found.accept(route.path, request))
        except Refused:
            raise
        except RecordError as error:
            raise Refused(str(error)) from error
        except Exception as error:
            raise _bug(found, request) from error

    def _refused(self, mount: Mount | None, refusal: Refused) -> Answer:
        refusal.args = (self._clean(str(refusal)),)
        return refused(mount.receiver if mount else None, refusal)

    def _check_page(self, request: Request, mount: Mount | None) -> None:
        """What a browser must not be talked into."""
        if self._address.is_loopback:
            check_host(request.headers, known=self._address.host)
        check_origin(request.headers, mount.cors_origins if mount else ())

    def _options(self, request: Request, mount: Mount | None) -> Answer:
        headers = {"Allow": ", ".join(self._routing.methods(request.path))}
        if mount and cors_headers(request.headers, mount.cors_origins):
            headers["Access-Control-Allow-Methods"] = headers["Allow"]
            headers["Access-Control-Allow-Headers"] = request.headers.get("access-control-request-headers", "")
        return Answer(204, headers=headers)

    def _headers(self, request: Request, mount: Mount | None) -> dict[str, str]:
        closing = {"Connection": "close"} if self._is_stopping else {}
        return closing | (cors_headers(request.headers, mount.cors_origins) if mount else {})

    async def _body(self, request: Request, mount: Mount, receive: Receive) -> bytes:
        try:
            async with self._until_stopped(self._body_seconds):
                return await read_body(receive, request.headers, max_bytes=mount.max_body_bytes)
        except TimeoutError as error:
            if self._is_stopping:
                raise Refused("the forwarder is stopping", status=503, retry_after=STOPPING_SECONDS) from error
            late = f"the body did not come within {self._body_seconds:g} s"
            raise Refused(late, status=408, headers={"Connection": "close"}) from error

    async def _send(
        self, request: Request, answer: Answer, more: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        await send(start_of(answer, more))
        if not isinstance(answer.body, bytes):
            if request.method != "HEAD":
                await self._stream(answer.body, receive, send)
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "http.response.body", "body": answer.body})

    async def _stream(self, pieces: AsyncIterable[bytes], receive: Receive, send: Send) -> None:
        """Send piece by piece until there are no more, the other side has left, or we stop."""
        leaving = asyncio.ensure_future(receive())
        try:
            async with self._until_stopped(None) as wait:
                leaving.add_done_callback(lambda _: _end(wait))
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            pass  # the other side has left, or we stop
        finally:
            leaving.cancel()
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _open(self, request: Request, receive: Receive, send: Send) -> None:
        """A WebSocket, from its opening to its end."""
        await receive()  # that somebody wants to connect
        mount = self._routing.mount_of(request.path)
        try:
            self._check_page(request, mount)
            found, route, request.params = self._routing.find(OPENING, request.path)
            if not route.is_open:
                check_token(request.headers, found.token)
        except Refused as refusal:
            answer = self._refused(mount, refusal)
            self.answered[mount.name if mount else "", answer.status] += 1
            await refuse_socket(answer, send)
            return
        assert isinstance(route, SocketRoute)
        self.answered[found.name, 101] += 1
        async with Connected(request, receive, send) as socket:
            try:
                await route.handler(socket, found.accept(route.path, request))
            except (Refused, RecordError) as error:
                socket.refusal = self._clean(str(error))
            except Exception as error:  # noqa: BLE001 - like a request's, a socket's bug costs this one alone
                socket.refusal = str(_bug(found, request, error))

    @asynccontextmanager
    async def _until_stopped(self, seconds: float | None) -> AsyncGenerator[asyncio.Timeout]:
        """A time limit that `stop` brings to its end. Raises TimeoutError."""
        async with asyncio.timeout(0 if self._is_stopping else seconds) as wait:
            self._waits.add(wait)
            try:
                yield wait
            finally:
                self._waits.discard(wait)


def _end(wait: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it is over already
        wait.reschedule(asyncio.get_running_loop().time())


def _bug(mount: Mount, request: Request, error: BaseException | None = None) -> Refused:
    """What is said to the other side when a receiver fails: nothing of ours; the log has the rest."""
    _log.exception(
        f"receiver {mount.name} failed at {request.method} {request.path}: this is a bug in it",
        limited=f"bugs of {mount.name}",
        exc_info=error or True,
    )
    return Refused("the receiver failed; its log says how", status=500)
