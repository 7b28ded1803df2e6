"""Which file of the archive an event belongs to."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from glob import escape
from string import Formatter

import msgspec

from forwarder import Batch, ConfigError

PLACEHOLDERS = ("type", "date", "agent", "session", "project", "host")
Values = tuple[bytes, ...]  # of the placeholders that the template uses, in the order above
ANYTHING = rb'[^"\\]*'
# What stands in the first bytes of every encoded event, in this order: read without decoding the event.
VALUES = {"type": rb'([^"\\]+)', "date": rb"(\d{4}-\d\d-\d\d)", "agent": rb'([^"\\]+)'}
MAX_NAME_BYTES = 80  # of one value: several of them fit into the 255 bytes that file systems allow

_UNSAFE = re.compile(r"[^\w.@+-]")


class Place(msgspec.Struct):
    """The fields of an event that a path may be made of; everything else is skipped without being built."""

    type: str = ""
    time: str = ""
    agent: str = ""
    session_id: str = ""
    cwd: str = ""
    host: str = ""


_DECODER = msgspec.json.Decoder(Place)


class PathTemplate:
    """A path with placeholders. Raises `ConfigError` for one that it does not know."""

    def __init__(self, template: str) -> None:
        self._parts = _parse(os.path.expanduser(template))
        used = {field for _, field in self._parts}
        self._fields = tuple(field for field in PLACEHOLDERS if field in used)
        self._prefix = _prefix({field: VALUES[field] for field in self._fields}) if used <= {*VALUES, ""} else None

    @property
    def suffix(self) -> str:
        """What every path ends with, such as ``.jsonl``; empty where the template ends with a placeholder."""
        literal, field = self._parts[-1]
        return "" if field else os.path.splitext("x" + os.path.basename(literal))[1]

    def glob(self) -> str:
        """A pattern that matches every file which the template can name."""
        return "".join(escape(literal) + ("*" if field else "") for literal, field in self._parts)

    def group(self, batch: Batch) -> dict[str, Batch]:
        """The batch by path, each path's events in order; the batch itself where all belong to one file."""
        first = self._values(batch.lines[0])
        if self._prefix and all(map(_same_values(self._fields, first).match, batch.lines)):
            return {self._path(first): batch}
        by_values: dict[Values, list[bytes]] = {}
        for line in batch.lines:
            by_values.setdefault(self._values(line), []).append(line)
        by_path: dict[str, list[bytes]] = {}
        for values, lines in by_values.items():
            by_path.setdefault(self._path(values), []).extend(lines)
        return {path: Batch(tuple(lines)) for path, lines in by_path.items()}

    def _values(self, line: bytes) -> Values:
        match = self._prefix.match(line) if self._prefix else None
        return match.groups() if match else self._decoded(line)

    def _decoded(self, line: bytes) -> Values:
        place = _DECODER.decode(line)
        project = re.split(r"[/\\]", place.cwd.rstrip("/\\"))[-1]
        known = {"type": place.type, "date": place.time[:10], "agent": place.agent}
        known |= {"session": place.session_id, "project": project, "host": place.host}
        return tuple(known[field].encode() for field in self._fields)

    def _path(self, values: Values) -> str:
        names = {field: file_name(value.decode()) for field, value in zip(self._fields, values, strict=True)}
        return "".join(literal + names.get(field, "") for literal, field in self._parts)


@lru_cache(maxsize=4096)
def file_name(value: str) -> str:
    """`value` as a part of a file name: no separators, no leading dot, bounded; ``unknown`` where it is empty."""
    name = _UNSAFE.sub("_", value).lstrip(".")
    return name.encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "unknown"


def _prefix(values: Mapping[str, bytes]) -> re.Pattern[bytes]:
    """Matches the head of an encoded event (forwarder/pipeline/encoding.py): 39 bytes up to the end of its id, then
    type, time and agent, with `values` as the patterns of some of them."""
    kind, date, agent = (values.get(field, ANYTHING) for field in VALUES)
    return re.compile(
        rb'.{39}","type":"%b","time":"%b[^"\\]*",(?:"time_inferred":true,)?"agent":"%b"' % (kind, date, agent),
        re.DOTALL,
    )


@lru_cache(maxsize=64)
def _same_values(fields: tuple[str, ...], values: Values) -> re.Pattern[bytes]:
    """Matches the events that have these values: three times cheaper than taking each one apart."""
    return _prefix({field: re.escape(value) for field, value in zip(fields, values, strict=True)})


def _parse(template: str) -> list[tuple[str, str]]:
    if not os.path.basename(template) or "\0" in template:
        raise ConfigError(f"path must name a file, not {template!r}")
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(
            f"path: {error} in {template!r}; write {{{{ and }}}} for braces of the name itself"
        ) from error
    for _, field, spec, conversion in parts:
        if field is not None and (field not in PLACEHOLDERS or spec or conversion):
            near = get_close_matches(field, PLACEHOLDERS, n=1)
            hint = f"did you mean {{{near[0]}}}?" if near else f"known are {', '.join(PLACEHOLDERS)}"
            raise ConfigError(f"path: unknown placeholder {{{field}}}, {hint}")
    return [(literal, field or "") for literal, field, _, _ in parts]
