"""The shape of a line of the log, as the assessment that asked for the log describes it; unknown fields are skipped."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, get_args

import msgspec

from forwarder import BadRecord, HelperKind, HelperStatus, HelperUsage, UnknownRecord

KINDS: tuple[HelperKind, ...] = get_args(HelperKind)
STATUSES: tuple[HelperStatus, ...] = get_args(HelperStatus)
SCOPES = ("global", "project")
MAX_TOKENS = 2**53  # beyond it other readers of JSON count wrong; no helper has spent that

Text = str | int | None  # ids, which some writers leave as the numbers they are


class Line(msgspec.Struct):
    """One line. `ts` is ISO 8601, of a start or of an end; `duration_ms` is at least 0, `usage` of any shape."""

    ts: str
    kind: str
    name: str
    cwd: str
    scope: str
    status: str
    session_id: Text = None
    task_id: Text = None
    invocation_id: Text = None
    duration_ms: float | None = None
    exit_code: int | None = None
    error_summary: str | None = None
    usage: dict[str, Any] | None = None


def known(value: str, values: tuple[Any, ...], field: str) -> Any:
    """The value, which must be one of these. Raises `UnknownRecord`: counted, so that a new one is noticed."""
    if value not in values:
        raise UnknownRecord(f"{field} {value}"[:80])
    return value


def time_of(line: Line) -> datetime:
    """When it happened; a time without a zone is UTC. Raises `BadRecord`."""
    try:
        time = datetime.fromisoformat(line.ts)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadRecord(f"ts is no ISO 8601 time: {line.ts[:40]!r}") from error


def milliseconds(line: Line) -> int | None:
    """How long the invocation took; a start has no duration yet. Raises `BadRecord` below 0."""
    if line.duration_ms is None or line.status == "started":
        return None
    if not 0 <= line.duration_ms < MAX_TOKENS:
        raise BadRecord(f"duration_ms is {line.duration_ms}, wanted is 0 or more")
    return round(line.duration_ms)


def usage_of(line: Line) -> HelperUsage | None:
    """The numbers of `usage` that are known by name; None if there are none."""
    given = line.usage or {}
    tokens = {name: given[name] for name in HelperUsage.__struct_fields__ if name != "cost_usd" and name in given}
    counts = {name: one for name, one in tokens.items() if type(one) is int and 0 <= one < MAX_TOKENS}
    cost = _money(given.get("cost_usd"))
    return HelperUsage(**counts, cost_usd=cost) if counts or cost is not None else None


def _money(value: object) -> Decimal | None:
    """USD with at most nine places; None for what is no amount."""
    if type(value) not in (int, float) or not 0 <= float(str(value)) < MAX_TOKENS:
        return None
    try:
        return round(Decimal(str(value)), 9).normalize()
    except InvalidOperation:
        return None
