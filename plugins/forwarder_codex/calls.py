"""Tool calls: one start and one end each, whichever lines tell of it (contract, section 4.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

import msgspec

from forwarder import Event, ToolCallEnd, ToolCallStart, ToolOutcome, text_size
from forwarder_codex import outcomes
from forwarder_codex.records import (
    Call,
    CallOutput,
    Duration,
    ExecEnd,
    Line,
    LocalShellCall,
    McpEnd,
    Part,
    PatchEnd,
    WebSearchCall,
)
from forwarder_codex.state import ENDED_CALLS, OPEN_CALLS, OpenCall, State, milliseconds
from forwarder_codex.tools import FOLLOW_UPS, Named, classify

SEARCHED: dict[str | None, ToolOutcome] = {"completed": "ok", "failed": "error"}
START_UP_MS = 500  # what the stated time of a command may lack (0.1 to 0.15 s, and the start of the process)
_PROCESS = re.compile(r'"session_id"\s*:\s*"?([\w-]+)')


def on_call(state: State, line: Line[Call]) -> Iterable[Event]:
    """function_call and custom_tool_call: what the model asked for, also when the arguments are no JSON."""
    payload = line.payload
    named = classify(payload.name, payload.namespace)
    text = payload.arguments if payload.arguments is not None else payload.input or ""
    events = start(state, line.timestamp, payload.call_id, text, named)
    tool = named[0]
    if tool == "exec" and events:
        state.calls.script = payload.call_id
    elif tool == "write_stdin" and events and (found := _PROCESS.search(text)):
        state.calls.open[payload.call_id].process = found[1]
    return events


def on_local_shell(state: State, line: Line[LocalShellCall]) -> Iterable[Event]:
    """The model's built-in shell; its output is a function_call_output."""
    payload = line.payload
    call_id = payload.call_id or payload.id
    if call_id is None:
        return ()
    text = as_text(payload.action)
    return start(state, line.timestamp, call_id, text, ("local_shell", "shell", None))


def on_web_search(state: State, line: Line[WebSearchCall]) -> Iterable[Event]:
    """Start and end at once. Ids came with 0.140; before, the place in the turn stands for it."""
    payload = line.payload
    call_id = payload.id or f"web_search-{state.turn.key}-{state.turn.calls}"
    text = as_text(payload.action)
    events = start(state, line.timestamp, call_id, text, ("web_search", "web", None))
    if events:
        events.append(finish(state, line.timestamp, call_id, SEARCHED.get(payload.status)))
    return events


def on_output(state: State, line: Line[CallOutput]) -> Iterable[Event]:
    """End the call, unless the output only says that the command goes on."""
    payload = line.payload
    call_id = payload.call_id
    call = state.calls.open.get(call_id) if call_id is not None else None
    if call is None or call_id is None:
        return ()
    output = payload.output
    text = output if isinstance(output, str) else joined(output)
    result = outcomes.read(text)
    has_text = isinstance(output, str) or any(part.text is not None for part in output or ())
    if result.is_running and call.tool not in FOLLOW_UPS and call.outcome is None:
        call.is_running, call.process = True, result.process
        return ()
    _settle(call, line.timestamp, result)
    process, code = call.process, result.exit_code
    events: list[Event] = [finish(state, line.timestamp, call_id, None, text if has_text else None)]
    if call.tool == "write_stdin" and process is not None and code is not None:
        events.extend(_end_process(state, line.timestamp, process, code))
    return events


def on_patch_end(state: State, line: Line[PatchEnd]) -> Iterable[Event]:
    """Comes before the output line, which does not always say whether the patch was applied."""
    call = state.calls.open.get(line.payload.call_id)
    if call is not None and line.payload.success is not None:
        call.outcome = "ok" if line.payload.success else "error"
    return ()


def on_mcp_end(state: State, line: Line[McpEnd]) -> Iterable[Event]:
    """Comes before the output line, whose text does not say that the tool failed."""
    payload = line.payload
    call = state.calls.open.get(payload.call_id)
    if call is None:
        return ()
    call.duration_ms = in_ms(payload.duration)
    if (result := payload.result) is not None:
        call.error = result.Err
        is_error = result.Err is not None or bool(result.Ok and result.Ok.isError)
        call.outcome = "error" if is_error else "ok"
    return ()


