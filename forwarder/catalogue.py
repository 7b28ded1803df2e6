"""Every type of event that there is."""

from __future__ import annotations

from forwarder import events, instruments
from forwarder.events import Event

EVENT_TYPES: tuple[type[Event], ...] = (
    events.SessionStart,
    events.SessionEnd,
    events.SessionState,
    events.TurnStart,
    events.TurnEnd,
    events.Prompt,
    events.Response,
    events.TokenUsage,
    events.ModelChange,
    events.ModelError,
    events.RateLimit,
    events.ToolCallStart,
    events.ToolCallEnd,
    events.UserCommand,
    events.Permission,
    events.AgentSpawn,
    events.AgentEnd,
    events.ContextSnapshot,
    events.Compaction,
    events.Notification,
    events.ToolUsage,
    events.Gap,
    events.UnknownRecordSeen,
    events.SecretFound,
    instruments.Metric,
    instruments.McpRequest,
    instruments.McpResponse,
    instruments.RagRetrieval,
    instruments.RagEmbedding,
    instruments.RagIndex,
    instruments.Latency,
    instruments.OutputEval,
    instruments.PromptRating,
    instruments.Cost,
    instruments.Custom,
    instruments.Drift,
)
