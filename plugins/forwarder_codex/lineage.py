"""Where the copied lines of a fork's or sub-agent's file end: they are the parent's facts, told by its own file."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from forwarder_codex import tokens
from forwarder_codex.records import Call, Line, SessionMeta, TaskStarted, TokenCount, TokenRecord
from forwarder_codex.state import ENDED_CALLS, Lineage, State, milliseconds, remember

BURST = timedelta(seconds=1)  # copies are written in one go


def begin(state: State, meta: SessionMeta, first: datetime) -> None:
    """Look at the file's own header: do copied lines follow?"""
    state.first, state.created = first, meta.timestamp or first
    if meta.history_base is not None:  # 0.148+: a fork or revert that copies nothing, and counts on from its base
        state.tokens.previous = None
    if meta.subagent_history_start_ordinal is not None or (meta.forked_from_id and meta.history_base is None):
        state.lineage = _lineage(state, first, meta.subagent_history_start_ordinal)


def second_header(state: State, at: datetime) -> None:
    """A header of another thread right behind our own: copied lines, also where our own header does not say so."""
    if state.lineage is None and not state.turn.count and state.first is not None and at - state.first <= BURST:
        state.lineage = _lineage(state, state.first, None)


def is_inherited(state: State, lineage: Lineage, line: Line[Any]) -> bool:
    """Whether the line is a copy. What the totals need of it is remembered, nothing else. Ends the prefix."""
    if _is_own(lineage, line):
        state.lineage = None
        return False
    match line.payload:
        case TokenCount() as payload:
            tokens.inherit(state.tokens, payload)
        case TokenRecord() as payload:
            tokens.remember_response(state.tokens, payload.response_id)
        case Call() as payload:
            state.calls.ended[payload.call_id] = 0
            remember(state.calls.ended, ENDED_CALLS)
        case SessionMeta():
            return False  # recognises the parent's header by itself
        case _:
            pass
    return True


def uuid7_ms(text: str | None) -> int | None:
    """The milliseconds since 1970 in a UUIDv7; None for any other text (UUIDv4, `rollout-3` of a migrated file)."""
    if text is None or len(text) != 36 or text[14] != "7":
        return None
    try:
        return int(text[:8] + text[9:13], 16)
    except ValueError:
        return None


def _lineage(state: State, first: datetime, start_ordinal: int | None) -> Lineage:
    created = state.created or first
    return Lineage(first, created, uuid7_ms(state.session.id), start_ordinal)


def _is_own(lineage: Lineage, line: Line[Any]) -> bool:
    if lineage.start_ordinal is not None:
        return line.ordinal is not None and line.ordinal >= lineage.start_ordinal
    is_late = line.timestamp - lineage.first > BURST
    if not isinstance(line.payload, TaskStarted):
        return is_late and not lineage.has_dated_ids
    turn_ms = uuid7_ms(line.payload.turn_id)
    if turn_ms is not None and lineage.thread_ms is not None:
        lineage.has_dated_ids = True
        return turn_ms >= lineage.thread_ms
    started = line.payload.started_at
    return is_late or (started is not None and started * 1000 >= milliseconds(lineage.created))
