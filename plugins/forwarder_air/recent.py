"""Which events were taken lately: what a client asks for that does not know how far a batch came.

Held in memory: after a restart nothing is listed, and a client that then posts an event again does no harm.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypedDict

from forwarder_air.posts import Post

MAX_EVENTS = 50_000  # about 20 MB


class Listed(TypedDict):
    """What all events have; no more of them is kept."""

    id: str
    sessionId: str
    timestamp: int
    type: str


class Recent:
    """The newest events; the session that was quiet for the longest is forgotten first."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, dict[str, Listed]] = OrderedDict()
        self._count = 0

    def add(self, posts: Iterable[Post]) -> None:
        """They are on the disk."""
        for post in posts:
            session = self._sessions.setdefault(post.session_id, {})
            self._sessions.move_to_end(post.session_id)
            self._count += post.id not in session
            milliseconds = round(post.time.timestamp() * 1000)
            session[post.id] = Listed(id=post.id, sessionId=post.session_id, timestamp=milliseconds, type=post.type)
        while self._count > MAX_EVENTS:
            self._count -= len(self._sessions.popitem(last=False)[1])

    def of(self, session_id: str) -> list[Listed]:
        """In ascending order of time, as AIr lists them."""
        return sorted(self._sessions.get(session_id, {}).values(), key=lambda one: one["timestamp"])
