"""A server that a test can look into and disturb."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from forwarder.testing import Destination
from tests.http_peer import Reply
from tests.plugins.pai.server import PaiServer


def example(id: str, text: str) -> dict[str, Any]:
    """A call whose tool holds all that the documented form leaves out."""
    return {"type": "tool_call_end", "call_id": id, "tool": f"{id} {text}", "tool_kind": "shell", "outcome": "ok"}


class Observability(Destination):
    """A server in any mood; the events that its calls were made of."""

    def __init__(self, server: PaiServer) -> None:
        self._server = server

    async def events(self) -> list[dict[str, Any]]:
        return [_event(post) for post in self._server.posts]

    @asynccontextmanager
    async def _answering(self, reply: Reply) -> AsyncGenerator[None]:
        self._server.otherwise = reply
        yield
        self._server.otherwise = Reply()

    def unavailable(self) -> AbstractAsyncContextManager[None]:
        return self._answering(Reply(503))

    def refusing(self) -> AbstractAsyncContextManager[None]:
        return self._answering(Reply(400))

    @asynccontextmanager
    async def silent(self) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
        async with self._answering(Reply(trouble="silence")):
            yield partial(self._server.wait_for, len(self._server.requests) + 1)


def _event(post: dict[str, Any]) -> dict[str, Any]:
    id, _, text = post["data"]["tool"].partition(" ")
    envelope = {"id": id, "time": post["timestamp"], "agent": "check-sink", "session_id": post["session_id"]}
    return envelope | example(id, text)
