"""Which fields leave to a sink, told by the code that decides it: events with every field go through the real pipeline.

Each text of such an event is long and holds a secret, so what comes out at the other end shows what happened to it:
absent, scrubbed, cut or whole. There is no second list of fields that could be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec
from msgspec import structs

from forwarder.app.assembly import loosest, make_encoder, mapper_maker, transform_for
from forwarder.app.config import STDOUT, Settings, SinkSettings
from forwarder.app.suggest import did_you_mean
from forwarder.catalogue import EVENT_TYPES
from forwarder.clock import SystemClock
from forwarder.delivery import Selection
from forwarder.errors import ConfigError
from forwarder.events import Event, Session
from forwarder.pipeline.redaction import PREVIEW_CHARS, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.source import Record, Source

SECRET = "probe-secret-0123456789"
TEXT = f"{SECRET} {'and much more text ' * 8}"
_RULES = b'[[rules]]\nid = "probe"\nregex = "probe-secret-[0-9]{10}"\nkeywords = ["probe-secret"]\n'
_FILE = Path(f"/probe/{SECRET}.jsonl")

What = Literal["whole", "scrubbed", "scrubbed, cut", "absent"]
ANY_NAME = "*"  # stands for the names in a table that has no fields
NAME_WIDTH = 22  # a column for all types, but for those with a longer name
_CUT = f"scrubbed, cut to {PREVIEW_CHARS} characters"


class Field(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A field of the schema and what happens to it; `sent_as` where the sink has another name for it."""

    name: str
    what: What
    sent_as: str | None = None


