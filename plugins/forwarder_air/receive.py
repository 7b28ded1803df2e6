"""Events that agents post to an AIr server, taken in its place: as the server of AIr 0.1.1 was seen to run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import structlog

from forwarder import Accept, Answer, Event, Receiver, Refused, Request, Route, Serving, Socket, SocketRoute
from forwarder_air import shapes
from forwarder_air.answers import Words, body_of, no_route, partly_taken, refused, taken
from forwarder_air.facts import facts
from forwarder_air.posts import Post, Posts, Unfit, digest_of, name_of
from forwarder_air.providers import Providers
from forwarder_air.recent import Recent
from forwarder_air.sessions import Reading, Sessions

MAX_BODY_BYTES = 16 << 20  # AIr's server takes 1 MiB, and frames of 100 MiB
PATIENCE_SECONDS = 1.0  # between two attempts to keep a frame, whose sender cannot be told to come again
POSTED = ("/api/ingest", "/api/ingest/batch")
EVENTS_AT_ONCE = 50  # then other requests get their turn: about 3 ms
OTHER_METHODS = ("GET", "PUT", "PATCH", "DELETE")
BY_SINK = "per sink"  # there is no one level of redaction
FEATURES = (
    "token_tracking",
    "cost_monitoring",
    "latency_monitoring",
    "output_evaluation",
    "prompt_rating",
    "data_redaction",
    "provider_registry",
    "rag_http_api",
)

_log = structlog.get_logger("forwarder_air")


@dataclass
class Air(Receiver):
    """Option `answers`: "honest" status codes, or as "air" does, whose clients may not know any others."""

    answers: Words = "honest"
    _started: float = field(default=0.0, init=False, repr=False)
    _sessions: Sessions = field(default_factory=Sessions, init=False, repr=False)
    _providers: Providers = field(default_factory=Providers, init=False, repr=False)
    _recent: Recent = field(default_factory=Recent, init=False, repr=False)

    def serving(self) -> Serving:
        return Serving(listen="127.0.0.1:5200", max_body_bytes=MAX_BODY_BYTES)

    def recall(self, notes: Mapping[str, bytes]) -> None:
        """Whose the sessions are."""
        self._sessions.recall(notes)
        self._recent = Recent()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self._started = time.monotonic()
        yield

    def routes(self) -> Sequence[Route | SocketRoute]:
        operations = shapes.operations(self.answers)
        routes: list[Route | SocketRoute] = [
            Route("POST", "/api/ingest", self._one, operation=operations["ingest"]),
            Route("POST", "/api/ingest/batch", self._batch, operation=operations["batch"]),
            Route("POST", "/api/providers/rag", self._provider, operation=operations["providers"]),
            Route("GET", "/api/sessions/{session}/events", self._events, operation=shapes.EVENTS),
            Route("GET", "/api/health", self._health, is_open=True, operation=shapes.HEALTH),
            Route("GET", "/api/config", self._config, operation=shapes.CONFIG),
            SocketRoute("/ws/collector", self._collector, operation=shapes.COLLECTOR),
        ]
        for name in ("retrieval", "embedding", "index"):
            handler = partial(self._rag, f"rag_{name}")
            routes.append(Route("POST", f"/api/rag/{name}", handler, operation=operations["rag"]))
        if self.answers == "air":
            routes += [Route(method, path, _no_route) for path in POSTED for method in OTHER_METHODS]
        return routes

    def refuse(self, refusal: Refused) -> Answer:
        return refused(refusal, self.answers)

    async def _one(self, request: Request, accept: Accept) -> Answer:
        await self._take([Posts().read(body_of(request, self.answers))], accept)
        return taken()

    async def _batch(self, request: Request, accept: Accept) -> Answer:
        """What is wrong with one event costs no other."""
        values = _elements(body_of(request, self.answers))
        posts, reader, unfit = list[Post](), Posts(), list[tuple[int, Unfit]]()
        for index, value in enumerate(values):
            await _let_others(index)
            try:
                posts.append(reader.read(value))
            except Unfit as error:
                unfit.append((index, error))
        await self._take(posts, accept)
        return partly_taken(len(posts), unfit, self.answers) if unfit else taken(count=len(posts))

    async def _rag(self, kind: str, request: Request, accept: Accept) -> Answer:
        body = _fields(body_of(request, self.answers))
        source = _named(body, "source")
        told = {name: value for name, value in body.items() if value is not None}
        if kind == "rag_embedding":
            told = self._providers.defaults(source) | told
        session_id = name_of(told, "sessionId") if told.get("sessionId") else _session_of(source, accept)
        await self._take([Posts().read_undated(kind, told, session_id=session_id, came=request.time)], accept)
        return taken()

    async def _provider(self, request: Request, accept: Accept) -> Answer:
        """A `custom` event says what was registered; the same again is the same fact."""
        body = _fields(body_of(request, self.answers))
        name = _named(body, "name")
        data = {field: value for field, value in body.items() if field != "name" and value is not None}
        told = {"provider": name, "eventName": "rag_provider", "data": data}
        known = {**told, "id": digest_of(told)}
        await self._take(
            [Posts().read_undated("custom", known, session_id=_session_of(name, accept), came=request.time)], accept
        )
        self._providers.register(name, body, accept.clean)
        return taken(provider=name)

    async def _collector(self, socket: Socket, accept: Accept) -> None:
        """A frame has no answer: a bad one costs only itself, any other is kept before the next is read."""
        async for frame in socket:
            request = socket.request
            request.body = frame.encode() if isinstance(frame, str) else frame
            request.lossy = False
            try:
                await self._take_frame(Posts().read(request.json()), accept)
            except Refused as refusal:
                _log.warning(f"{request.path}: a frame was not taken: {refusal}", limited="frames of air")

    async def _take_frame(self, post: Post, accept: Accept) -> None:
        """Raises `Refused`, but not while it may be taken later."""
        while True:
            try:
                return await self._take([post], accept)
            except Refused as refusal:
                if refusal.status != 503:
                    raise
                await asyncio.sleep(PATIENCE_SECONDS)

    async def _take(self, posts: list[Post], accept: Accept) -> None:
        reading = Reading(self._sessions)
        events = list[Event]()
        for event in facts(posts, reading):
            events.append(event)
            await _let_others(len(events))
        notes = self._sessions.notes(reading.changed, accept.clean)
        await accept(events, notes=notes)
        self._sessions.keep(reading.changed, notes)
        self._providers.see(posts, accept.clean)
        self._recent.add(posts)

    async def _events(self, request: Request, accept: Accept) -> Answer:
        """Ids and types are words of clients, and hardly ever is a secret among them: all are looked at in one go."""
        listed = self._recent.of(request.params["session"])
        words = "\n".join(f"{one['id']}\n{one['type']}" for one in listed)
        if accept.clean(words) != words:
            listed = [{**one, "id": accept.clean(one["id"]), "type": accept.clean(one["type"])} for one in listed]
        return Answer.json(listed)

    async def _health(self, request: Request, _: Accept) -> Answer:
        uptime = round(time.monotonic() - self._started, 3)
        return Answer.json({"status": "ok", "uptime": uptime, "dashboardClients": 0, "redactionLevel": BY_SINK})

    async def _config(self, request: Request, _: Accept) -> Answer:
        return Answer.json(
            {
                "redactionLevel": BY_SINK,
                "driftDetection": False,
                "budgetLimit": None,
                "providers": self._providers.listed(request.time),
                "features": FEATURES,
            }
        )


async def _let_others(count: int) -> None:
    """A large batch leaves the event loop to others now and then."""
    if not count % EVENTS_AT_ONCE:
        await asyncio.sleep(0)


def _session_of(source: str, accept: Accept) -> str:
    """Where AIr puts what is told of an index without a session. An id stays as it is, a name may hold a secret."""
    return f"rag-{accept.clean(source)}"


async def _no_route(request: Request, _: Accept) -> Answer:
    return no_route(request)


def _elements(body: Any) -> list[object]:
    """AIr takes a text for its characters."""
    if isinstance(body, list):
        return cast("list[object]", body)
    if isinstance(body, str) and body:
        return list(body)
    raise Unfit("a batch is an array of events", air="TypeError: events is not iterable")


def _fields(body: Any) -> Mapping[str, object]:
    if not isinstance(body, dict):
        raise Unfit("the body wants an object")
    return cast("dict[str, object]", body)


def _named(body: Mapping[str, object], name: str) -> str:
    if not isinstance(body.get(name), str) or not body[name]:
        raise Unfit(f"{name} is required", air=f"{name} is required")
    return name_of(body, name)
