"""A plugin's options from the configuration: checked against the fields of its class and converted to their types."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from forwarder.app.suggest import did_you_mean
from forwarder.app.table import described
from forwarder.app.units import parse_bytes, parse_seconds
from forwarder.errors import ConfigError
from forwarder.sink import Secret

COMMAND_SECONDS = 30.0  # a password manager may ask the user; the start may not hang for ever
REFERENCES = {"env", "file", "command"}

RunCommand = Callable[[Sequence[str]], str]


class Option(NamedTuple):
    """One option of a plugin's class. `default` is `dataclasses.MISSING` where the user has to give it."""

    name: str
    type: Any
    default: object

    @property
    def is_required(self) -> bool:
        return self.default is MISSING

    @property
    def wanted(self) -> str:
        """The type in the user's words: ``text``, ``a whole number``, ``"none", "gzip" or "zstd"``."""
        return describe_type(self.type)


@dataclass(frozen=True)
class Reading:
    """How options are read: `place` begins every complaint; `run_command` gives the output of a secret's command."""

    place: str
    run_command: RunCommand


def options_of(plugin: type) -> list[Option]:
    """The options of a plugin's class, in its order: its dataclass fields, apart from those it keeps to itself."""
    types = get_type_hints(plugin)
    return [
        Option(one.name, types[one.name], one.default_factory() if one.default_factory is not MISSING else one.default)
        for one in fields(plugin)
        if one.init
    ]


def convert_options(plugin: type, given: Mapping[str, object], reading: Reading) -> dict[str, Any]:
    """The given options in the types of the plugin's fields. Raises `ConfigError` naming the place and the option."""
    known = {one.name: one for one in options_of(plugin)}
    for name in given:
        if name not in known:
            raise ConfigError(f'{reading.place}: unknown option "{name}"{did_you_mean(name, known)}')
    for name, option in known.items():
        if option.is_required and name not in given:
            raise ConfigError(f'{reading.place}: "{name}" is missing: {option.wanted}')
    return {name: _convert(known[name], value, reading) for name, value in given.items()}


def _convert(option: Option, value: object, reading: Reading) -> object:
    try:
        return _typed(_with_unit(option, _resolved(option.type, value, reading)), option.type)
    except msgspec.ValidationError as error:
        inside = re.search(r" - at `\$(.+)`", str(error))
        where = f" (at {inside[1]})" if inside else f", not {_shown(option, value)}"
        raise ConfigError(f"{reading.place}: {option.name} wants {option.wanted}{where}") from error
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{reading.place}: {option.name} {error}") from error


def _shown(option: Option, value: object) -> str:
    """What was given: its type, since it may be a secret in the wrong place; itself where only a few words fit."""
    is_choice = any(get_origin(one) is Literal for one in _members(option.type))
    return f'"{value}"' if is_choice and isinstance(value, str) else described(value)


class _Given(str):
    """Text from the environment or a file, which may stand for a number: TOML's own text may not."""


def _typed(value: object, wanted: Any) -> object:
    """The value in the wanted type. Secrets are our own to place: msgspec takes no class of ours in a union."""
    members = [one for one in _members(wanted) if one is not type(None)]
    if isinstance(value, Secret) and Secret in members:
        return value
    if Secret in members and str not in members and isinstance(value, str):
        return Secret(str(value))
    tables = [one for one in members if get_origin(one) is dict]
    if tables and isinstance(value, dict):
        inner = get_args(tables[0])[1]
        return {key: _typed(one, inner) for key, one in cast("dict[str, object]", value).items()}
    if Secret in members:
        members.remove(Secret)
        wanted = Union[tuple(members)] if members else None  # noqa: UP007 - the members are only known here
    if isinstance(value, _Given):
        return msgspec.convert(str(value), wanted, strict=False, dec_hook=_foreign)
    return msgspec.convert(value, wanted, dec_hook=_foreign)


def _foreign(wanted: type, value: object) -> object:
    """Types that msgspec leaves to us."""
    if issubclass(wanted, Path) and isinstance(value, str):
        return Path(value).expanduser()
    raise msgspec.ValidationError(f"Expected `{wanted.__name__}`")


