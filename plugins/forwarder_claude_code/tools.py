"""What kind of tool a name stands for, and what its input and output say as text."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, cast

import msgspec

from forwarder import ToolKind

KINDS: dict[str, ToolKind] = {
    "Bash": "shell",
    "BashOutput": "shell",
    "KillShell": "shell",
    "KillBash": "shell",
    "PowerShell": "shell",
    "Monitor": "shell",
    "Read": "read",
    "NotebookRead": "read",
    "LS": "read",
    "TaskOutput": "read",
    "Write": "write",
    "Edit": "edit",
    "MultiEdit": "edit",
    "NotebookEdit": "edit",
    "Grep": "search",
    "Glob": "search",
    "LSP": "search",
    "ToolSearch": "search",
    "WebFetch": "web",
    "WebSearch": "web",
    "Task": "agent",
    "Agent": "agent",
    "SendMessage": "agent",
    "TaskStop": "agent",
    "TodoWrite": "plan",
    "TodoRead": "plan",
    "TaskCreate": "plan",
    "TaskUpdate": "plan",
    "TaskList": "plan",
    "TaskGet": "plan",
    "EnterPlanMode": "plan",
    "ExitPlanMode": "plan",
    "ListMcpResourcesTool": "mcp",
    "ReadMcpResourceTool": "mcp",
}
AGENTS = frozenset({"Task", "Agent"})  # the calls that start a sub-agent; Task up to 2.1

_sorted = msgspec.json.Encoder(order="deterministic").encode


def classify(name: str, server: str | None = None) -> tuple[ToolKind, str | None]:
    """The tool's kind and the MCP server it belongs to, which its name tells too: `mcp__notes__add_note`."""
    if name.startswith("mcp__"):
        return "mcp", server or name[5:].partition("__")[0] or None
    return KINDS.get(name, "other"), server


def as_text(value: Any) -> str:
    """Arguments and results that are no text, as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def joined(content: Any) -> str:
    """The text of a message's or a result's content: text, or a list of parts of which some have text."""
    if not isinstance(content, list):
        return as_text(content)
    parts = cast("Iterable[Any]", content)
    texts = [cast("dict[str, Any]", part).get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def output_of(response: Any) -> str | None:
    """What a hook's `tool_response` holds as text; a shell's two streams one after the other."""
    if isinstance(response, dict):
        fields = cast("dict[str, Any]", response)
        if "stdout" in fields:
            return "\n".join(text for name in ("stdout", "stderr") if (text := as_text(fields.get(name))))
        return as_text(fields)
    return None if response is None else joined(response)


def digest(*parts: Any) -> str:
    """Tells equal inputs, whatever the order of their fields; 16 hex digits."""
    return blake2b(_sorted(parts), digest_size=8).hexdigest()
