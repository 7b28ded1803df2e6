"""What kind of tool a name stands for."""

from __future__ import annotations

from forwarder import ToolKind

KINDS: dict[str, ToolKind] = {
    "exec_command": "shell",
    "write_stdin": "shell",
    "shell": "shell",
    "shell_command": "shell",
    "container.exec": "shell",
    "local_shell": "shell",
    "unified_exec": "shell",
    "apply_patch": "edit",
    "view_image": "read",
    "read_file": "read",
    "list_dir": "read",
    "read_mcp_resource": "mcp",
    "list_mcp_resources": "mcp",
    "list_mcp_resource_templates": "mcp",
    "grep_files": "search",
    "tool_search": "search",
    "web_search": "web",
    "update_plan": "plan",
    "create_goal": "plan",
    "get_goal": "plan",
    "update_goal": "plan",
    "exec": "script",
    "wait": "script",
    "spawn_agent": "agent",
    "send_input": "agent",
    "send_message": "agent",
    "wait_agent": "agent",
    "close_agent": "agent",
    "resume_agent": "agent",
}
AGENTS = ("multi_agent", "collaboration")
FOLLOW_UPS = frozenset({"write_stdin", "wait"})  # they end when they return, though the command may go on


Named = tuple[str, ToolKind, str | None]
"""A tool's full name, its kind, and the MCP server it belongs to."""


def classify(name: str, namespace: str | None) -> Named:
    """What is known of a tool by its name.

    MCP tools were `demo__lookup` (0.36), then `mcp__demo__lookup` (0.58), now `mcp__demo` + `lookup` (0.133+).
    """
    if namespace:
        full = f"{namespace}.{name}"
        if namespace.startswith("mcp__"):
            return full, "mcp", namespace.removeprefix("mcp__")
        return full, "agent" if namespace.startswith(AGENTS) else KINDS.get(name, "other"), None
    if (kind := KINDS.get(name)) is not None:
        return name, kind, None
    server, separator, _ = name.removeprefix("mcp__").partition("__")
    return (name, "mcp", server) if separator and server else (name, "other", None)
