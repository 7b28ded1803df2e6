"""Tool calls: started by a block of an answer, ended by the result with the same id."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from forwarder import Event, ToolCallEnd, ToolCallStart, ToolOutcome, text_size
from forwarder_pi.content import joined
from forwarder_pi.records import Block, ToolResult
from forwarder_pi.state import OPEN_CALLS, OpenCall, Place, State, Turn, between
from forwarder_pi.tools import classify

_EXIT = re.compile(r"(?:\A|\n)Command exited with code (-?\d+)\s*\Z")
_EXIT_CHARS = 60  # of the text's end that the line can take up


def start(state: State, turn: Turn, block: Block, place: Place) -> list[Event]:
    """Open the call, and close the oldest as unknown when too many are open."""
    call_id = block.id or ""
    tool, kind = classify(block.name or "", block.namespace)
    events: list[Event] = []
    if call_id in turn.open_calls or len(turn.open_calls) >= OPEN_CALLS:
        old = call_id if call_id in turn.open_calls else next(iter(turn.open_calls))
        events.append(_end(state, turn, old, place.at, outcome="unknown"))
    turn.open_calls[call_id] = OpenCall(tool, kind, place.key, place.at)
    turn.tool_calls += 1
    text = "" if block.arguments is None else msgspec.json.encode(block.arguments).decode()
    events.append(
        ToolCallStart(
            key=(*place.key, call_id),
            time=place.at,
            session=state.session,
            turn=turn.count,
            call_id=call_id,
            tool=tool,
            tool_kind=kind,
            input_bytes=text_size(text),
            input=text,
        )
    )
    return events


def finish(state: State, turn: Turn | None, result: ToolResult, place: Place) -> list[Event]:
    """End the call that the result answers, if it is open: a result of a call that was never made is no call."""
    call_id = result.tool_call_id
    if turn is None or call_id not in turn.open_calls:
        return []
    text = joined(result.content)
    return [
        _end(
            state,
            turn,
            call_id,
            place.at,
            outcome="error" if result.is_error else "ok",
            output=text,
            duration_ms=result.duration_ms,
        )
    ]


def close_all(state: State, turn: Turn, at: datetime) -> list[Event]:
    """The turn is over: a call without a result was aborted or killed."""
    return [_end(state, turn, call_id, at, outcome="unknown") for call_id in list(turn.open_calls)]


def _end(
    state: State,
    turn: Turn,
    call_id: str,
    at: datetime,
    *,
    outcome: ToolOutcome,
    output: str | None = None,
    duration_ms: float | None = None,
) -> ToolCallEnd:
    """Before 1.1 results state no duration: then it is the time since the answer, for parallel calls an upper bound."""
    call = turn.open_calls.pop(call_id)
    is_inferred = duration_ms is None and output is not None
    if is_inferred:
        duration_ms = between(call.started, at)
    return ToolCallEnd(
        key=(*call.key, call_id),
        time=at,
        session=state.session,
        turn=turn.count,
        call_id=call_id,
        tool=call.tool,
        tool_kind=call.kind,
        outcome=outcome,
        ok=outcome == "ok",
        exit_code=_exit_code(output) if call.kind == "shell" and outcome == "error" and output else None,
        duration_ms=None if duration_ms is None else round(duration_ms),
        duration_inferred=is_inferred and duration_ms is not None,
        output_bytes=None if output is None else text_size(output),
        output=output,
    )


def _exit_code(output: str) -> int | None:
    """The last line of a failed command's output is the only place that tells it."""
    found = _EXIT.search(output, max(0, len(output) - _EXIT_CHARS))
    return int(found[1]) if found else None
