"""One line of a transcript into events; which lines a fork copied, and what they still tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

import msgspec

from forwarder import (
    BadRecord,
    Compaction,
    Event,
    ModelError,
    Session,
    UnknownRecord,
    UserCommand,
)
from forwarder_claude_code import answers, calls, facts, turns, usage
from forwarder_claude_code.facts import NOTIFICATION, Moment, Reason
from forwarder_claude_code.records import Line, text_of
from forwarder_claude_code.results import fields_of
from forwarder_claude_code.state import Transcript
from forwarder_claude_code.tools import as_text

# Attachments are what the model was given, the api-request lines what was sent: never forwarded. The rest is
# bookkeeping, of which some holds prompts that the `user` lines tell better.
IGNORED = frozenset({
    "attachment", "api-request", "api-request-blob", "api-request-shape", "queue-operation", "last-prompt", "mode",
    "permission-mode", "tools-used", "atis-latch", "file-history-snapshot", "file-history-delta", "worktree-state",
    "summary", "progress", "ai-title", "custom-title", "agent-name", "agent-color", "pr-link", "saved_hook_context",
})  # fmt: skip
IGNORED_NOTES = frozenset({
    "stop_hook_summary", "turn_duration", "local_command", "informational", "memory_saved", "away_summary",
    "microcompact_boundary", "scheduled_task_fire", "bridge_status", "permission_retry",
})  # fmt: skip
ENTRYPOINTS = {"cli": "cli", "sdk-cli": "sdk", "sdk-ts": "sdk", "sdk-py": "sdk", "claude-vscode": "ide"}
WARMUP = "Warmup"  # agents that 2.0.77 starts by itself, three per process
NOT_SUBMITTED = ("<local-command-", "<bash-stdout>", "<bash-stderr>")
INTERRUPTED = "[Request interrupted by user"
_COMMAND = re.compile(r"<command-name>(.*?)</command-name>(?:.*?<command-args>(.*?)</command-args>)?", re.DOTALL)
_BASH = re.compile(r"<bash-input>(.*?)</bash-input>", re.DOTALL)
_TASK = re.compile(r"<task-id>(.*?)</task-id>(?:.*?<status>(\w+)</status>)?", re.DOTALL)


def on_line(state: Transcript, line: Line) -> Iterable[Event]:
    """The events of one line. Raises `UnknownRecord` for a type that no release known has written."""
    match line.type:
        case "user" | "assistant" | "system":
            return _on_message(state, line)
        case "cost-state":
            state.is_ending = True  # written when the process ends; a call that ends now was killed with it
            state.background.clear()
            return usage.on_cost_state(state, line)
        case "queue-operation" if state.session is None and state.own_start is None:
            state.own_start = line.timestamp
        case None:
            raise BadRecord("a line without type")
        case kind if kind not in IGNORED:
            raise UnknownRecord(kind)
        case _:
            pass
    return ()


def _on_message(state: Transcript, line: Line) -> list[Event]:
    if line.timestamp is None or line.sessionId is None:
        raise BadRecord(f"a line of type {line.type} without timestamp or sessionId")
    is_first = state.session is None
    is_copy = _is_copy(state, line, line.timestamp)
    _renew_session(state, line)
    assert state.session is not None
    at = Moment(line.timestamp, state.session, turn=state.turn.count or None)
    is_headless = is_first and (line.type == "assistant" or line.subtype == "compact_boundary")
    events = _started(state, line, at, is_fork=is_copy or is_headless)
    if is_copy:
        return events + _on_copy(state, line, at)
    if line.type == "system":
        return events + _on_note(state, line, at, is_first=is_first)
    state.is_ending = state.is_ending and line.type == "user"
    return events + (answers.on_answer(state, line, at) if line.type == "assistant" else _on_user(state, line, at))


# --- sessions and forks ---


def _is_copy(state: Transcript, line: Line, time: datetime) -> bool:
    """A fork begins with lines of its parent, in older releases a resumed session does. They keep their time and id,
    but get the new session's. 2.1.329 names the parent on answers; what came before the file's own first line is older.
    """
    if line.forkedFrom is not None or (line.requestSessionId or line.sessionId) != line.sessionId:
        state.copied_until = max(time, state.copied_until or time)
    limit = state.copied_until
    return (limit is not None and time <= limit) or (state.own_start is not None and time < state.own_start)


def _on_copy(state: Transcript, line: Line, at: Moment) -> list[Event]:
    """Only an answer that names its session is told, in case that session's own file is gone: its key is the same."""
    state.totals.is_known = False  # the first totals of this file begin with the parent's
    if line.turnPosition and line.turnPosition.number:
        state.turn.count = line.turnPosition.number
    if line.type != "assistant" or line.requestSessionId is None:
        return []
    assert state.session is not None
    parent = line.requestSessionId
    state.session = msgspec.structs.replace(state.session, parent_id=parent)
    asked = msgspec.structs.replace(state.session, id=parent, parent_id=None)
    return list(usage.on_answer(state, line, Moment(at.time, asked)))


def _renew_session(state: Transcript, line: Line) -> None:
    before = state.session
    is_same = before is not None and before.id == line.sessionId
    now = Session(
        agent="claude-code",
        id=line.sessionId or "",
        agent_version=line.version,
        parent_id=before.parent_id if before is not None and is_same else None,
        actor=line.agentId,
        cwd=line.cwd,
        git_branch=line.gitBranch or None,
    )
    if now != before:
        state.session = now


