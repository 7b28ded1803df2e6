"""The common schema, version 1: one frozen struct per type of event, units in the field names.

What a mapper builds is what is sent, apart from the envelope: the engine makes `id` from agent, type and `key`, lays
the `session` flat, and adds `host` and `origin`. Absent is unknown; nothing is 0 because it was missing. `Content`
marks what people and models wrote: gone at redaction ``full``, scrubbed and cut at ``preview``, scrubbed at ``none``.
`Id` marks text that only identifies (never scrubbed); every other free text is scrubbed like content but never cut.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta, Struct

SCHEMA_VERSION = 1

Key = tuple[str | int, ...]
Content = Annotated[str, Meta(extra={"role": "content"})]
Id = Annotated[str, Meta(extra={"role": "id"})]

SessionStartReason = Literal["startup", "resume", "fork", "clear", "seen"]
SessionEndReason = Literal["exit", "clear", "logout", "killed", "lost", "switched", "other"]
Activity = Literal["working", "waiting_input", "waiting_permission", "idle", "stalled", "ended"]
Trigger = Literal["human", "sdk", "machine"]
TurnOutcome = Literal["completed", "interrupted", "failed", "unknown"]
ToolKind = Literal["shell", "read", "write", "edit", "search", "web", "mcp", "agent", "plan", "script", "other"]
ToolOutcome = Literal["ok", "error", "rejected", "denied", "cancelled", "unknown"]
HelperKind = Literal["extension_tool", "extension_command", "script", "job", "loop"]
HelperStatus = Literal["started", "succeeded", "failed", "cancelled"]
Pressure = Literal["normal", "approaching_limit", "near_limit", "at_limit"]


class Session(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all events of a session share; replaced (`msgspec.structs.replace`), never changed, when a part of it does.

    `id` is the agent's own, whole. `parent_id` is the session it was forked, resumed or spawned from; `actor` the
    sub-agent's id, absent for the main agent. `namespace`, never sent, stands in the agent's place in the ids of
    events: for facts that are posted, maybe twice, before and after it is known whose they are.
    """

    agent: str
    id: Id
    agent_version: str | None = None
    parent_id: Id | None = None
    actor: Id | None = None
    cwd: str | None = None
    git_branch: str | None = None
    namespace: Id | None = None


def _type_name(class_name: str) -> str:
    return re.sub(r"(?<=.)([A-Z])", r"_\1", class_name).lower()


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=_type_name, gc=False):
    """What every event has.

    `key` is the natural key of the fact, the provider's own ids where there are any: with agent and type it decides the
    event's id, so an equal key is the same fact. Put first in it what neighbouring facts share (the session's own id):
    lookups of facts already seen are then several times cheaper. `time` is the agent's own clock, with a time zone.
    `time_inferred` says that the record had no time of its own. `turn` counts from 1.
    """

    key: Key
    time: datetime
    session: Session
    turn: int | None = None
    time_inferred: bool = False


class SessionStart(Event, frozen=True, kw_only=True):
    """A session began, was resumed or forked, or (`seen`) was found running. `context_window` is in tokens."""

    reason: SessionStartReason
    model: str | None = None
    provider: str | None = None
    entrypoint: str | None = None
    context_window: int | None = None
    pid: int | None = None


class SessionEnd(Event, frozen=True, kw_only=True):
    """A session is over. `inferred` says that nobody wrote it down: the process is gone, or the file silent."""

    reason: SessionEndReason
    inferred: bool = False
    duration_ms: int | None = None


class SessionState(Event, frozen=True, kw_only=True):
    """What a session does from now on: who works, and who waits for a person."""

    state: Activity
    previous: Activity | None = None
    pid: int | None = None


class TurnStart(Event, frozen=True, kw_only=True):
    """Somebody asked something; `trigger` says whether a person, a program or the agent itself."""

    turn_id: Id | None = None
    trigger: Trigger


class TurnEnd(Event, frozen=True, kw_only=True):
    """The agent has finished answering, or stopped. `tool_calls` counts those of this turn."""

    turn_id: Id | None = None
    outcome: TurnOutcome
    duration_ms: int | None = None
    tool_calls: int


class Prompt(Event, frozen=True, kw_only=True):
    """Only what a person or an SDK submitted; `sha256` is the first 16 hex digits."""

    bytes: int
    chars: int
    sha256: Id
    text: Content


class Response(Event, frozen=True, kw_only=True):
    """Text that the assistant wrote."""

    bytes: int
    chars: int
    response_id: Id | None = None
    text: Content


class TokenUsage(Event, frozen=True, kw_only=True):
    """An increment: the sum over a session is what the provider billed.

    `input_tokens` includes cached and cache-write tokens, `output_tokens` includes reasoning.
    """

    model: str | None = None
    provider: str | None = None
    response_id: Id | None = None
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int
    reasoning_tokens: int | None = None
    total_tokens: int
    purpose: Literal["compaction", "helper"] | None = None
    cost_usd: Decimal | None = None
    cost_source: Literal["agent", "table"] | None = None


class CoveredUsage(Event, frozen=True, kw_only=True, tag="token_usage"):
    """Usage that the `TokenUsage` before it holds already: remembered as told, never sent.

    For files in which one step stands for several that another copy of the file may tell one by one.
    """


