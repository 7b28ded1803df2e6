"""Items (0.148+): what a call's output leaves out, and the calls that code-mode scripts made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from forwarder import (
    AgentEnd,
    AgentSpawn,
    Event,
    ToolCallEnd,
    ToolCallStart,
    ToolKind,
    ToolOutcome,
    UserCommand,
    text_size,
)
from forwarder_codex import calls
from forwarder_codex.records import CollabItem, CommandItem, Completed, FileChangeItem, Line, SubAgentActivity, ToolItem
from forwarder_codex.state import ENDED_CALLS, State, remember

STATUS: dict[str | None, ToolOutcome] = {"completed": "ok", "failed": "error", "declined": "denied"}
FINAL = {"completed", "errored", "shutdown", "interrupted"}
NOT_NESTED = ("call_", "item-")  # a model's call that we forgot; an id that the migration made up


class Facts(Struct, gc=False):
    """What an item says of a call. `text` is the input, `output` as the tool wrote it."""

    id: str
    tool: str
    kind: ToolKind
    server: str | None
    outcome: ToolOutcome | None
    text: str
    output: str | None
    exit_code: int | None
    duration_ms: int | None
    error: str | None
    is_short: bool


def on_command(state: State, line: Line[Completed[CommandItem]]) -> Iterable[Event]:
    """A command: of a call, of a script, or typed by the person. `in_progress` is no end."""
    item = line.payload.item
    if item.source == "user_shell":
        return [_user_command(state, line)]
    if item.status == "in_progress":
        return ()
    outcome = STATUS.get(item.status)
    if outcome is None and item.exit_code is not None:
        outcome = "error" if item.exit_code else "ok"
    ms = calls.in_ms(item.duration)
    text, output = _command(item.command), item.aggregated_output
    facts = Facts(item.id, "exec_command", "shell", None, outcome, text, output, item.exit_code, ms, None, True)
    return _tell(state, line, facts)


def on_file_change(state: State, line: Line[Completed[FileChangeItem]]) -> Iterable[Event]:
    """A patch; its own duration is missing, so the item's times stand for it."""
    item = line.payload.item
    ms = _between(line.payload)
    text = calls.as_text(item.changes)
    output, error = item.stdout, item.stderr or None
    outcome = STATUS.get(item.status)
    return _tell(
        state, line, Facts(item.id, "apply_patch", "edit", None, outcome, text, output, None, ms, error, False)
    )


def on_tool(state: State, line: Line[Completed[ToolItem]]) -> Iterable[Event]:
    """McpToolCall and DynamicToolCall."""
    item = line.payload.item
    owner = item.server or item.namespace
    ms = calls.in_ms(item.duration)
    facts = Facts(
        item.id,
        f"{owner}.{item.tool}" if owner else item.tool,
        "mcp" if item.server else "other",
        item.server,
        STATUS.get(item.status),
        calls.as_text(item.arguments),
        None if item.result is None else calls.as_text(item.result),
        None,
        ms if ms is not None else _between(line.payload),
        calls.as_text(item.error) or None,
        False,
    )
    return _tell(state, line, facts)


def on_collab(state: State, line: Line[Completed[CollabItem]]) -> Iterable[Event]:
    """A call of the first multi-agent tools. That it completed does not say that the agents did."""
    item = line.payload.item
    call = state.calls.open.get(item.id)
    if call is not None:
        call.outcome = "error" if item.status == "failed" else None
        call.duration_ms = _between(line.payload)
    events: list[Event] = []
    if item.tool == "spawn_agent":
        events.extend(_spawn(state, line.timestamp, child, item.prompt) for child in item.receiver_thread_ids or ())
    for child, status in (item.agents_states or {}).items():
        name = status if isinstance(status, str) else next(iter(status), "")
        if name in FINAL:
            events.append(_agent_end(state, line.timestamp, child, name))
    return events


def on_agent_item(state: State, line: Line[Completed[SubAgentActivity]]) -> Iterable[Event]:
    """The second multi-agent tools (0.169: gpt-6)."""
    return _activity(state, line.timestamp, line.payload.item)


def on_agent_event(state: State, line: Line[SubAgentActivity]) -> Iterable[Event]:
    """The same as a legacy event."""
    return _activity(state, line.timestamp, line.payload)


