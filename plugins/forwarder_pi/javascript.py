"""JSON and numbers as JavaScript reads and writes them, to the byte.

A value is None, bool, int, float, str, list or dict; every number means a double, as JavaScript has no others. A key
that is absent is `MISSING`, JavaScript's `undefined`: never part of a value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NoReturn, TypeGuard, cast


class _Missing(Enum):
    MISSING = "undefined"


MISSING: Final = _Missing.MISSING

_SPACES = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
SPACES = _SPACES + "\u2028\u2029\u202f\u205f\u3000\ufeff"  # what `trim` takes off; Python's `strip` differs

_DECIMAL = re.compile(r"[+-]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LAST_INDEX = 2**32 - 2
_EXACT = 2**53


def parse(text: str) -> Any:
    """`JSON.parse`. Raises `ValueError` or `RecursionError`: no NaN, no BOM."""
    return json.loads(text, parse_int=lambda digits: plain(float(digits)), parse_constant=_refuse)


def plain(value: float) -> int | float:
    """The same number as an int where it is a whole one that a double holds exactly."""
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def is_number(value: object) -> TypeGuard[int | float]:
    """`typeof value === "number"`, which `True` is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def member(value: object, name: str) -> Any:
    """`value?.name` for the names of ours, which only objects have."""
    return cast("dict[str, Any]", value).get(name, MISSING) if isinstance(value, dict) else MISSING


def is_truthy(value: object) -> bool:
    """Empty lists and objects are true here."""
    return isinstance(value, list | dict) or (value is not MISSING and bool(value))


def number(value: object) -> float:
    """`Number(value)`; NaN for what is none."""
    match value:
        case None:
            return 0.0
        case bool() | int() | float():
            return float(value)
        case str():
            return _number_in(value.strip(SPACES))
        case list():
            return number(text(cast("list[object]", value)))
        case _:
            return math.nan


def text(value: object) -> str:
    """`String(value)`."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number_text(value)
        case list():
            items = cast("list[object]", value)
            return ",".join("" if item is None or item is MISSING else text(item) for item in items)
        case None:
            return "null"
        case _:
            return "undefined" if value is MISSING else "[object Object]"


def number_text(value: float) -> str:
    """The shortest digits that mean this double, with an exponent from 1e21 up and below 1e-6."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    shown = "".join(map(str, digits))
    point = len(shown) + int(exponent)  # the decimal point stands behind so many digits
    begin = "-" if sign else ""
    if len(shown) <= point <= 21:
        return begin + shown + "0" * (point - len(shown))
    if 0 < point <= 21:
        return f"{begin}{shown[:point]}.{shown[point:]}"
    if -6 < point <= 0:
        return f"{begin}0.{'0' * -point}{shown}"
    fraction = f".{shown[1:]}" if len(shown) > 1 else ""
    return f"{begin}{shown[0]}{fraction}e{point - 1:+d}"


def stringify(value: object, *, indent: str = "") -> str:
    """`JSON.stringify`: keys that look like array indexes first, lone surrogates escaped, other text raw."""
    return _written(value, indent, "\n")


def _written(value: object, indent: str, line: str) -> str:
    match value:
        case str():
            return _quoted(value)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number_text(value) if math.isfinite(value) else "null"
        case list():
            items = cast("list[object]", value)
            return _enclosed("[]", [_written(item, indent, line + indent) for item in items], indent, line)
        case dict():
            colon = ": " if indent else ":"
            members = [
                f"{_quoted(key)}{colon}{_written(item, indent, line + indent)}"
                for key, item in _in_order(cast("dict[str, object]", value))
            ]
            return _enclosed("{}", members, indent, line)
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _enclosed(brackets: str, parts: Sequence[str], indent: str, line: str) -> str:
    if not parts or not indent:
        return brackets[0] + ",".join(parts) + brackets[1]
    return brackets[0] + line + indent + f",{line}{indent}".join(parts) + line + brackets[1]


def _in_order(members: Mapping[str, object]) -> list[tuple[str, object]]:
    indexes = [key for key in members if _INDEX.fullmatch(key) and int(key) <= _LAST_INDEX]
    if not indexes:
        return list(members.items())
    first = sorted(indexes, key=int)
    others = [key for key in members if key not in set(indexes)]
    return [(key, members[key]) for key in first + others]


def _quoted(value: str) -> str:
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _number_in(trimmed: str) -> float:
    if not trimmed:
        return 0.0
    if _PREFIXED.fullmatch(trimmed):
        try:
            return float(int(trimmed, 0))
        except OverflowError:
            return math.inf
    return float(trimmed) if _DECIMAL.fullmatch(trimmed) else math.nan


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
