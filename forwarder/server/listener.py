"""An address that is listened at, from the first connection to the last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from forwarder.server.address import Address, bound
from forwarder.server.application import Application
from forwarder.server.connection import Connection, Connections
from forwarder.server.routing import Routing

HEAD_BYTES = 16 << 10  # of a request's first line and headers; browsers' stay below 8 KiB

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one client may cost. Above `max_connections` the one that has waited longest for a request goes."""

    max_connections: int = 512
    header_seconds: float = 10.0
    body_seconds: float = 30.0


class Listener:
    """Bound at once, so that a port in use is said before anything starts; answers from `start` to `stop`."""

    def __init__(
        self, address: Address, routing: Routing, *, limits: Limits, clean: Callable[[str], str] = str
    ) -> None:
        """`clean` takes secrets out of what refusals say. Raises `ConfigError`. May block on a name server."""
        self.application = Application(address, routing, body_seconds=limits.body_seconds, clean=clean)
        self.routing = routing
        self._sockets = bound(address, place=routing.mounts[0].place)
        self.address = Address(address.host, self._sockets[0].getsockname()[1])
        self._servers: list[asyncio.Server] = []
        self._state = Connections(max_connections=limits.max_connections, header_seconds=limits.header_seconds)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._state.connections)

    async def start(self) -> None:
        """Accept connections."""
        config = self._config()
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            server = await loop.create_server(lambda: Connection(config, self._state, {}, loop), sock=one)
            self._servers.append(server)

    async def stop(self, seconds: float) -> None:
        """Take nothing new, finish what was taken for at most so many seconds, and close all connections."""
        self.close()
        self.application.stop()
        for connection in list(self._state.connections):
            connection.shutdown()
        if tasks := set(self._state.tasks):
            _, late = await asyncio.wait(tasks, timeout=seconds)
            if late:
                _log.warning(f"{len(late)} requests at {self.address} were not finished within {seconds:g} s")
            for task in late:
                task.cancel()
        for connection in list(self._state.connections):
            connection.transport.close()
        await asyncio.sleep(0)  # for what closing has put off

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()
        for one in self._sockets:
            one.close()

    def _config(self) -> uvicorn.Config:
        """The web server without its own ways: signals, log lines, proxies, and words about itself."""
        config = uvicorn.Config(
            self.application,
            http=Connection,
            ws=WebSocketsSansIOProtocol,
            ws_max_size=max(mount.max_body_bytes for mount in self.routing.mounts),
            ws_per_message_deflate=False,
            lifespan="off",
            loop="none",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=HEAD_BYTES,
        )
        config.load()
        return config