class TypeOut(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of one type of event, those of every event included; `is_sent`: the filter of types lets it pass."""

    type: str
    is_sent: bool
    fields: list[Field]


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that may leave to a sink. Empty filters take everything."""

    sink: str
    use: str
    level: str
    scrubs: bool
    filters: dict[str, list[str]]
    rename: dict[str, str]
    types: list[TypeOut]


def examine(settings: Settings, name: str) -> Egress:
    """Raises `ConfigError` for a sink that the configuration does not have."""
    sink = settings.sinks.get(name)
    if sink is None and name == STDOUT:
        sink = settings.on_stdout(STDOUT)
        settings = replace(settings, sinks={**settings.sinks, STDOUT: sink})
    if sink is None:
        raise ConfigError(f'no sink "{name}" in the configuration{did_you_mean(name, settings.sinks)}')
    filters = {"types": sink.types, "agents": sink.agents, "projects": sink.projects}
    return Egress(
        sink=name,
        use=sink.use,
        level=sink.level.name.lower() if sink.level.name != "RAW" else "none",
        scrubs=sink.level.name != "RAW",
        filters={key: list(values) for key, values in filters.items() if values},
        rename=sink.rename,
        types=list(_types(settings, sink)),
    )


def _types(settings: Settings, sink: SinkSettings) -> Iterator[TypeOut]:
    """What every type of event looks like in full, and as the sink gets it."""
    redactor = Redactor(Rules.from_toml(_RULES, origin="built-in"), engine="re")
    encoder = make_encoder(settings, redactor)
    make_mapper = mapper_maker(settings, redactor, encoder, clock=SystemClock(), is_replay=True)
    transform = transform_for(sink, loosest(settings.sinks.values()), redactor)
    selection = Selection(types=sink.types)
    for kind in EVENT_TYPES:
        event = specimen(kind)
        mapped = make_mapper("probe", Specimens(event), _FILE).map([_record()])
        (line,) = mapped.lines
        sent = _flat(transform(line) if transform else line)
        fields = [_field(name, text, sent, sink.rename) for name, text in _in_full(event, _flat(line)).items()]
        yield TypeOut(type=str(kind.__struct_config__.tag), is_sent=selection.accepts(line), fields=fields)


def _field(name: str, text: object, sent: dict[str, object], rename: dict[str, str]) -> Field:
    outer, dot, inner = name.partition(".")
    sent_as = rename.get(outer, outer) + dot + inner
    return Field(name=name, what=_what(text, sent.get(sent_as)), sent_as=sent_as if sent_as != name else None)


def _what(full: object, sent: object) -> What:
    if sent is None:
        return "absent"
    if SECRET in str(sent) or SECRET not in str(full):
        return "whole"
    return "scrubbed, cut" if str(sent).endswith("…") else "scrubbed"


def _in_full(event: Event, line: dict[str, object]) -> dict[str, object]:
    """Every field on the wire, with the text that it had before anything was taken out.

    The order is that of the line; content that the journal does not even hold comes behind it.
    """
    own = _wire_fields(event, without=_OUTSIDE)
    session = {_SESSION.get(name, name): text for name, text in structs.asdict(event.session).items()}
    before = session | own | {"origin.file": _FILE.name}
    return {name: before.get(name, value) for name, value in line.items()} | own


def _wire_fields(struct: msgspec.Struct, *, without: tuple[str, ...] = ()) -> dict[str, object]:
    """The fields of a struct, those of an object in it as ``usage.input_tokens``."""
    fields: dict[str, object] = {}
    for one in structs.fields(type(struct)):
        if one.name in without:
            continue
        value = getattr(struct, one.name)
        if isinstance(value, msgspec.Struct):
            fields |= {f"{one.encode_name}.{name}": inner for name, inner in _wire_fields(value).items()}
        elif isinstance(value, dict):
            table = cast("dict[str, object]", value)
            fields |= {f"{one.encode_name}.{name}": inner for name, inner in table.items()}
        else:
            fields[one.encode_name] = value
    return fields


_OUTSIDE = ("key", "time", "session")
_SESSION = {"id": "session_id", "parent_id": "parent_session_id"}


def _flat(line: bytes) -> dict[str, object]:
    """The fields of a line, those of an object in it as ``origin.file``."""
    fields: dict[str, object] = {}
    for name, value in msgspec.json.decode(line, type=dict[str, Any]).items():
        inner = cast("dict[str, object]", value) if isinstance(value, dict) else None
        fields |= {name: value} if inner is None else {f"{name}.{key}": one for key, one in inner.items()}
    return fields


@dataclass(frozen=True)
class Specimens(Source[list[str]]):
    """A source whose only record tells of one event."""

    event: Event

    def patterns(self) -> list[str]:
        """No file is ever looked for."""
        return []

    def new_state(self, path: Path) -> list[str]:
        """Nothing is remembered."""
        return []

    def map(self, record: Record, state: list[str]) -> Iterator[Event]:
        """The event, as if the record had been read tolerantly."""
        record.lossy = True
        yield self.event


def _record() -> Record:
    return Record(b"{}", 0, 2, b"")


def specimen(kind: type[Event]) -> Event:
    """An event of this type in which every field has a value, and every text is `TEXT`."""
    session = Session(**{one.name: TEXT for one in structs.fields(Session)})
    values = {one.name: _value(one.type) for one in structs.fields(kind) if one.name not in _OUTSIDE}
    return kind(key=("probe",), time=datetime(2026, 1, 1, tzinfo=UTC), session=session, **values)


def _value(wanted: Any) -> Any:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return _value(arguments[0])
    if origin is Literal:
        return arguments[0]
    if origin in (Union, UnionType):
        return _value(next(one for one in arguments if one is not type(None)))
    if origin is list:
        return [_value(arguments[0])]
    if origin is dict:
        return {ANY_NAME: _value(arguments[1])}
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return wanted(**{one.name: _value(one.type) for one in structs.fields(wanted)})
    return _VALUES[wanted]


_VALUES: dict[Any, object] = {
    str: TEXT,
    int: 7,
    float: 1.5,
    bool: True,
    Decimal: Decimal("0.25"),
    datetime: datetime(2026, 1, 1, tzinfo=UTC),
}


def text_lines(egress: Egress) -> Iterator[str]:
    """The same for people: first what every event has, then what each type adds."""
    level = f'redaction "{egress.level}"' + ("" if egress.scrubs else ", secrets NOT scrubbed")
    yield f"sink {egress.sink} ({egress.use}): {level}"
    for name, values in egress.filters.items():
        yield f"takes only {name}: {', '.join(values)}"
    for before, after in egress.rename.items():
        yield f"sends {before} as {after}"
    if not egress.types:
        return
    common = [one for one in egress.types[0].fields if all(one in other.fields for other in egress.types)]
    yield from ("", "every event", *_lines(common))
    for kind in egress.types:
        if not kind.is_sent:
            continue
        yield from ("", kind.type, *_lines([one for one in kind.fields if one not in common]))
    if unsent := [kind.type for kind in egress.types if not kind.is_sent]:
        yield from ("", f"never sent: {', '.join(unsent)}")


def _lines(fields: Sequence[Field]) -> Iterator[str]:
    width = max([NAME_WIDTH, *(len(one.name) for one in fields)])
    for one in fields:
        what = _CUT if one.what == "scrubbed, cut" else one.what
        yield f"  {one.name:<{width}} {what}" + (f", as {one.sent_as}" if one.sent_as else "")
