"""One decoder for every line with an envelope: the kind is found while the line is decoded, not before.

The two `type` keys of a line are the tags of unions of its shapes (`routes`). What does not fit (a bare line, an
unknown kind, a wrong type, broken JSON) raises, and is then read the long way, which can say what is wrong. Finding the
kind first, with a regular expression over the line's beginning, took 0.5 µs more a line, an eighth of all mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import msgspec

from forwarder import Event
from forwarder_codex import routes
from forwarder_codex.records import Line, Metadata, Time
from forwarder_codex.routes import Route
from forwarder_codex.state import State

Handle = Callable[[State, Line[Any]], Iterable[Event]]

HANDLES: dict[type, Handle] = {}
"""Who maps a line, by the type of its payload."""

_ITEM_HANDLES: dict[type, Handle] = {}


def _on_item(state: State, line: Line[Any]) -> Iterable[Event]:
    return _ITEM_HANDLES[type(line.payload.item)](state, line)


def _tagged(table: Mapping[str, Route[Any]], handles: dict[type, Handle]) -> list[type]:
    """A shape of its own for each kind of the table, so that its type tells the kind."""
    shapes: list[type] = []
    for kind, route in table.items():
        shape = msgspec.defstruct(kind, [], bases=(route.shape,), tag=kind, gc=False)
        handles[shape] = route.handle
        shapes.append(shape)
    return shapes


def _union(shapes: list[type]) -> Any:
    union, *others = cast("list[Any]", shapes)
    for shape in others:
        union |= shape
    return union


def _item_completed() -> type:
    item = _union(_tagged(routes.ITEMS, _ITEM_HANDLES))
    times: list[tuple[str, Any, Any]] = [("started_at_ms", int | None, None), ("completed_at_ms", int | None, None)]
    shape = msgspec.defstruct("item_completed", [("item", item), *times], tag="item_completed", gc=False)
    HANDLES[shape] = _on_item
    return shape


def _line(kind: str, payloads: list[type]) -> type:
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("timestamp", Time),
        ("payload", _union(payloads)),
        ("ordinal", int | None, None),
        ("metadata", Metadata | None, None),
    ]
    return msgspec.defstruct(f"line_{kind}", fields, tag=kind, gc=False)


def _lines() -> Any:
    """The union of all lines; `HANDLES` is filled on the way."""
    events = [*_tagged(routes.EVENTS, HANDLES), _item_completed()]
    lines = [_line("event_msg", events), _line("response_item", _tagged(routes.RESPONSE_ITEMS, HANDLES))]
    for kind, route in routes.RECORDS.items():
        HANDLES[route.shape] = route.handle
        lines.append(_line(kind, [route.shape]))
    return _union(lines)


LINE: msgspec.json.Decoder[Line[Any]] = msgspec.json.Decoder(_lines())
