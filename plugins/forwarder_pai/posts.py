"""The two forms in which events are posted, as the documentation has them and as the real server takes them.

Seen in the repository's server and client of February 2026; the documented form (type, session_id, timestamp, data) in
its README of the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple, cast

import msgspec

from forwarder import Refused

SEED_TYPES = ("session_start", "tool_use", "agent_spawn", "session_end")
LONGEST_NAME = 500  # of ids and types, which are kept whole; the client's have at most 36
MISSING = "Missing required fields"

_stable = msgspec.json.Encoder(order="deterministic").encode


class Post(NamedTuple):
    """One event. `has_time` says that `time` is the sender's; `data` is what it told, empty if that was no table."""

    id: str
    type: str
    session_id: str
    time: datetime
    data: Mapping[str, Any]
    told: object
    has_time: bool = True


def seed_post(body: object) -> Post:
    """The documented form. It has no id: the same words about the same moment are the same event. Raises `Refused`."""
    post = _table(body, "the body")
    kind, session_id = _text(post, "type"), _name(post, "session_id")
    if kind not in SEED_TYPES:
        raise Refused(f'unknown type "{kind}": one of {", ".join(SEED_TYPES)}')
    data, time = _table(post.get("data"), "data"), _moment(post.get("timestamp"))
    if time is None:
        raise Refused("timestamp wants ISO 8601, for instance 2026-02-05T10:00:00.000Z")
    digest = blake2b(_stable([session_id, kind, time.isoformat(), data]), digest_size=16)
    return Post(digest.hexdigest(), kind, session_id, time, data, data)


def server_post(body: object, *, came: datetime) -> Post:
    """The real server's form. A timestamp that tells no time is replaced by `came`. Raises `Refused`."""
    if not isinstance(body, dict):
        raise Refused(MISSING)
    post = cast("dict[str, Any]", body)
    if not all(post.get(name) for name in ("id", "timestamp", "session_id", "event_type")):
        raise Refused(MISSING)
    if "data" not in post:
        raise Refused("data is missing")
    time = _moment(post["timestamp"])
    told = post["data"]
    return Post(
        _name(post, "id"),
        _text(post, "event_type"),
        _name(post, "session_id"),
        came if time is None else time,
        cast("dict[str, Any]", told) if isinstance(told, dict) else {},
        told,
        has_time=time is not None,
    )


def _table(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Refused(f"{name} wants an object")
    return cast("dict[str, Any]", value)


def _text(post: Mapping[str, Any], name: str) -> str:
    value = post.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(f"{name} wants a text that is not empty")
    if len(value) > LONGEST_NAME:
        raise Refused(f"{name} has more than {LONGEST_NAME} characters")
    return value


def _name(post: Mapping[str, Any], name: str) -> str:
    """An id; the server takes numbers for it too."""
    value = post.get(name)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(post, name)


def _moment(value: object) -> datetime | None:
    """ISO 8601, without a zone in UTC, or a number of milliseconds since 1970; None for anything else."""
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        pass  # a text that is no time, or one that no calendar has
    return None
