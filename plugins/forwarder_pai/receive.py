"""Events that agents post to a PAI observability server, taken in its place."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from forwarder import Accept, Answer, Operation, Receiver, Refused, Request, Route, Serving, SocketRoute
from forwarder_pai.facts import facts
from forwarder_pai.forms import Health, Problem, SeedPost, ServerHealth, ServerPost, Taken
from forwarder_pai.posts import Post, seed_post, server_post

MAX_BODY_BYTES = 16 << 20  # the real server took 10 MB

TAKEN = {201: Taken, 400: Problem}
SEED = Operation("Take an event in the documented form.", SeedPost, TAKEN)
SERVER = Operation("Take an event in the real server's form.", ServerPost, TAKEN)
HEALTH = {
    "seed": Operation("Say that it works.", answers={200: Health}),
    "server": Operation("Say that it works.", answers={200: ServerHealth}),
}


@dataclass
class Pai(Receiver):
    """Option `profile`: whose health check is answered, that of the documented server or of the one that exists."""

    profile: Literal["seed", "server"] = "seed"
    _started: float = field(default=0.0, init=False, repr=False)

    def serving(self) -> Serving:
        return Serving(listen="127.0.0.1:3001", max_body_bytes=MAX_BODY_BYTES)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self._started = time.monotonic()
        yield

    def routes(self) -> Sequence[Route | SocketRoute]:
        return [
            Route("POST", "/api/events", self._seed, operation=SEED),
            Route("POST", "/events", self._server, operation=SERVER),
            Route("GET", "/health", self._health, is_open=True, operation=HEALTH[self.profile]),
        ]

    def refuse(self, refusal: Refused) -> Answer:
        """PAI knows no 405, and says the same of every path that it does not have."""
        if refusal.status in (404, 405):
            return Answer.json({"error": "Not found"}, 404)
        return Answer.json({"error": str(refusal)}, refusal.status)

    async def _seed(self, request: Request, accept: Accept) -> Answer:
        return await _taken(seed_post(request.json()), accept)

    async def _server(self, request: Request, accept: Accept) -> Answer:
        return await _taken(server_post(request.json(), came=request.time), accept)

    async def _health(self, request: Request, _: Accept) -> Answer:
        if self.profile == "seed":
            return Answer.json(Health("ok", round(time.monotonic() - self._started, 3), _shown(request.time)))
        port = request.headers.get("host", "").rpartition(":")[2]
        return Answer.json(
            ServerHealth(
                status="healthy",
                version="1.0.0",
                port=int(port) if port.isdigit() else 80,
                database="connected",
                sse_clients=0,
                timestamp=_shown(request.time),
            )
        )


def _shown(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _taken(post: Post, accept: Accept) -> Answer:
    """The answer to a post that is on the disk, the first time and every time after."""
    await accept(facts(post))
    return Answer.json(Taken("ok", post.id), 201)
