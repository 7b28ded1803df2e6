"""One table of the configuration file, taken apart key by key, so that every complaint names file, table and key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, cast

from forwarder.app.suggest import did_you_mean
from forwarder.errors import ConfigError

T = TypeVar("T")

MISSING = object()
WORDS: dict[type, str] = {str: "text", bool: "true or false", int: "a whole number", dict: "a table", list: "a list"}


class Table:
    """`place` is how complaints begin: ``config.toml, [sinks.webhook]``. `folder` is what relative paths start from."""

    def __init__(self, values: Mapping[str, object], *, place: str, folder: Path) -> None:
        self.place = place
        self._values = dict(values)
        self._folder = folder
        self._known: set[str] = set()

    def take(self, key: str, parse: Callable[[object], T], default: T) -> T:
        """The value under `key`, or the default. `parse` raises ValueError with words that follow the key."""
        self._known.add(key)
        value = self._values.pop(key, MISSING)
        if value is MISSING:
            return default
        try:
            return parse(value)
        except ValueError as error:
            raise self.complaint(f"{key} {error}") from error

    def text(self, key: str, default: str) -> str:
        return self.take(key, _text, default)

    def texts(self, key: str) -> tuple[str, ...]:
        return self.take(key, texts, ())

    def flag(self, key: str, default: bool | None) -> bool | None:
        return self.take(key, lambda value: _exactly(bool, value), default)

    def count(self, key: str, default: int | None) -> int | None:
        return self.take(key, lambda value: _positive(_exactly(int, value)), default)

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        return self.take(key, lambda value: _one_of(choices, value), default)

    def path(self, key: str, default: Path) -> Path:
        return self.take(key, lambda value: self._path(_text(value)), default)

    def paths(self, key: str) -> tuple[Path, ...]:
        return tuple(map(self._path, self.texts(key)))

    def _path(self, text: str) -> Path:
        if "\0" in text:
            raise ValueError("has a NUL character, which no path can have")
        try:
            return self._folder / Path(text).expanduser()
        except RuntimeError as error:  # a user that the system does not know
            raise ValueError(f'names a home that does not exist: "{text}"') from error

    def pairs(self, key: str) -> dict[str, str]:
        """A table whose values are text."""
        return self.take(key, lambda value: {one: _text(text) for one, text in _table(value).items()}, {})

    def tables(self, key: str) -> tuple[dict[str, object], ...]:
        """An array of tables: ``[[key]]``."""
        return self.take(key, lambda value: tuple(map(_table, _list(value))), ())

    def table(self, key: str) -> Table:
        """The sub-table ``[key]``; empty when there is none."""
        return Table(self.take(key, _table, {}), place=f"{self.place}, [{key}]", folder=self._folder)

    def named_tables(self, key: str) -> dict[str, Table]:
        """The tables ``[key.NAME]`` by their names, in the file's order."""
        found: dict[str, object] = self.take(key, _table, {})
        for name, values in found.items():
            if not isinstance(values, dict):
                raise self.complaint(f"{key}.{name} wants a table: write [{key}.{name}]")
        return {
            name: Table(_table(values), place=f"{self.place}, [{key}.{name}]", folder=self._folder)
            for name, values in found.items()
        }

    def rest(self) -> dict[str, object]:
        """What nobody took: a plugin's own options."""
        values, self._values = self._values, {}
        return values

    def finish(self) -> None:
        """Complain about the first key that nobody knows."""
        for key in self._values:
            raise self.complaint(f'unknown option "{key}"{did_you_mean(key, self._known)}')

    def complaint(self, words: str) -> ConfigError:
        return ConfigError(f"{self.place}: {words}")


def _exactly(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise ValueError(f"wants {WORDS[kind]}, not {described(value)}")
    return value


def _text(value: object) -> str:
    return _exactly(str, value)


def _list(value: object) -> list[object]:
    return cast("list[object]", _exactly(list, value))


def _table(value: object) -> dict[str, object]:
    return cast("dict[str, object]", _exactly(dict, value))


def texts(value: object) -> tuple[str, ...]:
    """A list of text."""
    return tuple(map(_text, _list(value)))


def _positive(value: int) -> int:
    if value < 1:
        raise ValueError(f"wants at least 1, not {value}")
    return value


def _one_of(choices: tuple[str, ...], value: object) -> str:
    text = _text(value)
    if text not in choices:
        raise ValueError(f'is "{text}"{did_you_mean(text, choices)}')
    return text


def described(value: object) -> str:
    """A value's type in the words of TOML; never the value, which may be a secret in the wrong place."""
    if isinstance(value, float):
        return "a decimal number"
    return WORDS.get(type(value), type(value).__name__)
