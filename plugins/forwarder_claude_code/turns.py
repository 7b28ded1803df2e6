"""Turns of a transcript: begun by a prompt, ended by the answer, an error, an interruption or the next prompt."""

from __future__ import annotations

from collections.abc import Iterable

from forwarder import Activity, Event, Trigger, TurnOutcome
from forwarder_claude_code import facts
from forwarder_claude_code.facts import Moment
from forwarder_claude_code.records import Line
from forwarder_claude_code.state import Transcript, Turn, milliseconds

TRIGGERS: dict[str | None, Trigger] = {"human": "human", "sdk": "sdk", "task_notification": "machine"}


def begin(state: Transcript, line: Line, at: Moment, trigger: Trigger) -> list[Event]:
    """Close what an ended process left open and count a turn."""
    events = end(state, at, "completed" if state.turn.is_answered else "unknown")
    position = line.turnPosition.number if line.turnPosition else 0
    state.turn = Turn(
        key=line.promptId or line.uuid or "",
        id=line.promptId,
        count=position or state.turn.count + 1,
        is_open=True,
        started=at.time,
    )
    at.turn = state.turn.count
    events.append(facts.turn_start(at, state.turn.key, state.turn.id, trigger))
    return events + _becomes(state, at, "working")


def end(state: Transcript, at: Moment, outcome: TurnOutcome) -> list[Event]:
    """End the open turn, if there is one, and its calls that have no result."""
    turn = state.turn
    if not turn.is_open or turn.started is None:
        return []
    turn.is_open = False
    events: list[Event] = list(close_calls(state, at))
    duration = None if outcome == "unknown" else max(0, milliseconds(at.time) - milliseconds(turn.started))
    events.append(facts.turn_end(at, turn.key, turn.id, outcome, calls=turn.calls, duration_ms=duration))
    is_busy = outcome == "unknown" or state.background
    return events if is_busy else events + _becomes(state, at, "waiting_input")


def _becomes(state: Transcript, at: Moment, activity: Activity) -> list[Event]:
    before, state.activity = state.activity, activity
    return [] if before == activity else [facts.session_state(at, activity, state.turn.key, before)]


def close_calls(state: Transcript, at: Moment) -> Iterable[Event]:
    """What has no result now will never have one."""
    calls, state.calls = state.calls, {}
    return [facts.tool_end(at, call_id, call.tool, "unknown") for call_id, call in calls.items()]


def trigger_of(line: Line) -> Trigger:
    """2.1.329 says who; before, the way in tells a terminal from a program."""
    if (found := TRIGGERS.get(line.turnOrigin)) is not None:
        return found
    if line.promptSource in {"typed", "sdk"}:
        return "human" if line.promptSource == "typed" else "sdk"
    return "sdk" if (line.entrypoint or "").startswith("sdk") else "human"
