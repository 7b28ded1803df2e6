"""Tool calls of a transcript: a `tool_use` block starts one, a `tool_result` block ends it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from forwarder import Event, text_size
from forwarder_claude_code import facts, results
from forwarder_claude_code.facts import Moment
from forwarder_claude_code.records import Block, Line
from forwarder_claude_code.results import Result, fields_of
from forwarder_claude_code.state import BACKGROUND, OPEN_CALLS, OpenCall, Transcript, milliseconds, trim
from forwarder_claude_code.tools import AGENTS, as_text


def on_use(state: Transcript, block: Block, at: Moment) -> Iterable[Event]:
    """Open the call; when too many are open, the oldest is closed as unknown."""
    if block.id is None or block.name is None or block.id in state.calls:
        return
    if len(state.calls) >= OPEN_CALLS:
        oldest = next(iter(state.calls))
        yield facts.tool_end(at, oldest, state.calls.pop(oldest).tool, "unknown")
    state.calls[block.id] = OpenCall(block.name, at.time, at.turn or 0)
    if at.session.actor is None:
        state.turn.calls += 1
    if block.name in AGENTS:
        state.totals.has_agents = True
    yield facts.tool_start(at, block.id, block.name, as_text(block.input))


def on_result(state: Transcript, line: Line, block: Block, at: Moment) -> Iterable[Event]:
    """End the open call; a result without one belongs to lines that were read before, or copied."""
    call_id = block.tool_use_id or ""
    call = state.calls.pop(call_id, None)
    if call is None:
        return
    result = results.read(line, block, is_ending=state.is_ending)
    started = Moment(at.time, at.session, turn=call.turn or None)
    yield from _permission(line, started, call_id, call.tool, result)
    between = max(0, milliseconds(at.time) - milliseconds(call.started))
    yield facts.tool_end(
        started,
        call_id,
        call.tool,
        result.outcome,
        output=result.output,
        error=result.error,
        exit_code=result.exit_code,
        duration_ms=between if result.duration_ms is None else result.duration_ms,
        is_duration_inferred=result.duration_ms is None,
    )
    if call.tool in AGENTS:
        answer = fields_of(line.toolUseResult)
        if answer.get("status") == "async_launched":
            state.background[str(answer.get("agentId"))] = None
            trim(state.background, BACKGROUND)
        yield from agent_of(answer, call.started, started)


def agent_of(answer: dict[str, Any], spawned: datetime, at: Moment) -> Iterable[Event]:
    """The agent that an `Agent` call started, by the call's result; one in the background ends later."""
    child, kind = answer.get("agentId"), answer.get("agentType")
    if not isinstance(child, str):
        return
    kind = kind if isinstance(kind, str) else None
    prompt, description = answer.get("prompt"), answer.get("description")
    yield facts.agent_spawn(
        Moment(spawned, at.session, turn=at.turn),
        child,
        kind,
        prompt_bytes=text_size(prompt) if isinstance(prompt, str) else None,
        description=description if isinstance(description, str) else None,
    )
    if answer.get("status") == "completed":
        yield facts.agent_end(at, child, kind, "completed", results.whole_ms(answer.get("totalDurationMs")))


def _permission(line: Line, at: Moment, call_id: str, tool: str, result: Result) -> Iterable[Event]:
    """What a person decided, and every refusal; that the settings allowed a call is no news."""
    decision = line.permissionDecision
    by_user = line.toolDenialKind == "user-rejected" or ((decision and decision.source) or "").startswith("user")
    if result.outcome == "denied":
        by = "user" if by_user else results.BY.get(decision.reasonType if decision else None)
        yield facts.permission(at, call_id, tool, "denied", by)
    elif by_user and decision is not None and decision.decision == "accept":
        yield facts.permission(at, call_id, tool, "allowed", "user")
