"""Events as AIr's clients post them, from JSON to what is common to all of them. Seen in AIr 0.1.1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple, cast

import msgspec

from forwarder import Refused
from forwarder_air.told import number

COMMON = ("id", "sessionId", "timestamp", "type")
MARGIN = 50  # levels of nesting, each of which counts like a call
LONGEST_NAME = 500  # of ids and types, which are kept whole; the clients' have at most about 80

_stable = msgspec.json.Encoder(order="deterministic").encode


class Post(NamedTuple):
    """One event. `has_time` says that `time` is the sender's."""

    id: str
    type: str
    session_id: str
    time: datetime
    fields: Mapping[str, object]
    has_time: bool = True


class Unfit(Refused):
    """An event that cannot be taken. `air` is what AIr says of it, where that is known."""

    def __init__(self, message: str, *, air: str = "") -> None:
        super().__init__(message)
        self.air = air or f"TypeError: {message}"


class Posts:
    """The events of one request. One without an id is known by its content: the same words about the same moment.

    Of equal ones in one request each is an event of its own, so that the request as a whole can be repeated.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def read(self, value: object) -> Post:
        """Raises `Unfit`."""
        fields = _object(value)
        _check_depth(fields)
        kind = name_of(fields, "type")
        if "timestamp" not in fields or fields["timestamp"] is None:
            lost = "SqliteError: NOT NULL constraint failed: sessions.start_time"
            raise Unfit("timestamp is missing: milliseconds since 1970", air=lost)
        time = _moment(fields["timestamp"])
        if time is None:
            raise Unfit("timestamp wants milliseconds since 1970, or ISO 8601")
        session_id = name_of(fields, "sessionId")
        check_needs(kind, fields)
        return Post(self._id(fields), kind, session_id, time, fields)

    def read_undated(self, kind: str, body: Mapping[str, object], *, session_id: str, came: datetime) -> Post:
        """An event of a form that has neither id nor time; both are taken where they are told all the same.

        Without them nobody can tell a repeat from another event of equal words: then it is another one.
        """
        _check_depth(body)
        told = body.get("timestamp")
        time = None if told is None else _moment(told)
        if told is not None and time is None:
            raise Unfit("timestamp wants milliseconds since 1970, or ISO 8601")
        named = body if body.get("id") is not None or time else {**body, "came": came.isoformat()}
        return Post(self._id(named), kind, session_id, time or came, body, has_time=time is not None)

    def _id(self, fields: Mapping[str, object]) -> str:
        if fields.get("id") is not None:
            return name_of(fields, "id")
        digest = digest_of(fields)
        self._seen[digest] += 1
        return digest if self._seen[digest] == 1 else f"{digest}-{self._seen[digest]}"


def digest_of(fields: Mapping[str, object]) -> str:
    """Stands for an id where there is none. Raises `Unfit`."""
    return blake2b(_plain(fields), digest_size=16).hexdigest()


def _object(value: object) -> Mapping[str, object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    shown = value if isinstance(value, str) else _plain(value).decode()
    raise Unfit(
        "an event is an object",
        air=f"TypeError: Cannot use 'in' operator to search for 'inputPreview' in {shown}",
    )


def _plain(value: object) -> bytes:
    try:
        return _stable(value)
    except RecursionError as error:
        raise Unfit("the event is nested too deeply") from error


def _check_depth(fields: Mapping[str, object]) -> None:
    """What can be encoded inside of so many lists more can be later on, with more calls below."""
    wrapped: object = fields
    for _ in range(MARGIN):
        wrapped = [wrapped]
    _plain(wrapped)


def name_of(fields: Mapping[str, object], name: str) -> str:
    """A text that is not empty, or a number as AIr takes it too. Raises `Unfit`."""
    value = fields.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise Unfit(f"{name} wants a text that is not empty")
    if len(value) > LONGEST_NAME:
        raise Unfit(f"{name} has more than {LONGEST_NAME} characters")
    return value


def _moment(value: object) -> datetime | None:
    """Milliseconds since 1970, or ISO 8601, without a zone in UTC; None for anything else."""
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if (milliseconds := number(value)) is not None:
            return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        pass  # a text that is no time, or one that no calendar has
    return None


_MONEY = ("inputCost", "outputCost", "cacheReadCost", "cacheWriteCost", "totalCost", "cumulativeCost")
_EVAL = ("responseTokens", "toolCallCount", "toolErrorCount", "toolSuccessRate", "responseLatencyMs", "cacheHitRate")
_PROMPT = ("turnsToComplete", "totalTokens", "totalCost", "totalLatencyMs", "toolErrorRate")

# Per type: AIr's table, the texts and the numbers without which AIr does not take it; "a.b" is a field of an object.
NEEDS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "tool_call_start": ("tool_calls", ("toolName",), ()),
    "tool_call": ("tool_calls", ("toolName",), ()),
    "agent_start": ("sessions", ("model", "provider"), ()),
    "token_usage": ("sessions", (), ("input", "output", "cost.total")),
    "context_usage": ("context_snapshots", (), ("tokensUsed", "contextWindow", "utilizationPct")),
    "context_breakdown": ("context_snapshots", (), ("totalTokens", "contextWindow")),
    "session_start": ("sessions", ("cwd", "model", "provider"), ()),
    "latency": ("latency_snapshots", ("operation",), ("totalMs",)),
    "cost": ("cost_snapshots", ("model", "provider"), _MONEY),
    "output_eval": ("output_evals", ("model", "provider"), ("turnIndex", *(f"metrics.{one}" for one in _EVAL))),
    "prompt_rating": (
        "prompt_ratings",
        ("promptHash", "variant", "category", "model", "provider"),
        tuple(f"metrics.{one}" for one in _PROMPT),
    ),
    "drift": (
        "drift_events",
        ("metric", "model", "provider", "direction", "severity"),
        ("baseline", "current", "deviationPct", "windowSize", "threshold"),
    ),
}


def check_needs(kind: str, fields: Mapping[str, object]) -> None:
    """Raises `Unfit` for an event without what AIr does not take it without."""
    table, texts, numbers = NEEDS.get(kind, ("", (), ()))
    for name in texts:
        if not isinstance(fields.get(name), str):
            raise Unfit(f"{name} wants a text", air=_not_null(table, name))
    for name in numbers:
        outer, _, inner = name.rpartition(".")
        holder = fields.get(outer) if outer else fields
        if not isinstance(holder, dict):
            raise Unfit(f"{outer} wants an object", air=f"TypeError: Cannot read properties of undefined ('{inner}')")
        if number(cast("dict[str, object]", holder).get(inner)) is None:
            raise Unfit(f"{name} wants a number", air=_not_null(table, inner))


def _not_null(table: str, name: str) -> str:
    column = "".join(f"_{one.lower()}" if one.isupper() else one for one in name)
    return f"SqliteError: NOT NULL constraint failed: {table}.{column}"
