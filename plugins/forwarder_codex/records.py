"""The shapes of Codex's records: only the fields that a fact is made of, so that all others are skipped unbuilt.

Each shape names the versions it was seen in. Missing and null are the same to Codex, so most fields have a default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct, field

P = TypeVar("P")
Time = Annotated[datetime, Meta(tz=True)]


class Metadata(Struct, gc=False):
    """Beside the payload of a response item, 0.155+. `compaction_output`: the message is a summary, not an answer."""

    compaction_output: bool | None = None


class Line(Struct, Generic[P], gc=False):
    """The envelope, 0.34+. `ordinal` only in paginated files (0.148+), and there not in every line."""

    timestamp: Time
    payload: P
    ordinal: int | None = None
    metadata: Metadata | None = None


class Ignored(Struct, gc=False):
    """A payload that carries no fact; decoded all the same, so that a torn line is not taken for a whole one."""


class Tag(Struct, gc=False):
    """Only what kind it is."""

    type: str | None = None


class Tagged(Struct, gc=False):
    """The payload as far as the slow path needs it to find the kind of record."""

    type: str | None = None
    item: Tag | None = None


class Head(Struct, gc=False):
    """A line of any layout. Without payload it is bare (up to 0.29): a header has `id`, a state line `record_type`."""

    type: str | None = None
    payload: Tagged | None = None
    record_type: str | None = None
    id: str | None = None


# --- the session ---


class Git(Struct, gc=False):
    """`repository_url` is left out on purpose: up to 0.148 it is stored with the credentials in it."""

    branch: str | None = None


class SessionMeta(Struct, gc=False):
    """0.34+. `id` is the thread, `source` text or (for sub-agents) an object; `history_base`: a fork without copies."""

    id: str
    timestamp: Time | None = None
    cwd: str | None = None
    originator: str | None = None
    cli_version: str | None = None
    source: str | dict[str, Any] | None = None
    model_provider: str | None = None
    parent_thread_id: str | None = None
    forked_from_id: str | None = None
    history_base: Ignored | None = None
    subagent_history_start_ordinal: int | None = None
    git: Git | None = None


class BareHeader(Struct, gc=False):
    """The first line up to 0.29: all that such a file says about time."""

    id: str
    timestamp: datetime
    git: Git | None = None


class TurnContext(Struct, gc=False):
    """0.36+, once per request until 0.104, then once per turn: the only place that names the model."""

    model: str | None = None
    cwd: str | None = None


# --- turns and messages ---


class Attribution(Struct, gc=False):
    """Seen in 0.169: "user", "exec", or null for clients of the app server."""

    turn_trigger: str | None = None


class TaskStarted(Struct, gc=False):
    """0.101+. `started_at` in seconds (0.133+)."""

    turn_id: str | None = None
    started_at: float | None = None
    model_context_window: int | None = None
    turn_attribution: Attribution | None = None


class HttpStatus(Struct, gc=False):
    """Inside an error that has one."""

    http_status_code: int | None = None


class TurnError(Struct, gc=False):
    """0.146.1+. `codex_error_info` is text, or an object whose only key is the text."""

    message: str | None = None
    codex_error_info: str | dict[str, HttpStatus | None] | None = None


class TaskComplete(Struct, gc=False):
    """0.101+; `duration_ms` 0.133+. The answer's full text in it is not read."""

    turn_id: str | None = None
    error: TurnError | None = None
    duration_ms: int | None = None


class TurnAborted(Struct, gc=False):
    """0.36+; up to 0.98 only a reason, which is not read."""

    turn_id: str | None = None
    duration_ms: int | None = None


class UserMessage(Struct, gc=False):
    """Legacy event, 0.34+. `kind` (0.34, 0.36) other than plain: written by Codex."""

    message: str
    kind: str | None = None


class AgentMessage(Struct, gc=False):
    """Legacy event, 0.34+."""

    message: str


class Part(Struct, gc=False):
    """One part of a content array; images are skipped unbuilt."""

    text: str | None = None


class Message(Struct, gc=False):
    """Response item; counted only in bare files, elsewhere events and items say the same."""

    role: str
    content: list[Part]


# --- tool calls ---


class Call(Struct, gc=False):
    """function_call (`arguments`) and custom_tool_call (`input`, 0.29+); `namespace` 0.133+."""

    name: str
    call_id: str
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None


class LocalShellCall(Struct, gc=False):
    """The model's built-in shell; older ones have no `call_id` but an `id`."""

    call_id: str | None = None
    id: str | None = None
    action: Any = None


