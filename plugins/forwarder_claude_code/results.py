"""How a call ended, as a transcript tells it: by fields in new releases, by the words of the result in old ones."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, cast

from forwarder import ToolOutcome
from forwarder_claude_code.facts import Decider
from forwarder_claude_code.records import Block, Line
from forwarder_claude_code.tools import joined

BY: dict[str | None, Decider] = {"rule": "rule", "mode": "mode"}
_EXIT_CODE = re.compile(r"(?:Error: )?Exit code (\d+)")
_NEVER_RAN = ("<tool_use_error>Error: No such tool", "<tool_use_error>InputValidationError")
_DENIED = ("Claude requested permissions", "Permission to use", "The user doesn't want to proceed with this tool use")
_CANCELLED = (
    "[Request interrupted by user",
    "[Tool call interrupted",
    "<tool_use_error>Sibling tool call errored",
    "<tool_use_error>Cancelled",
)


class Result(NamedTuple):
    """`error` is the text of what went wrong; `duration_ms` what the tool itself states."""

    outcome: ToolOutcome
    output: str
    error: str | None = None
    exit_code: int | None = None
    duration_ms: int | None = None


def read(line: Line, block: Block, *, is_ending: bool) -> Result:
    """`is_ending`: the process had begun to end, so the call did not fail by itself."""
    text = joined(block.content)
    outcome = _outcome(line, block, text)
    code = exit_code(text) if block.is_error else None
    if is_ending and outcome == "error":
        outcome = "cancelled"
    return Result(outcome, text, None if outcome == "ok" else text, code, _stated_ms(line.toolUseResult))


def exit_code(text: str) -> int | None:
    """The shell's, which begins the text of a failure."""
    found = _EXIT_CODE.match(text)
    return int(found[1]) if found else None


def never_ran(text: str) -> bool:
    """An unknown tool or invalid input: no hook but PostToolBatch knows of such a call."""
    return text.startswith(_NEVER_RAN)


def is_denial(text: str) -> bool:
    """Nobody was there to allow it, or somebody refused."""
    return text.startswith(_DENIED)


def fields_of(result: Any) -> dict[str, Any]:
    """`toolUseResult` and `tool_response` are objects, text or lists, each tool's its own."""
    return cast("dict[str, Any]", result) if isinstance(result, dict) else {}


def whole_ms(value: Any) -> int | None:
    """A duration as Claude Code writes it; newer releases write fractions in places."""
    return round(value) if isinstance(value, int | float) and value >= 0 else None


def _outcome(line: Line, block: Block, text: str) -> ToolOutcome:
    if (kind := line.toolDenialKind) is not None:
        if kind == "interrupted" or (kind == "user-rejected" and not line.toolDenialBeforeRun):
            return "cancelled"  # Esc while it ran gives the same words as a dialog that was dismissed
        return "denied"
    if line.permissionDecision is not None and line.permissionDecision.decision == "reject":
        return "denied"
    if not block.is_error:
        return "ok"
    if never_ran(text):
        return "rejected"
    if text.startswith(_CANCELLED):
        return "cancelled"
    return "denied" if is_denial(text) else "error"


def _stated_ms(result: Any) -> int | None:
    fields = fields_of(result)
    return whole_ms(fields.get("durationMs", fields.get("totalDurationMs")))
