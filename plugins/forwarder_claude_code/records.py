"""The shapes of Claude Code's records: only the fields that a fact is made of, so that all others are skipped unbuilt.

Each shape names the versions it was seen in. Missing and null are the same, so nearly every field has a default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

Time = Annotated[datetime, Meta(tz=True)]

# --- transcripts ---


class CacheCreation(Struct, gc=False):
    """How long what was written to the cache is kept."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(Struct, gc=False):
    """2.1.329; thinking is part of the output."""

    thinking_tokens: int | None = None


class Usage(Struct, gc=False):
    """Input excludes both kinds of cached tokens. Up to 2.1.96 the output is a placeholder on most lines."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None


class Block(Struct, gc=False):
    """One block of a message's content; of an answer (1.0.120 to 2.1.329) each line holds one."""

    type: str | None = None
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None


class Message(Struct, gc=False):
    """`id` and `usage` only in answers; `stop_reason` is null on the placeholder lines of old releases."""

    id: str | None = None
    model: str | None = None
    content: str | list[Block] | None = None
    stop_reason: str | None = None
    usage: Usage | None = None


class PermissionDecision(Struct, gc=False):
    """2.1.329, on the result line: `accept` or `reject`; `config`, `user_temporary`, ...; `mode`, `rule`, ..."""

    decision: str | None = None
    source: str | None = None
    reasonType: str | None = None  # noqa: N815


class CompactMetadata(Struct, gc=False):
    """Of a `compact_boundary`."""

    trigger: str | None = None
    preTokens: int | None = None  # noqa: N815
    postTokens: int | None = None  # noqa: N815
    durationMs: float | None = None  # noqa: N815


class TurnPosition(Struct, gc=False):
    """2.1.329: which turn of the session a prompt begins, counted from 1."""

    turnIndex: int | None = None  # noqa: N815

    @property
    def number(self) -> int:
        """0 where it is not told; what is below 1 is no turn."""
        return max(0, self.turnIndex or 0)


class ModelTotals(Struct, gc=False):
    """Of one model in `cost-state`: running totals of the session."""

    inputTokens: int = 0  # noqa: N815
    outputTokens: int = 0  # noqa: N815
    cacheReadInputTokens: int = 0  # noqa: N815
    cacheCreationInputTokens: int = 0  # noqa: N815


class Line(Struct, gc=False):
    """One line of a transcript, 1.0.120 to 2.1.329."""

    type: str | None = None
    subtype: str | None = None
    uuid: str | None = None
    timestamp: Time | None = None
    sessionId: str | None = None  # noqa: N815
    requestSessionId: str | None = None  # noqa: N815  (2.1.329: on lines that a fork copied, the session that asked)
    forkedFrom: Any = None  # noqa: N815
    agentId: str | None = None  # noqa: N815
    isSidechain: bool | None = None  # noqa: N815
    cwd: str | None = None
    gitBranch: str | None = None  # noqa: N815
    version: str | None = None
    entrypoint: str | None = None
    message: Message | None = None
    promptId: str | None = None  # noqa: N815
    promptSource: str | None = None  # noqa: N815
    turnOrigin: str | None = None  # noqa: N815
    turnPosition: TurnPosition | None = None  # noqa: N815
    isMeta: bool | None = None  # noqa: N815
    isCompactSummary: bool | None = None  # noqa: N815
    isVisibleInTranscriptOnly: bool | None = None  # noqa: N815
    toolUseResult: Any = None  # noqa: N815
    toolDenialKind: str | None = None  # noqa: N815
    toolDenialBeforeRun: bool | None = None  # noqa: N815
    permissionDecision: PermissionDecision | None = None  # noqa: N815
    requestId: str | None = None  # noqa: N815
    isApiErrorMessage: bool | None = None  # noqa: N815
    apiErrorStatus: int | None = None  # noqa: N815
    error: Any = None
    retryAttempt: int | None = None  # noqa: N815
    maxRetries: int | None = None  # noqa: N815
    compactMetadata: CompactMetadata | None = None  # noqa: N815
    durationMs: float | None = None  # noqa: N815
    modelUsage: dict[str, ModelTotals] | None = None  # noqa: N815


def text_of(line: Line) -> str:
    """The text of the line's message, without results."""
    content = line.message.content if line.message else None
    if isinstance(content, list):
        return "\n".join(block.text for block in content if block.text is not None)
    return content or ""


# --- hooks ---


class BatchedCall(Struct, gc=False):
    """One call of a PostToolBatch; `tool_response` is what the model was given."""

    tool_use_id: str | None = None
    tool_name: str | None = None
    tool_input: Any = None
    tool_response: Any = None


class McpServer(Struct, gc=False):
    """2.1.329, beside the tool's name."""

    name: str | None = None


class Hook(Struct, gc=False):
    """What a hook was given (1.0.120 to 2.1.329), bare or as `payload` of a writer's envelope.

    `tool_use_id` came with 2.0.43, `agent_id` with 2.1.69, `duration_ms` with 2.1.119, `prompt_id` with 2.1.196.
    `ts` and `received_ns` are the envelope's time.
    """

    hook_event_name: str | None = None
    session_id: str | None = None
    cwd: str | None = None
    prompt_id: str | None = None
    permission_mode: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    source: str | None = None
    model: str | None = None
    context_tokens: int | None = None
    seconds_since_last_response: float | None = None
    reason: str | None = None
    prompt: str | None = None
    tool_name: str | None = None
    tool_input: Any = None
    tool_use_id: str | None = None
    tool_response: Any = None
    tool_calls: list[BatchedCall] | None = None
    mcp_server: McpServer | None = None
    duration_ms: float | None = None
    error: str | None = None
    error_details: Any = None
    is_interrupt: bool | None = None
    last_assistant_message: str | None = None
    stop_hook_active: bool | None = None
    background_tasks: list[Any] | None = None
    message: str | None = None
    notification_type: str | None = None
    v: int | None = None
    spool_v: int | None = None
    ts: int | float | None = None
    received_ns: int | float | None = None
    payload: Hook | None = None
