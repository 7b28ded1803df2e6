"""Lines of a log, and its events in short."""

from __future__ import annotations

import json
from typing import Any

from forwarder import Event, ToolUsage

ALWAYS = {
    "ts": "2026-11-21T10:00:00.250Z",
    "kind": "script",
    "name": "pi-job-runner",
    "cwd": "/home/dev/shop",
    "scope": "global",
    "status": "succeeded",
}


def line(**fields: Any) -> str:
    """A line with what every line has, and these fields; one that is None is left out."""
    return json.dumps({name: value for name, value in (ALWAYS | fields).items() if value is not None})


def usages(events: list[Event]) -> list[ToolUsage]:
    """The events, all of which must be of the log's type."""
    assert all(isinstance(one, ToolUsage) for one in events)
    return [one for one in events if isinstance(one, ToolUsage)]
