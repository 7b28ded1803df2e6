"""What a documented server has of a session: the only way to know whether a post without an id is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from forwarder_pai.outgoing import Outgoing


class SessionRow(msgspec.Struct):
    """`started_at` and `ended_at` are ISO 8601."""

    started_at: str | None = None
    ended_at: str | None = None


class Detail(msgspec.Struct):
    """The answer to ``GET /api/sessions/ID``."""

    session: SessionRow
    tools: list[dict[str, Any]]
    agents: list[dict[str, Any]]


_detail = msgspec.json.Decoder(Detail).decode


def is_stored(answer: str, post: Outgoing, earlier: Sequence[Outgoing]) -> bool:
    """Whether the session holds the post besides those `earlier` ones that say the same.

    False where the answer is not the documented one: what may be missing is posted.
    """
    try:
        detail = _detail(answer)
    except (msgspec.DecodeError, RecursionError):
        return False
    known = sum(post.says_the_same_as(one) for one in earlier)
    return _count(detail, post) > known


def _count(detail: Detail, post: Outgoing) -> int:
    match post.kind:
        case "session_start":
            return _is_same_time(detail.session.started_at, post.time)
        case "session_end":
            return _is_same_time(detail.session.ended_at, post.time)
        case "tool_use":
            return _matching(detail.tools, post, ("tool", "args", "duration_ms"))
        case _:
            return _matching(detail.agents, post, ("subagent_type", "prompt"))


def _matching(rows: Iterable[dict[str, Any]], post: Outgoing, names: Iterable[str]) -> int:
    """How many rows say what the post says. What it does not say (any more) a row may."""
    wanted = {name: post.data[name] for name in names if name in post.data}
    return sum(
        wanted.items() <= {name: row.get(name) for name in wanted}.items()
        and _is_same_time(row.get("timestamp"), post.time)
        for row in rows
    )


def _is_same_time(stored: object, time: str) -> bool:
    """Servers may write the same moment in another zone or with other digits."""
    try:
        return isinstance(stored, str) and datetime.fromisoformat(stored) == datetime.fromisoformat(time)
    except (ValueError, TypeError):  # no time, or one without a zone
        return False
