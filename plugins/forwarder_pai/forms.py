"""What is posted and answered, as the description of the receiver shows it.

Narrower than what is taken: `posts` also takes numbers as ids, and times in other words.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from forwarder_pai.posts import LONGEST_NAME

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Time = Annotated[datetime, Meta(tz=True)]


class SeedPost(Struct):
    """An event as the documentation has it."""

    type: Literal["session_start", "tool_use", "agent_spawn", "session_end"]
    session_id: Name
    timestamp: Time
    data: dict[str, Any]


class ServerPost(Struct):
    """An event as the real server takes it."""

    id: Name
    timestamp: Time
    session_id: Name
    event_type: Name
    data: Any


class Taken(Struct):
    """The event is on the disk."""

    status: Literal["ok"]
    id: str


class Problem(Struct):
    """Why nothing was taken."""

    error: str


class Health(Struct):
    """The documented health check; seconds."""

    status: Literal["ok"]
    uptime: float
    timestamp: str


class ServerHealth(Struct):
    """The real server's health check."""

    status: Literal["healthy"]
    version: str
    port: int
    database: Literal["connected"]
    sse_clients: int
    timestamp: str
