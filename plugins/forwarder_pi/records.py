"""The shapes of pi's session entries: only the fields that a fact is made of, so that all others are skipped unbuilt.

Every line is an `Entry`, told apart by `type`; a message by `role`. Kinds that carry no fact are listed too, each by
name, since all of them are links in the chain of `parentId`. Versions are those in which a field was first seen.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Struct, field

Time = Annotated[datetime, Meta(tz=True)]


class Entry(Struct, gc=False, tag_field="type", rename="camel"):
    """One line. `timestamp` is when it was written; ids came with format v2 (v1: up to about 0.30)."""

    timestamp: Time
    id: str | None = None
    parent_id: str | None = None


class Cost(Struct, gc=False):
    """US dollars, as pi worked them out; the digits are kept as they stand in the file."""

    total: Decimal | None = None


class Usage(Struct, gc=False, rename="camel"):
    """`input` leaves out what was cached, `output` includes reasoning; `cacheWrite1h` is part of `cacheWrite`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int | None = field(default=None, name="cacheWrite1h")
    reasoning: int | None = None
    cost: Cost | None = None


class Block(Struct, gc=False):
    """One part of a content array: text, or a call (`arguments` is an object). Thinking and images are left unbuilt."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Any = None


class User(Struct, gc=False, tag_field="role", rename="camel", tag="user"):
    """What was submitted. `timestamp` in milliseconds: when; a message that waited in a queue is written later."""

    content: str | list[Block] = ""
    timestamp: float | None = None


class Assistant(Struct, gc=False, tag_field="role", rename="camel", tag="assistant"):
    """One answer of the model. `timestamp` in milliseconds is when it was asked."""

    content: list[Block] = []
    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    usage: Usage | None = None
    stop_reason: str | None = None
    error_message: str | None = None


class ToolResult(Struct, gc=False, tag_field="role", rename="camel", tag="toolResult"):
    """`durationMs` since 1.1, `usage` of models that the tool itself asked since 0.8x."""

    tool_call_id: str
    content: str | list[Block] = ""
    is_error: bool = False
    usage: Usage | None = None
    duration_ms: float | None = None


class BashExecution(Struct, gc=False, tag_field="role", rename="camel", tag="bashExecution"):
    """`!command`, typed by the person; a cancelled one has no exit code."""

    command: str
    exit_code: int | None = None


class System(Struct, gc=False, tag_field="role", rename="camel", tag="system"):
    """0.86+: the vendor's prompt."""


class CustomContext(Struct, gc=False, tag_field="role", rename="camel", tag="custom"):
    """Written by an extension, for the model."""


class HookContext(Struct, gc=False, tag_field="role", rename="camel", tag="hookMessage"):
    """The same in v1 and v2."""


class BranchContext(Struct, gc=False, tag_field="role", rename="camel", tag="branchSummary"):
    """The model's copy of a `branch_summary`."""


class CompactionContext(Struct, gc=False, tag_field="role", rename="camel", tag="compactionSummary"):
    """The model's copy of a `compaction`."""


AnyMessage = (
    User
    | Assistant
    | ToolResult
    | BashExecution
    | System
    | CustomContext
    | HookContext
    | BranchContext
    | CompactionContext
)


class Header(Entry, gc=False, tag="session"):
    """The first line. `branchedFrom` is what v1 called `parentSession`; v1 has no `version`."""

    cwd: str | None = None
    parent_session: str | None = None
    branched_from: str | None = None


class Message(Entry, gc=False, tag="message", kw_only=True):
    """A message of the conversation."""

    message: AnyMessage


class ModelChange(Entry, gc=False, tag="model_change", kw_only=True):
    """Also the first line behind the header of a new session."""

    model_id: str
    provider: str | None = None


class Compaction(Entry, gc=False, tag="compaction"):
    """`usage` since 0.81. `fromHook`: an extension wrote the summary."""

    summary: str = ""
    tokens_before: int | None = None
    from_hook: bool | None = None
    usage: Usage | None = None


class BranchSummary(Entry, gc=False, tag="branch_summary"):
    """What was left behind when the person went back to an earlier entry; `usage` since 0.81."""

    from_hook: bool | None = None
    usage: Usage | None = None


class SideUsage(Entry, gc=False, tag="usage"):
    """0.86+: a request beside the conversation, such as one that keeps the cache warm."""

    provider: str | None = None
    model: str | None = None
    usage: Usage | None = None


class ThinkingLevelChange(Entry, gc=False, tag="thinking_level_change"):
    """How much the model may think."""


class Custom(Entry, gc=False, tag="custom"):
    """An extension's own state."""


class CustomMessage(Entry, gc=False, tag="custom_message"):
    """An extension's text for the model; it can begin a run."""


class Label(Entry, gc=False, tag="label"):
    """A name for an entry."""


class SessionInfo(Entry, gc=False, tag="session_info"):
    """The session's name."""


class ContextEdit(Entry, gc=False, tag="context_edit"):
    """0.87+: follows a failed answer that is tried again, and takes it out of the context."""


AnyEntry = (
    Header
    | Message
    | ModelChange
    | Compaction
    | BranchSummary
    | SideUsage
    | ThinkingLevelChange
    | Custom
    | CustomMessage
    | Label
    | SessionInfo
    | ContextEdit
)


class Role(Struct, gc=False):
    """Only who speaks."""

    role: str | None = None


class Head(Struct, gc=False):
    """Enough of a line to say what kind it is."""

    type: str
    message: Role | None = None