def _with_unit(option: Option, value: object) -> object:
    """A size or a time in words, where the option's name ends in its unit and its type is a number."""
    members = set(_members(option.type))
    if isinstance(value, str) and str not in members and Secret not in members:
        if option.name.endswith("_bytes") and int in members:
            return parse_bytes(value)
        if option.name.endswith("_seconds") and members & {int, float}:
            seconds = parse_seconds(value)
            return seconds if float in members else round(seconds)
    return value


def _members(wanted: Any) -> Iterator[Any]:
    if get_origin(wanted) in (Union, UnionType):
        for one in get_args(wanted):
            yield from _members(one)
    else:
        yield wanted


def _resolved(wanted: Any, value: object, reading: Reading) -> object:
    """The value with ``{ env = … }``, ``{ file = … }`` and ``{ command = … }`` in it looked up."""
    members = list(_members(wanted))
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        tables = [one for one in members if get_origin(one) is dict or one is dict]
        if not tables and len(items) == 1 and items.keys() <= REFERENCES:
            found = _look_up(*next(iter(items.items())), is_secret=Secret in members, reading=reading)
            return Secret(found) if Secret in members else _Given(found)
        inner = (get_args(tables[0]) or (str, Any))[1] if tables else Any
        return {key: _resolved(inner, one, reading) for key, one in items.items()}
    if isinstance(value, list):
        inner = next((get_args(one)[0] for one in members if get_origin(one) in (list, tuple, set, frozenset)), Any)
        return [_resolved(inner, one, reading) for one in cast("list[object]", value)]
    return value


def _look_up(kind: str, at: object, *, is_secret: bool, reading: Reading) -> str:
    match kind, at:
        case "env", str():
            if not (value := os.environ.get(at)):
                raise ValueError(f"comes from the environment variable {at}, which is not set")
            return value
        case "file", str() if is_secret:
            try:
                return Path(at).expanduser().read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"comes from the file {at}, which cannot be read: {error}") from error
        case "command", list() if is_secret and (words := _words(cast("list[object]", at))):
            return reading.run_command(words).strip()
        case "env", _:
            raise ValueError('wants the name of a variable: { env = "NAME" }')
        case _, _ if not is_secret:
            raise ValueError(f"is no secret: only {{ env = … }} can stand for it, not {{ {kind} = … }}")
        case _:
            raise ValueError('wants { file = "PATH" } or { command = ["PROGRAM", "ARGUMENT"] }')


def _words(items: list[object]) -> list[str]:
    """The items if all of them are text, else nothing."""
    words = [item for item in items if isinstance(item, str)]
    return words if len(words) == len(items) else []


def run_command(words: Sequence[str]) -> str:
    """The output of a secret's command. Raises ValueError, which quotes no output: that may be half of the secret."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise ValueError(f"comes from the command {words[0]}, which is not installed") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"comes from the command {words[0]}, which failed: {type(error).__name__}") from error
    if done.returncode:
        raise ValueError(f"comes from the command {words[0]}, which ended with status {done.returncode}")
    return done.stdout.decode("utf-8", "replace")


def do_not_run(words: Sequence[str]) -> str:
    """Stands in for a command's output where nothing may be run."""
    return f"({words[0]} was not run)"


_NAMES: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    Secret: "a secret: text, { env = … }, { file = … } or { command = […] }",
    Any: "any value",
}


def describe_type(wanted: Any) -> str:
    """A type in the user's words."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if wanted in _NAMES:
        return _NAMES[wanted]
    if origin is Literal:
        return _either([f'"{one}"' if isinstance(one, str) else str(one) for one in arguments])
    if origin in (Union, UnionType):
        return _either([describe_type(one) for one in arguments if one is not type(None)])
    if origin is dict or wanted is dict:
        return f"a table of {describe_type((arguments or (str, Any))[1])}"
    if origin in (list, tuple, set, frozenset):
        return f"a list of {describe_type(arguments[0])}"
    return getattr(wanted, "__name__", str(wanted))


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def environment_defaults(plugin: type, given: Mapping[str, object]) -> dict[str, object]:
    """Options that are not given but that the agent itself would take from its environment, as references to it."""
    named: dict[str, str] = getattr(plugin, "environment", {})
    return {
        option: {"env": variable}
        for option, variable in named.items()
        if option not in given and os.environ.get(variable)
    }
