"""Events as a sink gets them, and what a page of metrics says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from forwarder import Batch

NOW = 1795226400.0  # 2026-11-21T02:00:00Z


def event(number: int, kind: str, **fields: Any) -> dict[str, Any]:
    """One event of the agent `acme`, an hour old."""
    envelope = {"id": f"{number:032x}", "type": kind, "time": "2026-11-21T01:00:00.000Z", "agent": "acme"}
    return {**envelope, "session_id": "s1", "host": "desk", **fields}


def tool_call(number: int, tool: str = "bash", **fields: Any) -> dict[str, Any]:
    return event(number, "tool_call_end", **{"call_id": str(number), "tool": tool, "outcome": "ok", **fields})


def state(number: int, name: str, **fields: Any) -> dict[str, Any]:
    return event(number, "session_state", state=name, **fields)


def batch(*events: Mapping[str, Any]) -> Batch:
    return Batch(tuple(json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode() for one in events))


def page(text: bytes) -> dict[str, float]:
    """Every sample of a page by its name and labels as PromQL writes them."""
    return {
        f"{one.name}{{{','.join(f'{k}={v!r}' for k, v in sorted(one.labels.items()))}}}".replace("'", '"').replace(
            "{}", ""
        ): one.value
        for family in text_string_to_metric_families(text.decode())
        for one in family.samples
    }


def openmetrics_families(text: bytes) -> list[Metric]:
    """Raises `ValueError` for a page that is not OpenMetrics."""
    parser: Any = import_module("prometheus_client.openmetrics.parser")  # its functions have no types
    return list(parser.text_string_to_metric_families(text.decode()))
