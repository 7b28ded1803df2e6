"""Turns: marked by task_started and its ends (0.101+), before that begun by each user message."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from forwarder import Activity, Compaction, Event, ModelError, SessionState, Trigger, TurnEnd, TurnOutcome, TurnStart
from forwarder_codex import calls, tokens
from forwarder_codex.records import Compacted, HttpStatus, Line, TaskComplete, TaskStarted, TurnAborted, TurnError
from forwarder_codex.state import State, Turn, milliseconds

TRIGGERS: dict[str | None, Trigger] = {"user": "human", "exec": "sdk"}


def on_started(state: State, line: Line[TaskStarted]) -> Iterable[Event]:
    """Begin a turn; a second mark with the id of the open turn is the same turn."""
    payload = line.payload
    state.has_turn_marks = True
    if payload.model_context_window is not None:
        state.tokens.window = payload.model_context_window
    if state.turn.is_open and payload.turn_id is not None and state.turn.id == payload.turn_id:
        return ()
    attribution = payload.turn_attribution
    trigger = TRIGGERS.get(attribution.turn_trigger if attribution else None, state.trigger)
    return begin(state, line.timestamp, payload.turn_id, is_marked=True, trigger=trigger)


def on_complete(state: State, line: Line[TaskComplete]) -> Iterable[Event]:
    """End the open turn. Only an error makes it failed: a missing answer is normal after a compaction."""
    payload = line.payload
    state.has_turn_marks = True
    events: list[Event] = []
    if payload.error is not None:
        events.append(_error(state, line.timestamp, payload.turn_id, payload.error))
    outcome: TurnOutcome = "completed" if payload.error is None else "failed"
    events.extend(end(state, line.timestamp, outcome, payload.duration_ms))
    return events


def on_aborted(state: State, line: Line[TurnAborted]) -> Iterable[Event]:
    """End the open turn, whatever the reason given."""
    return end(state, line.timestamp, "interrupted", line.payload.duration_ms)


def on_error(state: State, line: Line[TurnError]) -> Iterable[Event]:
    """Only the extended mode of early 2026 stores it; the same fact as the error of the turn's end."""
    return [_error(state, line.timestamp, None, line.payload)]


def begin(state: State, at: datetime, turn_id: str | None, *, is_marked: bool, trigger: Trigger) -> list[Event]:
    """Close what an ended process left open and count a turn.

    A migrated file gives turns that had no id the id `rollout-<n>`; the time of the first line is in both versions.
    """
    is_review = state.turn.is_review and not state.turn.is_open
    events = end(state, at, "unknown", None)
    state.tokens.is_compacting = False
    count = state.turn.count + 1
    has_id = turn_id is not None and not turn_id.startswith("rollout-")
    key = str(count) if state.header_time is not None else str(milliseconds(at))
    state.turn = Turn(
        count=count,
        id=turn_id if has_id else None,
        key=turn_id if has_id and turn_id is not None else key,
        is_open=True,
        is_marked=is_marked,
        started=at,
        is_review=is_review,
    )
    events.append(
        TurnStart(
            key=(state.session.id, state.turn.key),
            time=at,
            session=state.session,
            turn=count,
            turn_id=state.turn.id,
            trigger=trigger,
        )
    )
    return events + _becomes(state, at, "working")


def end(state: State, at: datetime, outcome: TurnOutcome, duration_ms: int | None) -> list[Event]:
    """End the open turn, whatever id the line gives: a review ends under another id than it started with."""
    turn = state.turn
    if not turn.is_open:
        return []
    turn.is_open = turn.is_review = False
    events = calls.close_all(state, at) + tokens.at_turn_end(state, at)
    if duration_ms is None and outcome != "unknown" and turn.started is not None and state.header_time is None:
        passed = milliseconds(at) - milliseconds(turn.started)
        duration_ms = passed if passed >= 0 else None  # the clock was set back
    events.append(
        TurnEnd(
            key=(state.session.id, turn.key),
            time=at,
            session=state.session,
            turn=turn.count,
            turn_id=turn.id,
            outcome=outcome,
            duration_ms=duration_ms,
            tool_calls=turn.calls,
        )
    )
    if outcome == "unknown":
        return events  # the process died, or did not say; the next turn has begun
    return events + _becomes(state, at, "waiting_input" if state.session.actor is None else "idle")


def _becomes(state: State, at: datetime, activity: Activity) -> list[Event]:
    """The session's state, if it is another than before; a sub-agent that is done waits for nobody."""
    before, state.activity = state.activity, activity
    if before == activity:
        return []
    key = (state.session.id, state.turn.key, activity)
    turn = state.turn.count
    return [SessionState(key=key, time=at, session=state.session, turn=turn, state=activity, previous=before)]


def on_compacted(state: State, line: Line[Compacted]) -> Iterable[Event]:
    """The one line of the three about a compaction that is counted."""
    summary = line.payload.message
    return compaction(state, line.timestamp, len(summary) if summary else None)


def compaction(state: State, at: datetime, summary_chars: int | None) -> list[Event]:
    """One per `compacted` line; its time is its key, since that can be read off a line of any length."""
    turn = state.turn
    if not turn.is_marked or not turn.is_open:
        trigger: Literal["auto", "manual", "unknown"] = "unknown"
    else:
        trigger = "auto" if turn.prompts or turn.responses or turn.calls else "manual"
    return [
        Compaction(
            key=(state.session.id, milliseconds(at)),
            time=at,
            session=state.session,
            turn=turn.count or None,
            trigger=trigger,
            tokens_before=state.tokens.used,
            summary_chars=summary_chars,
        )
    ]


def _error(state: State, at: datetime, turn_id: str | None, error: TurnError) -> ModelError:
    kind, status = _error_kind(error.codex_error_info)
    turn = state.turn
    return ModelError(
        key=(state.session.id, turn.key if turn.is_open else turn_id or milliseconds(at)),
        time=at,
        session=state.session,
        turn=turn.count or None,
        error_type=kind,
        status=status,
        message=error.message or "",
    )


def _error_kind(info: str | dict[str, HttpStatus | None] | None) -> tuple[str | None, int | None]:
    """`"rate_limit_exceeded"`, or `{"response_stream_disconnected": {"http_status_code": 502}}`."""
    if not isinstance(info, dict):
        return info, None
    for name, detail in info.items():
        return name, detail.http_status_code if detail else None
    return None, None
