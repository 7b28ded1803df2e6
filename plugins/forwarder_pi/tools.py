"""What kind of tool a name stands for: pi's own seven, and names that its extensions usually have."""

from __future__ import annotations

from forwarder import ToolKind

KINDS: dict[str, ToolKind] = {
    "bash": "shell",
    "read": "read",
    "write": "write",
    "edit": "edit",
    "grep": "search",
    "find": "search",
    "ls": "search",
    "web_search": "web",
    "web_fetch": "web",
    "fetch": "web",
    "subagent": "agent",
    "task": "agent",
    "todo": "plan",
    "plan": "plan",
    "mcp": "mcp",
}


def classify(name: str, namespace: str | None) -> tuple[str, ToolKind]:
    """The tool's full name and its kind."""
    full = f"{namespace}.{name}" if namespace else name
    return full, "mcp" if full.startswith("mcp__") else KINDS.get(name, "other")
