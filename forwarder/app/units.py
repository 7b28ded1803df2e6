"""Sizes and durations as people write them, and as people read them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

_DECIMAL = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BINARY = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
BYTES = _DECIMAL | _BINARY
SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def parse_bytes(value: object) -> int:
    """``"1GiB"``, ``"512 MiB"``, ``"10MB"`` or a whole number, as bytes. Raises ValueError that says what is wanted."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)) and (unit := BYTES.get(found[2].upper())):
        return int(float(found[1]) * unit)
    raise ValueError(f'wants a size such as "512 MiB" or a number of bytes, not {_shown(value)}')


def parse_seconds(value: object) -> float:
    """``"7d"``, ``"24h"``, ``"1h 30m"`` or a number of seconds. Raises ValueError that says what is wanted."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    if isinstance(value, str) and value.strip() and not _PART.sub("", value).strip():
        units = [(float(number), SECONDS.get(unit)) for number, unit in _PART.findall(value)]
        if all(unit is not None for _, unit in units):
            return sum(number * (unit or 0.0) for number, unit in units)
    raise ValueError(f'wants a time such as "24h", "7d" or a number of seconds, not {_shown(value)}')


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def show_bytes(size: float) -> str:
    """``1.5 MiB``"""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size == int(size) else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def show_seconds(seconds: float) -> str:
    """``45 s``, ``4 min``, ``2.5 h``, ``7 d``; the largest unit that leaves at least two of it, or one."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.1f}".removesuffix(".0") + " s"


def parse_moment(text: str, *, now: datetime) -> datetime:
    """``2026-05-01``, ``2026-05-01T12:00Z`` or how long ago (``7d``); without a zone it is local time. In UTC.

    Raises ValueError that says what is wanted.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        pass  # not a date: how long ago, then
    try:
        return now - timedelta(seconds=parse_seconds(text))
    except (ValueError, OverflowError) as error:
        raise ValueError(f'"{text}" is no time: write 2026-05-01, 2026-05-01T12:00Z or how long ago, 7d') from error


def parse_speed(text: str) -> float | None:
    """``1x``, ``10``, ``0.5x``: how many times faster than it happened; None for ``max``. Raises ValueError."""
    if text == "max":
        return None
    if (found := re.fullmatch(r"(\d+(?:\.\d+)?)x?", text)) and float(found[1]) > 0:
        return float(found[1])
    raise ValueError(f'"{text}" is no speed: write 1x, 10x or max')
