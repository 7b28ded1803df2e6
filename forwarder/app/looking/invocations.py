"""Calls of tools and helpers, each as one invocation, from events of whatever agents told of them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

import msgspec

Result = Literal["succeeded", "failed", "cancelled", "unknown"]

_RESULTS: dict[str, Result] = {
    "ok": "succeeded",
    "error": "failed",
    "rejected": "cancelled",
    "denied": "cancelled",
    "cancelled": "cancelled",
    "succeeded": "succeeded",
    "failed": "failed",
}
_HEAD_BYTES = len('{"id":"",') + 32
_TYPES = (b'"type":"tool_call_start"', b'"type":"tool_call_end"', b'"type":"tool_usage"')


class Told(msgspec.Struct, kw_only=True, gc=False):
    """What is read of an event: `tool_call_start`, `tool_call_end` or `tool_usage`, with the names of each."""

    id: str
    type: str
    time: datetime
    agent: str
    session_id: str = ""
    cwd: str | None = None
    call_id: str = ""
    tool: str = ""
    tool_kind: str = ""
    outcome: str = ""
    kind: str = ""
    name: str = ""
    scope: str | None = None
    status: str = ""
    task_id: str | None = None
    invocation_id: str | None = None
    duration_ms: int | None = None
    exit_code: int | None = None
    error: str | None = None
    error_summary: str | None = None


class Invocation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One call, however many events told of it. `time` is its end where that is known, else its start."""

    time: datetime
    kind: str
    name: str
    agent: str
    result: Result
    cwd: str | None = None
    scope: str | None = None
    task_id: str | None = None
    duration_ms: int | None = None
    exit_code: int | None = None
    error: str | None = None


_TOLD = msgspec.json.Decoder(Told)


def decoded(lines: Iterable[bytes]) -> Iterator[Told]:
    """The events among these lines that tell of calls."""
    return (_TOLD.decode(line) for line in lines if line.startswith(_TYPES, _HEAD_BYTES))


def invocations(told: Iterable[Told]) -> list[Invocation]:
    """Each call once, in the order of time. An event that comes twice counts once, and so does a log's line of a call
    that its agent has told of itself."""
    events = sorted({one.id: one for one in told}.values(), key=lambda one: (one.time, not _is_start(one)))
    calls = [one for one in events if one.type != "tool_usage"]
    known = {f"{one.agent}:{one.call_id}" for one in calls}
    helpers = [one for one in events if one.type == "tool_usage" and one.invocation_id not in known]
    return sorted([*_calls(calls), *_helpers(helpers)], key=lambda one: one.time)


def _is_start(one: Told) -> bool:
    return one.type == "tool_call_start" or one.status == "started"


def _calls(events: Iterable[Told]) -> Iterator[Invocation]:
    """Of a call its end, else its start, whose result nobody knows."""
    last: dict[tuple[str, str], Told] = {}
    for one in events:
        at = (one.agent, one.call_id)
        if at not in last or not _is_start(one):
            last[at] = one
    for one in last.values():
        yield _invocation(one, kind=one.tool_kind, name=one.tool, outcome=one.outcome, error=one.error)


def _helpers(events: Iterable[Told]) -> Iterator[Invocation]:
    """An end is that of its start: the one with its id; without an id the oldest open one that is like it."""
    opened: defaultdict[tuple[str | None, ...], deque[Told]] = defaultdict(deque)
    for one in events:
        like = (one.kind, one.name, one.session_id, one.cwd)
        at = (one.invocation_id,) if one.invocation_id is not None else like
        if _is_start(one):
            opened[at].append(one)
            continue
        if opened[at]:
            opened[at].popleft()
        yield _helper(one)
    for starts in opened.values():
        yield from map(_helper, starts)


def _helper(one: Told) -> Invocation:
    return _invocation(one, kind=one.kind, name=one.name, outcome=one.status, error=one.error_summary)


def _invocation(one: Told, *, kind: str, name: str, outcome: str, error: str | None) -> Invocation:
    return Invocation(
        time=one.time,
        kind=kind,
        name=name,
        agent=one.agent,
        cwd=one.cwd,
        scope=one.scope,
        task_id=one.task_id,
        result=_RESULTS.get(outcome, "unknown"),
        duration_ms=one.duration_ms,
        exit_code=one.exit_code,
        error=error,
    )
