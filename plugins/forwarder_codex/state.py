"""What a rollout file says once and later lines rely on; saved together with the offset, so all of it is bounded."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from forwarder import Activity, Pressure, Session, ToolKind, ToolOutcome, Trigger

Parts = tuple[int, int, int, int, int]
"""Input, of it cached, of it cache writes, output, of it reasoning."""

NO_TOKENS: Parts = (0, 0, 0, 0, 0)
OPEN_CALLS = 128  # far more than a model makes in parallel; the oldest is closed as unknown
ENDED_CALLS = 128  # a killed command's item can follow after its turn; ids are kept that long
RESPONSES = 64  # copies of a usage record lie close to the original, or in an inherited prefix


class Lineage(Struct):
    """Held while the lines are copies of the parent's: how to tell where they end (contract, section 6)."""

    first: datetime
    created: datetime
    thread_ms: int | None = None
    start_ordinal: int | None = None
    has_dated_ids: bool = False


class Turn(Struct):
    """The current or last turn. `key` is what stands for it in keys: its id, else the time of its first line."""

    count: int = 0
    id: str | None = None
    key: str = ""
    is_open: bool = False
    is_marked: bool = False
    started: datetime | None = None
    calls: int = 0
    prompts: int = 0
    responses: int = 0
    is_review: bool = False


class OpenCall(Struct, array_like=True, gc=False):
    """A call without its end. `turn_key` is that of the turn it began in; the facts are what an item said so far."""

    tool: str
    kind: ToolKind
    turn_key: str
    turn: int
    started: datetime
    server: str | None = None
    process: str | None = None
    is_running: bool = False
    outcome: ToolOutcome | None = None
    exit_code: int | None = None
    duration_ms: int | None = None
    is_inferred: bool = False
    error: str | None = None


class Calls(Struct):
    """`ended` tells the turn of the latest calls; `script` is the newest code-mode script."""

    open: dict[str, OpenCall] = {}
    ended: dict[str, int] = {}
    script: str | None = None


class Tokens(Struct):
    """The algorithm's memory (contract, section 5.3), the limits last reported, and how full the context is."""

    previous: Parts | None = NO_TOKENS
    covered: Parts = NO_TOKENS
    generation: int = 0
    responses: dict[str, None] = {}
    limits: dict[str, tuple[float, int | None, float | None]] = {}
    used: int | None = None
    window: int | None = None
    pressure: Pressure = "normal"
    is_compacting: bool = False


class State(Struct):
    """One rollout file. `thread` is the id in the file's name, `header_time` the only time that a bare file has."""

    session: Session
    thread: str = ""
    is_revert: bool = False
    has_header: bool = False
    has_turn_marks: bool = False
    header_time: datetime | None = None
    first: datetime | None = None
    created: datetime | None = None
    trigger: Trigger = "human"
    provider: str | None = None
    model: str | None = None
    activity: Activity | None = None
    lineage: Lineage | None = None
    turn: Turn = field(default_factory=Turn)
    calls: Calls = field(default_factory=Calls)
    tokens: Tokens = field(default_factory=Tokens)


def milliseconds(time: datetime) -> int:
    """Since 1970; the resolution of Codex's own times."""
    return round(time.timestamp() * 1000)


def remember(seen: dict[str, None] | dict[str, int], limit: int) -> None:
    """Forget the oldest entries beyond the limit."""
    while len(seen) > limit:
        del seen[next(iter(seen))]