def on_exec_end(state: State, line: Line[ExecEnd]) -> Iterable[Event]:
    """Ends a command that ran on; for any other the output line follows."""
    payload = line.payload
    call = state.calls.open.get(payload.call_id)
    if call is None:
        return ()
    if payload.exit_code is not None:
        call.exit_code, call.outcome = payload.exit_code, "error" if payload.exit_code else "ok"
    call.duration_ms = in_ms(payload.duration)
    return [finish(state, line.timestamp, payload.call_id)] if call.is_running else ()


def start(state: State, at: datetime, call_id: str, text: str, named: Named) -> list[Event]:
    """Open the call, and close the oldest as unknown when too many are open. A copy of a known call is no call.

    `text` is the input. By position, like `finish`: a function written in Python takes 0.1 µs longer by keyword.
    """
    turn, session, opened = state.turn, state.session, state.calls.open
    count, turn_key = turn.count, turn.key
    if call_id in opened or state.calls.ended.get(call_id) == count:
        return []
    tool, kind, server = named
    oldest = finish(state, at, next(iter(opened))) if len(opened) >= OPEN_CALLS else None
    opened[call_id] = OpenCall(tool, kind, turn_key, count, at, server)
    turn.calls += 1
    event = ToolCallStart(
        key=(session.id, turn_key, call_id),
        time=at,
        session=session,
        turn=count or None,
        call_id=call_id,
        tool=tool,
        tool_kind=kind,
        mcp_server=server,
        input_bytes=text_size(text),
        input=text,
    )
    return [event] if oldest is None else [oldest, event]


def finish(
    state: State, at: datetime, call_id: str, outcome: ToolOutcome | None = None, output: str | None = None
) -> ToolCallEnd:
    """Close the open call with what is known of it. `output` is the text as the model was given it."""
    calls, session = state.calls, state.session
    call, ended = calls.open.pop(call_id), calls.ended
    ended[call_id] = call.turn
    while len(ended) > ENDED_CALLS:
        del ended[next(iter(ended))]
    outcome = outcome or call.outcome or "unknown"
    return ToolCallEnd(
        key=(session.id, call.turn_key, call_id),
        time=at,
        session=session,
        turn=call.turn or None,
        call_id=call_id,
        tool=call.tool,
        tool_kind=call.kind,
        outcome=outcome,
        ok=outcome == "ok",
        exit_code=call.exit_code,
        duration_ms=call.duration_ms,
        duration_inferred=call.is_inferred,
        output_bytes=None if output is None else text_size(output),
        output=output,
        error=call.error,
    )


def close_all(state: State, at: datetime) -> list[Event]:
    """The turn is over: what has not ended never will. An item may have told the outcome already."""
    return [finish(state, at, call_id) for call_id in list(state.calls.open)]


def measure(call: OpenCall, at: datetime, stated_ms: int | None) -> None:
    """The duration of a command whose stated time leaves out its start: from line to line, where that fits.

    With parallel calls the end's line can come much later than the end; then the stated time is the better one.
    """
    if stated_ms is None:
        return
    between = milliseconds(at) - milliseconds(call.started)
    call.is_inferred = stated_ms <= between <= stated_ms + START_UP_MS
    call.duration_ms = between if call.is_inferred else stated_ms


def joined(parts: list[Part] | None) -> str:
    """The text of a content array; its first part is Codex's header."""
    return "\n".join([part.text for part in parts or () if part.text is not None])


def as_text(value: object) -> str:
    """Arguments that are an object and not text, as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def in_ms(duration: Duration | None) -> int | None:
    return None if duration is None else duration.secs * 1000 + round(duration.nanos / 1_000_000)


def _settle(call: OpenCall, at: datetime, result: outcomes.Result) -> None:
    """Take from the output what no item or end event has told, which know better."""
    if call.outcome is None or result.outcome == "cancelled":
        call.outcome, call.error = result.outcome, result.error
    if call.exit_code is None:
        call.exit_code = result.exit_code
    if call.duration_ms is None:
        if result.is_short:
            measure(call, at, result.duration_ms)
        else:
            call.duration_ms = result.duration_ms


def _end_process(state: State, at: datetime, process: str, code: int) -> list[Event]:
    """write_stdin tells the exit code of the command that an earlier call started."""
    for call_id, call in state.calls.open.items():
        if call.is_running and call.process == process:
            call.exit_code = code
            return [finish(state, at, call_id, "error" if code else "ok")]
    return []
