"""Which shape a kind of record has, and who maps it. Kinds that carry no fact are listed too, each by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, get_args

import msgspec

from forwarder import Event
from forwarder_codex import calls, items, messages, records, session, tokens, turns
from forwarder_codex.records import Completed, Ignored, Line, P
from forwarder_codex.state import State


class Route(NamedTuple, Generic[P]):
    """How one kind of record is decoded and mapped; `shape` is that of its payload, or of the item in it."""

    shape: type[Any]
    decoder: msgspec.json.Decoder[Line[P]]
    handle: Callable[[State, Line[P]], Iterable[Event]]


def _nothing(_: State, __: Line[Ignored]) -> Iterable[Event]:
    return ()


def _route(shape: type[Line[P]], handle: Callable[[State, Line[P]], Iterable[Event]]) -> Route[P]:
    payload: Any = get_args(shape)[0]
    item: tuple[Any, ...] = get_args(payload)
    return Route(item[0] if item else payload, msgspec.json.Decoder(shape), handle)


IGNORED: Route[Any] = _route(Line[Ignored], _nothing)

RECORDS: dict[str, Route[Any]] = {
    "session_meta": _route(Line[records.SessionMeta], session.on_meta),
    "turn_context": _route(Line[records.TurnContext], session.on_turn_context),
    "token_usage_record": _route(Line[records.TokenRecord], tokens.on_token_record),
    "compacted": _route(Line[records.Compacted], turns.on_compacted),
    # 0.34 to 0.169; opaque, or bookkeeping between agents
    "world_state": IGNORED,
    "inter_agent_communication": IGNORED,
    "inter_agent_communication_metadata": IGNORED,
    "retained_context": IGNORED,
    "security_risk_score": IGNORED,
    "realtime_item": IGNORED,
    "dynamic_tools_updated": IGNORED,
    "rollout_reference": IGNORED,
}

EVENTS: dict[str, Route[Any]] = {
    "task_started": _route(Line[records.TaskStarted], turns.on_started),
    "turn_started": _route(Line[records.TaskStarted], turns.on_started),
    "task_complete": _route(Line[records.TaskComplete], turns.on_complete),
    "turn_complete": _route(Line[records.TaskComplete], turns.on_complete),
    "turn_aborted": _route(Line[records.TurnAborted], turns.on_aborted),
    "token_count": _route(Line[records.TokenCount], tokens.on_token_count),
    "user_message": _route(Line[records.UserMessage], messages.on_user_event),
    "agent_message": _route(Line[records.AgentMessage], messages.on_agent_event),
    "entered_review_mode": _route(Line[Ignored], messages.on_review_begins),
    "exited_review_mode": _route(Line[Ignored], messages.on_review_ends),
    "patch_apply_end": _route(Line[records.PatchEnd], calls.on_patch_end),
    "mcp_tool_call_end": _route(Line[records.McpEnd], calls.on_mcp_end),
    "exec_command_end": _route(Line[records.ExecEnd], calls.on_exec_end),
    "sub_agent_activity": _route(Line[records.SubAgentActivity], items.on_agent_event),
    "error": _route(Line[records.TurnError], turns.on_error),
    # told better by another line: the totals (rolled back turns were paid for), `compacted`, `web_search_call`
    "thread_rolled_back": IGNORED,
    "context_compacted": IGNORED,
    "web_search_end": IGNORED,
    "image_generation_end": IGNORED,
    "agent_reasoning": IGNORED,
    "agent_reasoning_raw_content": IGNORED,
    "thread_settings_applied": IGNORED,
    "thread_goal_updated": IGNORED,
    # stored by no default configuration
    "stream_error": IGNORED,
    "warning": IGNORED,
    "exec_command_begin": IGNORED,
    "mcp_tool_call_begin": IGNORED,
    "patch_apply_begin": IGNORED,
    "web_search_begin": IGNORED,
    "item_started": IGNORED,
    "plan_update": IGNORED,
    "turn_diff": IGNORED,
    "background_event": IGNORED,
    "shutdown_complete": IGNORED,
    "model_reroute": IGNORED,
}

RESPONSE_ITEMS: dict[str, Route[Any]] = {
    "function_call": _route(Line[records.Call], calls.on_call),
    "custom_tool_call": _route(Line[records.Call], calls.on_call),
    "local_shell_call": _route(Line[records.LocalShellCall], calls.on_local_shell),
    "web_search_call": _route(Line[records.WebSearchCall], calls.on_web_search),
    "function_call_output": _route(Line[records.CallOutput], calls.on_output),
    "custom_tool_call_output": _route(Line[records.CallOutput], calls.on_output),
    "message": _route(Line[Ignored], messages.on_message),
    "agent_message": IGNORED,
    "reasoning": IGNORED,
    "tool_search_call": IGNORED,
    "tool_search_output": IGNORED,
    "image_generation_call": IGNORED,
    "compaction": IGNORED,
    "context_compaction": IGNORED,
    "additional_tools": IGNORED,
    "configuration_update": IGNORED,
    "ghost_snapshot": IGNORED,
    "other": IGNORED,
}

ITEMS: dict[str, Route[Any]] = {
    "UserMessage": _route(Line[Completed[records.MessageItem]], messages.on_user_item),
    "AgentMessage": _route(Line[Completed[records.MessageItem]], messages.on_agent_item),
    "CommandExecution": _route(Line[Completed[records.CommandItem]], items.on_command),
    "FileChange": _route(Line[Completed[records.FileChangeItem]], items.on_file_change),
    "McpToolCall": _route(Line[Completed[records.ToolItem]], items.on_tool),
    "DynamicToolCall": _route(Line[Completed[records.ToolItem]], items.on_tool),
    "CollabAgentToolCall": _route(Line[Completed[records.CollabItem]], items.on_collab),
    "SubAgentActivity": _route(Line[Completed[records.SubAgentActivity]], items.on_agent_item),
    "EnteredReviewMode": _route(Line[Ignored], messages.on_review_begins),
    "ExitedReviewMode": _route(Line[Ignored], messages.on_review_ends),
    # told by a call's output, by `compacted`, or of no use to a count
    "WebSearch": IGNORED,
    "ImageView": IGNORED,
    "ImageGeneration": IGNORED,
    "FunctionCallOutput": IGNORED,
    "ContextCompaction": IGNORED,
    "Reasoning": IGNORED,
    "Plan": IGNORED,
    "Sleep": IGNORED,
    "HookPrompt": IGNORED,
    "Extension": IGNORED,
}

BARE_MESSAGE = msgspec.json.Decoder(records.Message)
BARE: dict[str, tuple[msgspec.json.Decoder[Any], Callable[[State, Line[Any]], Iterable[Event]]]] = {
    "message": (BARE_MESSAGE, messages.on_bare_message),
    "function_call": (msgspec.json.Decoder(records.Call), calls.on_call),
    "custom_tool_call": (msgspec.json.Decoder(records.Call), calls.on_call),
    "local_shell_call": (msgspec.json.Decoder(records.LocalShellCall), calls.on_local_shell),
    "web_search_call": (msgspec.json.Decoder(records.WebSearchCall), calls.on_web_search),
    "function_call_output": (msgspec.json.Decoder(records.CallOutput), calls.on_output),
    "custom_tool_call_output": (msgspec.json.Decoder(records.CallOutput), calls.on_output),
}
