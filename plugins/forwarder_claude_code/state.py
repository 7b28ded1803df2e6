"""What earlier lines of a file said and later ones rely on; saved together with the offset, so all of it is bounded."""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import datetime
from typing import TypeVar

from msgspec import Struct, field

from forwarder import Activity, Session, Trigger

OPEN_CALLS = 128  # far more than a model makes in parallel; the oldest is closed as unknown
RESPONSES = 64  # the lines of one response lie together, those of parallel side chains close by
BACKGROUND = 64  # agents at work at the same time
SESSIONS = 64  # of one spool that are remembered; they come one after the other, or some dozens at once
OCCURRENCES = 256  # of facts without an id, which repeat within a turn at most

V = TypeVar("V")


class OpenCall(Struct, array_like=True):
    """A call without its result."""

    tool: str
    started: datetime
    turn: int


class Turn(Struct):
    """The current or last turn of a transcript. `key` is the prompt's id; before there was one, its line's."""

    key: str = ""
    id: str | None = None
    count: int = 0
    is_open: bool = False
    is_answered: bool = False
    started: datetime | None = None
    calls: int = 0


Sum = tuple[int, int, int, int]
"""Input without cache, cache read, cache write, output."""


class Totals(Struct):
    """Per model, what `cost-state` said last and what was counted since. A fork's first totals are its parent's.

    `compaction` is the id and the time of one since then.
    """

    stated: dict[str, Sum] = {}
    counted: dict[str, Sum] = {}
    is_known: bool = True
    has_agents: bool = False
    compaction: tuple[str, datetime] | None = None


class Transcript(Struct):
    """One transcript. `own_start` is the time of the first line that a fork wrote itself, where it can be told."""

    session: Session | None = None
    is_started: bool = False
    own_start: datetime | None = None
    copied_until: datetime | None = None
    model: str | None = None
    activity: Activity | None = None
    is_ending: bool = False
    turn: Turn = field(default_factory=Turn)
    calls: dict[str, OpenCall] = {}
    background: dict[str, None] = {}
    used: dict[str, tuple[int, ...]] = {}
    totals: Totals = field(default_factory=Totals)


class OpenHook(Struct, array_like=True):
    """A call of which a hook told the start. `input` is a digest of tool and input: PermissionRequest has no id.

    `is_asked`: a person is to allow it.
    """

    tool: str
    input: str
    is_asked: bool = False


class Live(Struct):
    """One session as a spool tells of it. `start` is held back until something is asked of the session.

    `last` is a digest of the event before, if it was one that has no id; `prompt` and `calls` belong to the open turn.
    `ended` are the latest calls that are over: a hook that is registered twice, or late, starts them no second time.
    """

    start: datetime | None = None
    is_start_inferred: bool = False
    model: str | None = None
    trigger: Trigger | None = None
    activity: Activity | None = None
    last: str = ""
    prompt: str = ""
    prompted: datetime | None = None
    is_open: bool = False
    calls: int = 0
    open: dict[str, OpenHook] = {}
    ended: dict[str, None] = {}
    agents: dict[str, str] = {}


class State(Struct):
    """One file. `file_time` is the time in the name of a file that holds one event, in nanoseconds.

    `is_scattered`: a session's events lie in many files, so that none of them knows the others. `dropped` is how many
    events a writer has dropped, of the file that counts them.
    """

    is_transcript: bool = False
    is_scattered: bool = False
    file_time: int | None = None
    transcript: Transcript = field(default_factory=Transcript)
    live: dict[str, Live] = {}
    occurrences: dict[str, int] = {}
    dropped: int | None = None


def trim(seen: MutableMapping[str, V], limit: int) -> None:
    """Forget the oldest entries beyond the limit."""
    while len(seen) > limit:
        del seen[next(iter(seen))]


def milliseconds(time: datetime) -> int:
    """Since 1970; the resolution of Claude Code's own times."""
    return round(time.timestamp() * 1000)
