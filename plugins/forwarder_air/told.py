"""What an event tells, field by field: what nobody asks for, or what is of another kind than expected, is left over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TypeVar, cast

import msgspec

LARGEST = float(1 << 53)  # JavaScript's numbers are exact up to here
LONGEST_NAME = 1_000  # characters; names of models, tools and folders have fewer
LONGEST_MS = 10 * 366 * 86_400_000.0  # what lasted longer than ten years is no duration
PLACES = Decimal("1e-9")  # of a currency; what JavaScript writes beyond that is the noise of binary fractions

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class Told:
    """Readers of fields by AIr's names. Each gives None where nothing is told, and where what is told is no such thing.

    Empty texts and null tell nothing.
    """

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields
        self._left = {name: value for name, value in fields.items() if value is not None}
        self._tables: dict[str, Told] = {}

    def skip(self, *names: str) -> None:
        """Leave out what is told elsewhere."""
        for name in names:
            self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        """What people and models wrote."""
        return self._taken(name, lambda value: value if isinstance(value, str) else None) or None

    def name(self, name: str) -> str | None:
        """A text that stays at every level of redaction, so it may not be long: what is longer is no name."""
        return self._taken(name, _name) or None

    def one_of(self, name: str, values: Mapping[str, T]) -> T | None:
        return self._taken(name, lambda value: values.get(value) if isinstance(value, str) else None)

    def flag(self, name: str) -> bool | None:
        return self._taken(name, lambda value: value if isinstance(value, bool) else None)

    def number(self, name: str) -> float | None:
        return self._taken(name, number)

    def count(self, name: str) -> int | None:
        """A whole number, 0 or more."""
        return self._taken(name, _count)

    def known_count(self, name: str) -> int | None:
        """The same where AIr's clients write 0 for what they do not know."""
        return self.count(name) or None

    def milliseconds(self, name: str) -> int | None:
        """A duration."""
        return self._taken(name, lambda value: None if _is_too_long(value) else _count(value))

    def money(self, name: str) -> Decimal | None:
        return self._taken(name, _money)

    def json(self, name: str) -> str | None:
        """Anything, as JSON."""
        return self._taken(name, lambda value: None if value is None else as_json(value))

    def counts(self, name: str) -> list[int] | None:
        return self._taken(name, lambda value: _list_of(value, _count))

    def names(self, name: str) -> list[str] | None:
        return self._taken(name, lambda value: _list_of(value, _name))

    def table(self, name: str) -> Told:
        """The fields of an object; none of what is no object. What they do not take is left over here."""
        value = self._fields.get(name)
        inner = self._tables.setdefault(name, Told(cast("dict[str, object]", value) if isinstance(value, dict) else {}))
        if isinstance(value, dict):
            self._left.pop(name, None)
        return inner

    def tables(self, name: str, read: Callable[[Told], T | None]) -> list[T] | None:
        """A list of objects of which each can be read and has nothing over."""
        return self._taken(name, lambda value: _list_of(value, lambda one: _whole(one, read)))

    def rest(self) -> dict[str, object]:
        """What was told and not taken."""
        inner = {name: rest for name, table in self._tables.items() if (rest := table.rest())}
        return self._left | inner

    def _taken(self, name: str, read: Callable[[object], T | None]) -> T | None:
        value = read(self._fields.get(name))
        if value is not None:
            self._left.pop(name, None)
        return value


def as_json(value: object) -> str:
    return _encode(value).decode()


def number(value: object) -> float | None:
    """None for what JavaScript could not have meant."""
    if isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300:
        return float(value)
    return None


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= LONGEST_NAME else None


def _count(value: object) -> int | None:
    found = number(value)
    return round(found) if found is not None and 0 <= found <= LARGEST else None


def _is_too_long(value: object) -> bool:
    found = number(value)
    return found is not None and found > LONGEST_MS


def _money(value: object) -> Decimal | None:
    found = number(value)
    try:
        return None if found is None else Decimal(repr(found)).quantize(PLACES).normalize() + 0
    except InvalidOperation:
        return None  # more digits than any sum of money has


def _list_of(value: object, read: Callable[[object], T | None]) -> list[T] | None:
    if not isinstance(value, list):
        return None
    found = [read(one) for one in cast("list[object]", value)]
    whole = [one for one in found if one is not None]
    return whole if len(whole) == len(found) else None


def _whole(value: object, read: Callable[[Told], T | None]) -> T | None:
    if not isinstance(value, dict):
        return None
    inner = Told(cast("dict[str, object]", value))
    found = read(inner)
    return None if inner.rest() else found
