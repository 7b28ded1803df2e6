"""Sizes and ages as people write them: ``256MiB``, ``24h``."""

from __future__ import annotations

import re

from forwarder import ConfigError

BYTES = {
    "": 1,
    "b": 1,
    **{unit + suffix: 1000 ** (power + 1) for power, unit in enumerate("kmgt") for suffix in ("", "b")},
    **{f"{unit}ib": 1024 ** (power + 1) for power, unit in enumerate("kmgt")},
}
SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", re.ASCII)


def parse_size(value: str | int, *, key: str) -> int:
    """Bytes in `value`, a number or text such as ``256MiB``. Raises `ConfigError` that names `key`."""
    return int(_parse(value, BYTES, f'{key} must be a number of bytes or a size such as "256MiB", not {value!r}'))


def parse_age(value: str | float, *, key: str) -> float:
    """Seconds in `value`, a number or text such as ``24h``. Raises `ConfigError` that names `key`."""
    return _parse(value, SECONDS, f'{key} must be a number of seconds or a time such as "24h", not {value!r}')


def _parse(value: str | float, units: dict[str, int], complaint: str) -> float:
    match = _AMOUNT.fullmatch(str(value))
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ConfigError(complaint)
    return float(match[1]) * unit