def _activity(state: State, at: datetime, activity: SubAgentActivity) -> Iterable[Event]:
    if activity.kind == "started":
        return [_spawn(state, at, activity.agent_thread_id, None)]
    if activity.kind in FINAL:
        return [_agent_end(state, at, activity.agent_thread_id, activity.kind)]
    return ()


def _spawn(state: State, at: datetime, child: str, prompt: str | None) -> AgentSpawn:
    return AgentSpawn(
        key=(state.session.id, child),
        time=at,
        session=state.session,
        turn=state.turn.count or None,
        child=child,
        prompt_bytes=None if prompt is None else text_size(prompt),
        description=prompt,
    )


def _agent_end(state: State, at: datetime, child: str, outcome: str) -> AgentEnd:
    """An agent that is given more work ends again, in a later turn."""
    return AgentEnd(
        key=(state.session.id, state.turn.key, child, outcome),
        time=at,
        session=state.session,
        turn=state.turn.count or None,
        child=child,
        outcome=outcome,
    )


def _tell(state: State, line: Line[Completed[Any]], facts: Facts) -> Iterable[Event]:
    """The facts belong to an open call (which ends with its output line, or now if it was left running), or to none."""
    call = state.calls.open.get(facts.id)
    if call is None:
        is_known = facts.id in state.calls.ended or facts.id.startswith(NOT_NESTED)
        return () if is_known else _nested(state, line, facts)
    call.outcome = facts.outcome or call.outcome
    call.exit_code = facts.exit_code
    call.error = facts.error if facts.outcome != "ok" else None
    if facts.is_short:
        calls.measure(call, line.timestamp, facts.duration_ms)
    else:
        call.duration_ms = facts.duration_ms
    if not call.is_running:
        return ()
    return [calls.finish(state, line.timestamp, facts.id, None, facts.output)]


def _nested(state: State, line: Line[Completed[Any]], facts: Facts) -> Iterable[Event]:
    ended_ms = line.payload.completed_at_ms
    ended = datetime.fromtimestamp(ended_ms / 1000, UTC) if ended_ms else line.timestamp
    began = ended - timedelta(milliseconds=facts.duration_ms or 0)
    parent, turn = _script(state, began), state.turn.count or None
    state.turn.calls += 1
    state.calls.ended[facts.id] = state.turn.count
    remember(state.calls.ended, ENDED_CALLS)
    outcome = facts.outcome or "unknown"
    key = (state.session.id, facts.id)
    return (
        ToolCallStart(
            key=key,
            time=began,
            session=state.session,
            turn=turn,
            call_id=facts.id,
            parent_call_id=parent,
            tool=facts.tool,
            tool_kind=facts.kind,
            mcp_server=facts.server,
            input_bytes=text_size(facts.text),
            input=facts.text,
        ),
        ToolCallEnd(
            key=key,
            time=ended,
            session=state.session,
            turn=turn,
            call_id=facts.id,
            parent_call_id=parent,
            tool=facts.tool,
            tool_kind=facts.kind,
            outcome=outcome,
            ok=outcome == "ok",
            exit_code=facts.exit_code,
            duration_ms=facts.duration_ms,
            output_bytes=None if facts.output is None else text_size(facts.output),
            output=facts.output,
            error=facts.error if outcome != "ok" else None,
        ),
    )


def _script(state: State, began: datetime) -> str | None:
    """The newest open script that was there when the call began; after its turn, the last one there was."""
    for call_id, call in reversed(state.calls.open.items()):
        if call.tool == "exec" and call.started <= began:
            return call_id
    return state.calls.script


def _user_command(state: State, line: Line[Completed[CommandItem]]) -> UserCommand:
    item = line.payload.item
    return UserCommand(
        key=(state.session.id, item.id),
        time=line.timestamp,
        session=state.session,
        turn=state.turn.count or None,
        exit_code=item.exit_code,
        duration_ms=calls.in_ms(item.duration),
        input=_command(item.command),
    )


def _command(command: list[str] | str) -> str:
    """What was typed: `[shell, "-lc", text]` is the text."""
    if isinstance(command, str):
        return command
    return command[2] if len(command) == 3 and command[1] in {"-lc", "-c"} else " ".join(command)


def _between(payload: Completed[Any]) -> int | None:
    if not payload.started_at_ms or not payload.completed_at_ms:
        return None
    return payload.completed_at_ms - payload.started_at_ms