class WebSearchCall(Struct, gc=False):
    """Complete when written: there is no output line."""

    id: str | None = None
    status: str | None = None
    action: Any = None


class CallOutput(Struct, gc=False):
    """Without `call_id` it is Codex talking to itself (goals), not a call."""

    call_id: str | None = None
    output: str | list[Part] | None = None


class Duration(Struct, gc=False):
    """As Rust writes it."""

    secs: int = 0
    nanos: int = 0


class PatchEnd(Struct, gc=False):
    """Legacy event, 0.133+."""

    call_id: str
    success: bool | None = None


class McpOk(Struct, gc=False):
    """The server answered, perhaps with an error."""

    isError: bool | None = None  # noqa: N815  (MCP's own spelling)


class McpResult(Struct, gc=False):
    """Exactly one of the two: an answer, or why there is none."""

    Ok: McpOk | None = None
    Err: str | None = None


class McpEnd(Struct, gc=False):
    """Legacy event, 0.133+."""

    call_id: str
    duration: Duration | None = None
    result: McpResult | None = None


class ExecEnd(Struct, gc=False):
    """Legacy event that only the extended mode of early 2026 stored."""

    call_id: str
    exit_code: int | None = None
    duration: Duration | None = None


# --- items, 0.148+ ---


class MessageItem(Struct, gc=False):
    """UserMessage and AgentMessage."""

    id: str
    content: list[Part]


class CommandItem(Struct, gc=False):
    """CommandExecution; its id is that of the call, or `exec-<uuid>` inside a script."""

    id: str
    command: list[str] | str = ""
    source: str | None = None
    status: str | None = None
    aggregated_output: str | None = None
    exit_code: int | None = None
    duration: Duration | None = None


class FileChangeItem(Struct, gc=False):
    """FileChange: one applied patch."""

    id: str
    changes: Any = None
    status: str | None = None
    stdout: str | None = None
    stderr: str | None = None


class ToolItem(Struct, gc=False):
    """McpToolCall (`server`) and DynamicToolCall (`namespace`)."""

    id: str
    tool: str
    server: str | None = None
    namespace: str | None = None
    arguments: Any = None
    status: str | None = None
    result: Any = None
    error: Any = None
    duration: Duration | None = None


class CollabItem(Struct, gc=False):
    """CollabAgentToolCall; the values of `agents_states` are text or an object whose only key is the text."""

    id: str
    tool: str | None = None
    status: str | None = None
    receiver_thread_ids: list[str] | None = None
    agents_states: dict[str, str | dict[str, Any]] | None = None
    prompt: str | None = None


class SubAgentActivity(Struct, gc=False):
    """Item SubAgentActivity, and the legacy event sub_agent_activity."""

    kind: str
    agent_thread_id: str


I = TypeVar("I")  # noqa: E741


class Completed(Struct, Generic[I], gc=False):
    """The payload of item_completed; milliseconds since 1970, 0 or missing where unknown."""

    item: I
    started_at_ms: int | None = None
    completed_at_ms: int | None = None


# --- tokens ---


class Usage(Struct, gc=False):
    """Input includes cached, output includes reasoning; `total_tokens` is an estimate at times."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int | None = None
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    total_tokens: int = 0


class TokenRecord(Struct, gc=False):
    """0.153.4+, one per response, exact."""

    thread_id: str
    response_id: str
    usage: Usage


class TokenInfo(Struct, gc=False):
    """Of the thread so far, and of the last response."""

    total_token_usage: Usage
    last_token_usage: Usage = field(default_factory=Usage)
    model_context_window: int | None = None


class RateWindow(Struct, gc=False):
    """`resets_at` in seconds since 1970; older: `resets_in_seconds`."""

    used_percent: float
    window_minutes: int | None = None
    resets_at: float | None = None
    resets_in_seconds: float | None = None


class RateLimits(Struct, gc=False):
    """`limit_id` (in newer versions) names the limit that the windows belong to; a window without news is null."""

    limit_id: str | None = None
    primary: RateWindow | None = None
    secondary: RateWindow | None = None


class TokenCount(Struct, gc=False):
    """0.34+, cumulative; `info` may be null, `rate_limits` 0.42+."""

    info: TokenInfo | None = None
    rate_limits: RateLimits | None = None


class Compacted(Struct, gc=False):
    """`message` is the summary; empty when the server made it."""

    message: str | None = None
