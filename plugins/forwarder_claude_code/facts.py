"""The facts that hooks and transcripts both tell: built in one place, so that both give them the same key.

Keys are made of ids that Claude Code never uses twice: of the prompt, the call, the agent. A fork rewrites the
session's id in the lines that it copies, so a key holds it only where nothing else tells the fact.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from forwarder import (
    Activity,
    AgentEnd,
    AgentSpawn,
    Key,
    ModelError,
    Permission,
    Prompt,
    Session,
    SessionStart,
    SessionState,
    ToolCallEnd,
    ToolCallStart,
    ToolOutcome,
    Trigger,
    TurnEnd,
    TurnOutcome,
    TurnStart,
    text_digest,
    text_size,
)
from forwarder_claude_code.tools import classify

NOTIFICATION = "<task-notification>"  # a background agent's end, submitted by Claude Code as if a person had written it

Decider = Literal["user", "rule", "mode"]
Reason = Literal["startup", "resume", "fork", "clear", "seen"]


class Moment:
    """When and in which session something happened: what all facts of one record share."""

    __slots__ = ("is_inferred", "session", "time", "turn")

    def __init__(self, time: datetime, session: Session, *, turn: int | None = None, is_inferred: bool = False) -> None:
        self.time = time
        self.session = session
        self.turn = turn
        self.is_inferred = is_inferred


def of_main(at: Moment) -> Moment:
    """The same in the main thread's name."""
    if at.session.actor is None:
        return at
    session = Session(agent=at.session.agent, id=at.session.id, cwd=at.session.cwd)
    return Moment(at.time, session, turn=at.turn, is_inferred=at.is_inferred)


def session_start(at: Moment, reason: Reason, model: str | None = None, entrypoint: str | None = None) -> SessionStart:
    """The one start of a session; of a resumed one see `hooks`, which alone know it."""
    return SessionStart(
        key=(at.session.id,),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        reason=reason,
        model=model,
        entrypoint=entrypoint,
    )


def prompt(at: Moment, key: Key, text: str) -> Prompt:
    """What a person or a program asked; the first of a turn has the turn's key."""
    return Prompt(
        key=key,
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        bytes=text_size(text),
        chars=len(text),
        sha256=text_digest(text),
        text=text,
    )


def turn_start(at: Moment, key: str, turn_id: str | None, trigger: Trigger) -> TurnStart:
    """`key` is the prompt's id, or stands in for it."""
    return TurnStart(
        key=(key,),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        turn_id=turn_id,
        trigger=trigger,
    )


def turn_end(
    at: Moment,
    key: str,
    turn_id: str | None,
    outcome: TurnOutcome,
    *,
    calls: int,
    duration_ms: int | None = None,
) -> TurnEnd:
    """`key` and `turn_id` as at its start; `calls` are those of the main thread."""
    return TurnEnd(
        key=(key,),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        turn_id=turn_id,
        outcome=outcome,
        duration_ms=duration_ms,
        tool_calls=calls,
    )


def model_error(at: Moment, turn_key: str, kind: str | None, message: str, status: int | None = None) -> ModelError:
    """The error that ended a turn; retries have a record, and a key, of their own."""
    return ModelError(
        key=(turn_key,),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        error_type=kind,
        status=status,
        retryable=False,
        message=message,
    )


def tool_start(at: Moment, call_id: str, tool: str, text: str, server: str | None = None) -> ToolCallStart:
    """`text` is the input as JSON; `server` what a hook says of an MCP tool."""
    kind, server = classify(tool, server)
    return ToolCallStart(
        key=(call_id,),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        call_id=call_id,
        tool=tool,
        tool_kind=kind,
        mcp_server=server,
        input_bytes=text_size(text),
        input=text,
    )


def tool_end(
    at: Moment,
    call_id: str,
    tool: str,
    outcome: ToolOutcome,
    *,
    output: str | None = None,
    error: str | None = None,
    duration_ms: int | None = None,
    is_duration_inferred: bool = False,
    exit_code: int | None = None,
) -> ToolCallEnd:
    """`output` is what the tool or the model got, `error` what went wrong: of a failed call the same text."""
    kind, _ = classify(tool)
    return ToolCallEnd(
        key=(call_id,),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        call_id=call_id,
        tool=tool,
        tool_kind=kind,
        outcome=outcome,
        ok=outcome == "ok",
        exit_code=exit_code,
        duration_ms=duration_ms,
        duration_inferred=is_duration_inferred and duration_ms is not None,
        output_bytes=None if output is None else text_size(output),
        output=output,
        error=error,
    )


def permission(
    at: Moment,
    call_id: str,
    tool: str,
    decision: Literal["allowed", "denied"],
    by: Decider | None,
) -> Permission:
    """How it was decided; that it was asked is a fact of its own."""
    return Permission(
        key=(call_id, decision),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        call_id=call_id,
        tool=tool,
        decision=decision,
        by=by,
    )


def agent_spawn(
    at: Moment, child: str, kind: str | None, *, prompt_bytes: int | None = None, description: str | None = None
) -> AgentSpawn:
    """Once per agent, also when it is woken again."""
    return AgentSpawn(
        key=(at.session.id, child),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        child=child,
        agent_type=kind,
        prompt_bytes=prompt_bytes,
        description=description,
    )


def agent_end(
    at: Moment, child: str, kind: str | None, outcome: str | None = None, duration_ms: int | None = None
) -> AgentEnd:
    """The agent's first end."""
    return AgentEnd(
        key=(at.session.id, child),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        child=child,
        agent_type=kind,
        outcome=outcome,
        duration_ms=duration_ms,
    )


def session_state(at: Moment, state: Activity, cause: str, previous: Activity | None = None) -> SessionState:
    """`cause` is the id of what changed the state: a prompt's, a call's."""
    return SessionState(
        key=(at.session.id, cause, state),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        state=state,
        previous=previous,
    )