def _started(state: Transcript, line: Line, at: Moment, *, is_fork: bool) -> list[Event]:
    """The session's start, once it can be told from which kind; a sub-agent's file begins with its start."""
    if state.is_started or line.isMeta or (line.type == "system" and not is_fork):
        return []
    state.is_started = True
    text = text_of(line)
    if at.session.actor is not None or line.isSidechain:
        is_agent = at.session.actor is not None and text != WARMUP and not is_fork
        return [_spawned(at)] if is_agent else []
    reason: Reason = "fork" if is_fork else "clear" if "<command-name>/clear<" in text else "startup"
    time = state.own_start if is_fork and state.own_start else at.time
    entrypoint = ENTRYPOINTS.get(line.entrypoint or "", line.entrypoint)
    return [facts.session_start(Moment(time, at.session), reason, entrypoint=entrypoint)]


def _spawned(at: Moment) -> Event:
    main = msgspec.structs.replace(at.session, actor=None)
    return facts.agent_spawn(Moment(at.time, main), at.session.actor or "", None)


# --- what the user's side says: prompts, results, commands ---


def _on_user(state: Transcript, line: Line, at: Moment) -> list[Event]:
    content = line.message.content if line.message else None
    if isinstance(content, list):
        found = [block for block in content if block.type == "tool_result"]
        if found:
            return [event for block in found for event in calls.on_result(state, line, block, at)]
    is_own = line.isMeta or line.isCompactSummary or line.isVisibleInTranscriptOnly
    if is_own or line.isSidechain or at.session.actor is not None:
        return []
    text = text_of(line)
    if text.startswith(INTERRUPTED):
        return turns.end(state, at, "interrupted")
    if text.startswith(NOT_SUBMITTED) or (text.startswith("<command-name>") and line.turnOrigin is None):
        return []
    if (bash := _BASH.match(text)) is not None:
        return [UserCommand(key=(line.uuid or "",), time=at.time, session=at.session, turn=at.turn, input=bash[1])]
    state.is_ending = False
    if line.turnOrigin == "task_notification" or text.startswith(NOTIFICATION):
        return [*turns.begin(state, line, at, "machine"), *_ended_agent(state, at, text)]
    if state.turn.is_open and line.promptId is not None and state.turn.id == line.promptId:
        return [facts.prompt(at, (line.promptId, line.uuid or ""), as_submitted(text))]  # it steers the turn
    events = turns.begin(state, line, at, turns.trigger_of(line))
    return [*events, facts.prompt(at, (state.turn.key,), as_submitted(text))]


def as_submitted(text: str) -> str:
    """A command is stored as markup; what was typed is `/name arguments`."""
    command = _COMMAND.search(text) if text.startswith("<command-") else None
    if command is None:
        return text
    return f"/{command[1].lstrip('/')} {command[2] or ''}".rstrip()


def _ended_agent(state: Transcript, at: Moment, text: str) -> Iterable[Event]:
    """A background agent's end, as Claude Code tells it to the model; of commands in the background it tells it too."""
    if (task := _TASK.search(text)) is not None and task[1] in state.background:
        del state.background[task[1]]
        yield facts.agent_end(at, task[1], None, task[2])


# --- notes ---


def _on_note(state: Transcript, line: Line, at: Moment, *, is_first: bool) -> list[Event]:
    match line.subtype:
        case "compact_boundary" if not is_first:  # a fork of a compacted session begins with its parent's boundary
            state.totals.compaction = (line.uuid or "", at.time)
            return [_compaction(line, at)]
        case "api_error":
            return [_retry(line, at)]
        case "agents_killed":
            state.background.clear()
            return []
        case "stop_hook_summary" if at.session.actor is None:
            return turns.end(state, at, "completed")
        case "compact_boundary" | None:
            return []
        case known if known in IGNORED_NOTES:
            return []
        case unknown:
            raise UnknownRecord(f"system.{unknown}")


def _compaction(line: Line, at: Moment) -> Compaction:
    made = line.compactMetadata
    trigger = made.trigger if made else None
    return Compaction(
        key=(line.uuid or "",),
        time=at.time,
        session=at.session,
        turn=at.turn,
        trigger="auto" if trigger == "auto" else "manual" if trigger == "manual" else "unknown",
        tokens_before=made.preTokens if made else None,
        tokens_after=made.postTokens if made else None,
        duration_ms=round(made.durationMs) if made and made.durationMs is not None else None,
    )


def _retry(line: Line, at: Moment) -> ModelError:
    """An answer of the server's that Claude Code did not take for the last word."""
    error = fields_of(line.error)
    status, nested = error.get("status"), fields_of(error.get("error"))
    kind = nested.get("type") or error.get("type")
    attempt, most = line.retryAttempt, line.maxRetries
    return ModelError(
        key=(line.uuid or "",),
        time=at.time,
        session=at.session,
        turn=at.turn,
        error_type=kind if isinstance(kind, str) else None,
        status=status if isinstance(status, int) else None,
        attempt=attempt,
        retryable=None if attempt is None or most is None else attempt <= most,
        message=as_text(error.get("formatted") or error.get("message") or line.error),
    )