class ModelChange(Event, frozen=True, kw_only=True):
    """From now on another model answers."""

    model: str
    previous_model: str | None = None
    provider: str | None = None
    trigger: str | None = None


class ModelError(Event, frozen=True, kw_only=True):
    """The provider refused or failed. `attempt` counts from 1, `status` is the HTTP status."""

    error_type: str | None = None
    status: int | None = None
    attempt: int | None = None
    retryable: bool | None = None
    message: Content


class RateLimit(Event, frozen=True, kw_only=True):
    """A gauge, emitted when it changed; `window` is the agent's name for the limit."""

    window: str
    used_percent: float
    window_minutes: int | None = None
    resets_at: Id | None = None


class ToolCallStart(Event, frozen=True, kw_only=True):
    """The model called a tool. `parent_call_id` is the call that this one was made from inside of."""

    call_id: Id
    parent_call_id: Id | None = None
    tool: str
    tool_kind: ToolKind
    mcp_server: str | None = None
    input_bytes: int
    input: Content


class ToolCallEnd(Event, frozen=True, kw_only=True):
    """`ok` is written out so that a consumer can count without knowing the outcomes."""

    call_id: Id
    parent_call_id: Id | None = None
    tool: str
    tool_kind: ToolKind
    outcome: ToolOutcome
    ok: bool
    exit_code: int | None = None
    duration_ms: int | None = None
    duration_inferred: bool = False
    output_bytes: int | None = None
    output: Content | None = None
    error: Content | None = None


class UserCommand(Event, frozen=True, kw_only=True):
    """A command that the person ran through the agent's shell: not a tool call."""

    exit_code: int | None = None
    duration_ms: int | None = None
    input: Content


class Permission(Event, frozen=True, kw_only=True):
    """The agent asked whether it may use a tool, or was told."""

    call_id: Id | None = None
    tool: str
    decision: Literal["asked", "allowed", "denied"]
    by: Literal["user", "rule", "mode"] | None = None


class AgentSpawn(Event, frozen=True, kw_only=True):
    """A sub-agent was started; `child` is its actor or session id."""

    child: Id
    agent_type: str | None = None
    prompt_bytes: int | None = None
    description: Content | None = None


class AgentEnd(Event, frozen=True, kw_only=True):
    """A sub-agent has finished."""

    child: Id
    agent_type: str | None = None
    outcome: str | None = None
    duration_ms: int | None = None


class ContextSegment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What takes up a part of the context window, in tokens as they were estimated from its characters."""

    category: str
    label: str | None = None
    estimated_tokens: int | None = None
    chars: int | None = None


class ContextSnapshot(Event, frozen=True, kw_only=True):
    """How full the context window is: when the pressure changes, and at the ends of turns."""

    used_tokens: int | None = None
    context_window: int | None = None
    percent: float | None = None
    pressure: Pressure
    previous_pressure: Pressure | None = None
    segments: list[ContextSegment] | None = None


class Compaction(Event, frozen=True, kw_only=True):
    """The history was replaced by a summary to make room."""

    trigger: Literal["auto", "manual", "unknown"]
    tokens_before: int | None = None
    tokens_after: int | None = None
    duration_ms: int | None = None
    summary_chars: int | None = None


class Notification(Event, frozen=True, kw_only=True):
    """The agent, or the forwarder itself, told the person something."""

    kind: str
    message: Content


class HelperUsage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a helper says that it spent. A statement of its own, already part of the agents' `TokenUsage` or not: never
    to be added to that."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: Decimal | None = None


class ToolUsage(Event, frozen=True, kw_only=True):
    """A line of a tool-usage log: a helper `started`, or is over. `invocation_id` is the same on both lines; one of the
    form ``AGENT:CALL_ID`` is a tool call of that agent, which its own events tell of too."""

    kind: HelperKind
    name: str
    scope: Literal["global", "project"]
    status: HelperStatus
    duration_ms: int | None = None
    exit_code: int | None = None
    task_id: Id | None = None
    invocation_id: Id | None = None
    usage: HelperUsage | None = None
    error_summary: Content | None = None


class Gap(Event, frozen=True, kw_only=True):
    """Bytes that could not be read or used, found by the engine; `dropped`: records that their writer did not keep."""

    reason: Literal["truncated", "replaced", "oversize", "unreadable", "dropped"]
    bytes: int | None = None
    count: int | None = None


class UnknownRecordSeen(Event, frozen=True, kw_only=True, tag="unknown_record"):
    """Format drift; emitted by the engine, once per stream and kind."""

    record_type: str
    count: int


class SecretFound(Event, frozen=True, kw_only=True):
    """A rule took a secret out of a `field` of this session's events: told once for a rule and a secret.

    `fingerprint` is keyed, so that equal secrets can be recognised on this machine without knowing them.
    """

    rule: str
    fingerprint: Id
    field: Id | None = None


def text_size(text: str) -> int:
    """Bytes of the text in UTF-8 (a lone surrogate counts three)."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def text_digest(text: str) -> str:
    """The first 16 hex digits of the text's SHA-256: tells equal prompts without showing them."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
