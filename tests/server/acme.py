"""A receiver with everything that one may have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from forwarder import (
    Accept,
    Answer,
    Event,
    Notification,
    Receiver,
    Refused,
    Request,
    Route,
    Serving,
    Session,
    Socket,
    SocketRoute,
)

TIME = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Acme(Receiver):
    """Takes ``{"id": …, "text": …}``; `gate` holds up what waits for it, `asked` counts the requests.

    `answers` are what it was told of them: method, route, status.
    """

    max_body_bytes: int = 1000
    is_timeless: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    answers: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])

    def serving(self) -> Serving:
        return Serving("127.0.0.1:0", max_body_bytes=self.max_body_bytes)

    def routes(self) -> Sequence[Route | SocketRoute]:
        return [
            Route("POST", "/notes", self.take),
            Route("GET", "/notes/{id}/text", self.show),
            Route("GET", "/health", self.health, is_open=True),
            Route("GET", "/stream", self.stream),
            Route("POST", "/bug", self.bug),
            Route("POST", "/wait", self.wait),
            SocketRoute("/socket", self.listen),
        ]

    async def take(self, request: Request, accept: Accept) -> Answer:
        self.asked += 1
        note = request.json()
        new = await accept([self.event(note["id"], note.get("text", ""))])
        return Answer.json({"new": new}, 201)

    def event(self, id: str, text: str) -> Event:
        time = TIME.replace(tzinfo=None) if self.is_timeless else TIME
        return Notification(key=(id,), time=time, session=Session(agent="acme", id="s"), kind="note", message=text)

    async def show(self, request: Request, _: Accept) -> Answer:
        return Answer.json({"id": request.params["id"], "query": request.query})

    async def health(self, _: Request, __: Accept) -> Answer:
        return Answer.text("fine")

    async def stream(self, _: Request, __: Accept) -> Answer:
        return Answer(200, self.pieces(), {"Content-Type": "text/event-stream"})

    async def pieces(self) -> AsyncGenerator[bytes]:
        try:
            yield b"first"
            await self.gate.wait()
            yield b"second"
        finally:
            self.asked += 1

    async def bug(self, _: Request, __: Accept) -> Answer:
        raise ZeroDivisionError("a secret of ours")

    async def wait(self, _: Request, __: Accept) -> Answer:
        self.asked += 1
        await self.gate.wait()
        return Answer.text("done")

    async def listen(self, socket: Socket, accept: Accept) -> None:
        async for message in socket:
            if message == "bug":
                raise ZeroDivisionError("a secret of ours")
            if message == "refuse":
                raise Refused("not such messages")
            await accept([self.event(str(message), "")])
            await socket.send(f"taken {message}" if isinstance(message, str) else message)

    def answered(self, request: Request, status: int, *, path: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.answers.append((request.method, path, status))

    def refuse(self, refusal: Refused) -> Answer:
        return Answer.json({"acme": str(refusal)}, refusal.status)
