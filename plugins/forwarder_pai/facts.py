"""What a posted event tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from forwarder import (
    AgentEnd,
    AgentSpawn,
    Event,
    Key,
    Notification,
    Permission,
    Session,
    SessionEnd,
    SessionStart,
    ToolCallEnd,
    ToolCallStart,
    ToolKind,
    ToolOutcome,
    TurnStart,
    text_size,
)
from forwarder_pai.posts import Post

AGENT = "pai"
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LONGEST_MS = 10 * 366 * 86_400_000  # what lasted longer than ten years is no duration

KINDS: dict[str, ToolKind] = {
    "bash": "shell",
    "read": "read",
    "write": "write",
    "edit": "edit",
    "multiedit": "edit",
    "patch": "edit",
    "glob": "search",
    "grep": "search",
    "list": "search",
    "webfetch": "web",
    "websearch": "web",
    "task": "agent",
    "todoread": "plan",
    "todowrite": "plan",
}


class Envelope(TypedDict):
    """What all events of a post share."""

    time: datetime
    time_inferred: bool
    session: Session


class Call(TypedDict):
    """What the start and the end of a tool call share."""

    key: Key
    call_id: str
    tool: str
    tool_kind: ToolKind


def facts(post: Post) -> Iterator[Event]:
    """The events of a post: at least one. What has no type of its own is a `notification` with all that was told."""
    tell = TELLERS.get(post.type)
    events = list(tell(post)) if tell else []
    yield from events or [_notification(post)]


def _envelope(post: Post, *, cwd: str | None = None) -> Envelope:
    session = Session(agent=AGENT, id=post.session_id, cwd=cwd)
    return {"time": post.time, "time_inferred": not post.has_time, "session": session}


def _key(post: Post) -> Key:
    return (post.session_id, post.id)


def _session_start(post: Post) -> Iterator[Event]:
    """The client posts it twice for each session: the session is the fact."""
    yield SessionStart(
        key=(post.session_id,),
        reason="startup",
        model=_text(post, "model"),
        **_envelope(post, cwd=_text(post, "working_directory")),
    )


def _session_end(post: Post) -> Iterator[Event]:
    yield SessionEnd(
        key=(post.session_id,), reason="other", duration_ms=_number(post, "duration_ms"), **_envelope(post)
    )


def _tool_use(post: Post) -> Iterator[Event]:
    """Posted once the call is over, so it tells of its start as well."""
    tool = _text(post, "tool")
    if tool is None:
        return
    call = Call(key=_key(post), call_id=post.id, tool=tool, tool_kind=KINDS.get(tool.lower(), "other"))
    told, duration, outcome = _input(post), _number(post, "duration_ms"), _outcome(post)
    ended = _envelope(post)
    started = ended.copy()
    if duration and post.time - EARLIEST > timedelta(milliseconds=duration):
        started["time"] = post.time - timedelta(milliseconds=duration)
    yield ToolCallStart(input_bytes=text_size(told), input=told, **call, **started)
    yield ToolCallEnd(outcome=outcome, ok=outcome == "ok", duration_ms=duration, **call, **ended)


def _agent_spawn(post: Post) -> Iterator[Event]:
    """The documented server is told of it with its duration: then it is over as well."""
    child = _text(post, "task_id") or post.id
    kind, prompt = _text(post, "subagent_type") or _text(post, "agent_type"), _text(post, "prompt")
    yield AgentSpawn(
        key=_key(post),
        child=child,
        agent_type=kind,
        prompt_bytes=None if prompt is None else text_size(prompt),
        description=prompt,
        **_envelope(post),
    )
    if (duration := _number(post, "duration_ms")) is not None:
        yield AgentEnd(key=_key(post), child=child, agent_type=kind, duration_ms=duration, **_envelope(post))


def _agent_complete(post: Post) -> Iterator[Event]:
    outcome = _outcome(post)
    yield AgentEnd(
        key=_key(post),
        child=_text(post, "task_id") or post.id,
        agent_type=_text(post, "agent_type"),
        outcome=None if outcome == "unknown" else outcome,
        duration_ms=_number(post, "duration_ms"),
        **_envelope(post),
    )


def _user_message(post: Post) -> Iterator[Event]:
    """Its text is not told."""
    yield TurnStart(key=_key(post), turn_id=_text(post, "messageId"), trigger="human", **_envelope(post))


def _block(post: Post) -> Iterator[Event]:
    if (tool := _text(post, "tool")) is not None:
        yield Permission(key=_key(post), tool=tool, decision="denied", by="rule", **_envelope(post))


def _notification(post: Post) -> Event:
    told = json.dumps(post.told, ensure_ascii=False, separators=(",", ":"))
    return Notification(key=_key(post), kind=post.type, message=told, **_envelope(post))


TELLERS: dict[str, Callable[[Post], Iterator[Event]]] = {
    "session_start": _session_start,
    "session.start": _session_start,
    "session_end": _session_end,
    "session.end": _session_end,
    "tool_use": _tool_use,
    "tool.execute": _tool_use,
    "tool.blocked": _block,
    "security.block": _block,
    "agent_spawn": _agent_spawn,
    "agent.spawn": _agent_spawn,
    "agent.complete": _agent_complete,
    "message.user": _user_message,
}


def _text(post: Post, name: str) -> str | None:
    value = post.data.get(name)
    return value if isinstance(value, str) and value else None


def _number(post: Post, name: str) -> int | None:
    """Milliseconds; None for what is no duration."""
    value: object = post.data.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_MS:
        return round(value)
    return None


def _input(post: Post) -> str:
    """The documented client tells the arguments as JSON text, the real one how they begin."""
    for name in ("args", "args_preview"):
        value: object = post.data.get(name)
        if value is not None:
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return ""


def _outcome(post: Post) -> ToolOutcome:
    match post.data.get("success"):
        case True:
            return "ok"
        case False:
            return "error"
        case _:
            return "unknown"
