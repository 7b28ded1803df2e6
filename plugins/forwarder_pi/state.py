"""What a session file says once and later lines rely on; saved together with the offset, so all of it is bounded."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from forwarder import Key, Session, ToolKind

OPEN_CALLS = 128  # far more than a model makes in parallel; the oldest is closed as unknown
LEAVES = 16  # ends of branches that may still grow: one per process that writes the file, and abandoned ones


class Place(NamedTuple):
    """The entry being mapped: the key that all its facts share, and when it was written."""

    key: Key
    at: datetime


class OpenCall(Struct, array_like=True):
    """A call without its result. `key` is that of the entry which asked for it."""

    tool: str
    kind: ToolKind
    key: Key
    started: datetime


class Turn(Struct):
    """From a prompt to the last answer. `key` is that of the entry which began it, `stop` the last stop reason."""

    count: int
    key: Key
    started: datetime
    last: datetime
    stop: str = ""
    tool_calls: int = 0
    errors: int = 0
    open_calls: dict[str, OpenCall] = {}


class Lineage(Struct):
    """Held while the lines are copies of the parent's: the file's own session, and when its own lines begin."""

    own: Session
    created: datetime


class State(Struct):
    """One session file. `leaves` are the ends of its branches, each with the turn that is open there, if one is."""

    session: Session
    has_header: bool = False
    lineage: Lineage | None = None
    provider: str | None = None
    model: str | None = None
    turns: int = 0
    leaves: dict[str, Turn | None] = {}


def milliseconds(time: datetime) -> int:
    """Since 1970; the resolution of pi's own times."""
    return round(time.timestamp() * 1000)


def between(start: datetime, end: datetime) -> int | None:
    """Milliseconds; None where the clock was set back in between."""
    passed = milliseconds(end) - milliseconds(start)
    return passed if passed >= 0 else None
