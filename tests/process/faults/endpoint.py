"""An idempotent destination behind a real socket: a batch counts once per Idempotency-Key, an event once per id."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any

from tests.http_peer import HttpPeer, Reply, Request

Event = dict[str, Any]


def fact_of(event: Event) -> str | None:
    """The fact that a written line stood for; None for what the forwarder says of its own."""
    match event["type"]:
        case "user_command":
            return str(event["input"]).split()[0]
        case "session_start":
            return str(event["session_id"])
        case _:
            return None


class Endpoint(HttpPeer):
    """Keeps facts and ids, not bodies: a soak sends many. `max_events` is what it takes at once (0: any number)."""

    def __init__(self) -> None:
        super().__init__()
        self.max_events = 0
        self.stored: dict[str, str | None] = {}  # id: fact
        self.facts: Counter[str] = Counter()
        self.types: Counter[str] = Counter()
        self.repeated: list[str] = []  # ids that came under two keys
        self.changed: list[str] = []  # keys that came with two bodies
        self._bodies: dict[str, bytes] = {}

    def judge(self, request: Request, reply: Reply) -> Reply:
        """413 for more events than it takes at once; what it has taken it has, though nobody heard the answer."""
        is_known = request.headers["idempotency-key"] in self._bodies
        if self.max_events and reply.trouble is None and not is_known and len(request.events()) > self.max_events:
            return Reply(413)
        return reply

    def remember(self, request: Request) -> None:
        """Nothing: what matters was taken in."""

    def take_in(self, request: Request) -> None:
        """Store what is new; what contradicts an idempotent sender is noted."""
        key, body = request.headers["idempotency-key"], blake2b(request.content(), digest_size=16).digest()
        if key in self._bodies:
            if self._bodies[key] != body:
                self.changed.append(key)
            return
        self._bodies[key] = body
        for event in request.events():
            self._store(event)

    def _store(self, event: Event) -> None:
        if event["id"] in self.stored:
            self.repeated.append(event["id"])
            return
        self.types[event["type"]] += 1
        fact = self.stored[event["id"]] = fact_of(event)
        if fact:
            self.facts[fact] += 1
