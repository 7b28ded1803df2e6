"""An agent's tool call as a line of the log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from forwarder_tool_usage.log import encoded, summary, timestamp

STATUS = {
    "ok": "succeeded",
    "error": "failed",
    "rejected": "cancelled",
    "denied": "cancelled",
    "cancelled": "cancelled",
}
SCRIPTS = {"shell", "script"}


class Call(msgspec.Struct):
    """What is read of an event: `tool_call_start` or `tool_call_end`."""

    type: str
    id: str = ""
    time: datetime | None = None
    agent: str = ""
    session_id: str | None = None
    cwd: str = ""
    call_id: str = ""
    tool: str = ""
    tool_kind: str = ""
    outcome: str = ""
    exit_code: int | None = None
    duration_ms: int | None = None
    error: str | None = None


_CALL = msgspec.json.Decoder(Call)
_TYPES = (b'"type":"tool_call_start"', b'"type":"tool_call_end"')


def line_of(event: bytes, *, with_starts: bool) -> bytes | None:
    """The log's line of the event, with its newline; None where it has none. `with_starts`: a start has one too.

    A call whose result nobody knows is a start without an end: that is the only line it has, whoever tells it.
    """
    if not event.startswith(_TYPES, len('{"id":"",') + 32):
        return None
    call = _CALL.decode(event)
    is_over = call.outcome in STATUS
    if not is_over and with_starts != (call.type == "tool_call_start"):
        return None
    status = STATUS.get(call.outcome, "started")
    fields: dict[str, Any] = {
        "ts": timestamp(_time(call).timestamp()),
        "kind": "script" if call.tool_kind in SCRIPTS else "extension_tool",
        "name": call.tool or "unknown",
        "cwd": call.cwd,
        "scope": "global",
        "session_id": call.session_id,
        "status": status,
        "duration_ms": call.duration_ms if is_over else None,
        "exit_code": call.exit_code if is_over else None,
        "error_summary": _error(call) if status == "failed" else None,
        "invocation_id": f"{call.agent}:{call.call_id}",
        "agent": call.agent,
    }
    return encoded(fields)


def _time(call: Call) -> datetime:
    """Of a call without a known end, its beginning as far as that is known."""
    time = call.time or datetime.fromisoformat("1970-01-01T00:00:00Z")
    if call.outcome not in STATUS and call.duration_ms:
        return time - timedelta(milliseconds=call.duration_ms)
    return time


def _error(call: Call) -> str:
    """In the tool's own words, where the level of redaction leaves them."""
    if call.error:
        return summary(call.error)
    return f"exit status {call.exit_code}" if call.exit_code else "failed"
