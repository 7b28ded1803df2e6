"""Events into their wire form: one flat JSON object, a line of UTF-8, as EVENTS.md defines it.

This is where an event gets its id and envelope, and where its text is scrubbed and cut: what leaves this module may be
stored and sent. Lines begin ``{"id":"<32 hex>","type":"…","time":"…","agent":"…"`` in this order, so that later steps
find these by position.
"""

from __future__ import annotations

import math
from binascii import hexlify
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from typing import NamedTuple, Protocol, cast

import msgspec
from msgspec import UNSET
from msgspec.structs import asdict, replace

from forwarder.errors import BadRecord
from forwarder.events import CoveredUsage, Event, SecretFound, Session, TokenUsage
from forwarder.journal import fact
from forwarder.pipeline.fields import (
    SESSION_NAMES,
    content_fields,
    fraction_fields,
    name_fields,
    nested_fields,
    with_names,
)
from forwarder.pipeline.redaction import LONGEST_NAME, Level, Redactor, Taken
from forwarder.source import well_formed

_to_json = msgspec.json.Encoder(decimal_format="number").encode
_WITHOUT_ENVELOPE: dict[str, object] = {"key": UNSET, "time": UNSET, "session": UNSET}
_WIRE_NAMES = {"id": "session_id", "parent_id": "parent_session_id"}
_MAX_NAMES = 4096  # free texts known to hold no secret: models, tools and windows come again and again
_MAX_SESSIONS = 1024  # envelopes kept encoded; a stream uses one or two at a time
_MAX_SESSION_BYTES = 4096  # of an envelope that is kept: paths are shorter, and a thousand must not fill the memory


class Prices(Protocol):
    """Where costs come from when the agent does not state them."""

    def cost(self, usage: TokenUsage) -> Decimal | None:
        """USD with at most nine places, None when unknown."""
        ...


class Encoder:
    """Encodes the events of one run. `host` is this machine's name; `level` what the least strict sink needs.

    With a `key` it makes fingerprints of the secrets that it takes out (`secrets`).
    """

    def __init__(
        self, *, host: str, level: Level, redactor: Redactor, prices: Prices | None, key: bytes | None = None
    ) -> None:
        self._key = key
        self._secrets: dict[tuple[str, str], str] = {}
        self.host = host
        self._level = level
        self._redactor = redactor
        self._prices = prices
        self._sessions: dict[Session, _Envelope] = {}
        self._plans: dict[type[Event], _Plan] = {}
        self._clean_names: set[str] = set()
        self._time: datetime | None = None
        self._timestamp = b""

    def encode(self, event: Event, origin: bytes) -> tuple[bytes, bytes]:
        """The event's line, and the fact that it tells (see `journal.seen`). `origin` is how the line ends.

        The line is empty where only the fact is to be remembered. Raises `BadRecord` for an event that cannot be sent.
        """
        try:
            return self._encode(event, origin)
        except UnicodeEncodeError:  # a lone surrogate that a source got from elsewhere than `Record.decode`
            return self._encode(_mended(event), origin)

    def _encode(self, event: Event, origin: bytes) -> tuple[bytes, bytes]:
        self._secrets.clear()
        plan = self._plans.get(type(event)) or self._plan(type(event))
        key, session = event.key, event.session
        digest = blake2b(_to_json((session.namespace or session.agent, plan.tag, *key)), digest_size=16).digest()
        if plan.is_covered:
            return b"", fact(key, digest)
        for name in plan.fractions:
            _check_numbers(name, getattr(event, name))
        changes = self._cleaned(event, plan)
        if plan.is_usage:
            changes |= self._priced(event)
        envelope = self._sessions.get(session) or self._session(session)
        if envelope.secrets:
            for found, field in envelope.secrets:
                self._secrets.setdefault(found, field)
        if event.time is not self._time:  # the events of one record share their time
            self._time, self._timestamp = event.time, _timestamp(event.time)
        parts = (
            b'{"id":"',
            hexlify(digest),
            plan.type_field,
            self._timestamp,
            envelope.encoded,
            _to_json(replace(event, **changes))[plan.type_end : -1],
            origin,
        )
        return b"".join(parts), fact(key, digest)

    def _cleaned(self, event: Event, plan: _Plan) -> dict[str, object]:
        """The fields that may not go out as they are, as they may; the envelope goes, it has a form of its own."""
        cleaned = _WITHOUT_ENVELOPE.copy()
        for name in plan.contents:
            text = getattr(event, name)
            if text is not None:
                taken: list[Taken] = []
                kept = self._redactor.content(text, self._level, taken)
                cleaned[name] = UNSET if kept is None else kept
                if taken:
                    self._note(name, taken)
        for name in plan.names:
            text = getattr(event, name)
            if text is not None and text not in self._clean_names:
                cleaned[name] = self._name(text, name)
        for name in plan.nested:
            value = getattr(event, name)
            if value is not None:
                plain = msgspec.to_builtins(value, builtin_types=(Decimal,))
                cleaned[name] = with_names(plain, partial(self._name, field=name))
        return cleaned

    def secrets(self, event: Event) -> list[SecretFound]:
        """What was taken out of the event that was encoded last, as events of its session.

        Their ids follow from the event's: one made from the secret would let others try values, and a fingerprint's key
        is another on every machine.
        """
        if not self._secrets:
            return []
        return [
            SecretFound(
                key=(*event.key, "secret", number),
                time=event.time,
                time_inferred=event.time_inferred,
                session=event.session,
                turn=event.turn,
                rule=rule,
                fingerprint=fingerprint,
                field=field,
            )
            for number, ((rule, fingerprint), field) in enumerate(self._secrets.items())
        ]

    def _note(self, field: str, taken: list[Taken]) -> None:
        if self._key is not None:
            for rule, value in taken:
                fingerprint = blake2b(value, digest_size=8, key=self._key).hexdigest()
                self._secrets.setdefault((rule, fingerprint), field)

    def _name(self, text: str, field: str) -> str:
        clean = text if self._level is Level.RAW else self._redactor.name(text)
        if clean == text and len(text) > LONGEST_NAME:
            return clean  # too long to be kept
        if clean == text:
            if len(self._clean_names) >= _MAX_NAMES:
                self._clean_names.clear()
            self._clean_names.add(text)
        else:
            self._note(field, self._redactor.taken_from(text))
        return clean

    def _priced(self, event: Event) -> dict[str, object]:
        if self._prices and isinstance(event, TokenUsage) and event.cost_usd is None:
            cost = self._prices.cost(event)
            if cost is not None:
                return {"cost_usd": cost.normalize(), "cost_source": "table"}
        return {}

    def _session(self, session: Session) -> _Envelope:
        of_event, self._secrets = self._secrets, {}
        cleaned = {
            name: self._name(text, name) for name in SESSION_NAMES if (text := getattr(session, name)) is not None
        }
        of_session, self._secrets = self._secrets, of_event
        fields = asdict(replace(session, **cleaned, namespace=None))
        wire = {_WIRE_NAMES.get(name, name): fields[name] for name in fields} | {"host": self.host}
        encoded = b'",' + _to_json({name: value for name, value in wire.items() if value is not None})[1:-1]
        envelope = _Envelope(encoded, tuple(of_session.items()))
        if len(self._sessions) >= _MAX_SESSIONS:
            self._sessions.clear()
        if len(encoded) <= _MAX_SESSION_BYTES:
            self._sessions[session] = envelope
        return envelope

    def _plan(self, kind: type[Event]) -> _Plan:
        tag = str(kind.__struct_config__.tag)
        type_field = b'"type":%b' % _to_json(tag)
        self._plans[kind] = plan = _Plan(
            tag=tag,
            type_field=b'",%b,"time":"' % type_field,
            type_end=len(type_field) + 1,
            contents=content_fields(kind),
            names=name_fields(kind),
            nested=nested_fields(kind),
            fractions=fraction_fields(kind),
            is_usage=issubclass(kind, TokenUsage),
            is_covered=issubclass(kind, CoveredUsage),
        )
        return plan


class _Envelope(NamedTuple):
    """A session as all of its events tell it, and the secrets that were taken out of it: rule, fingerprint, field."""

    encoded: bytes
    secrets: tuple[tuple[tuple[str, str], str], ...]


class _Plan(NamedTuple):
    """What is known of a type of event before the first one comes."""

    tag: str
    type_field: bytes
    type_end: int  # where, in the encoded struct, the type field ends
    contents: tuple[str, ...]
    names: tuple[str, ...]
    nested: tuple[str, ...]
    fractions: tuple[str, ...]
    is_usage: bool
    is_covered: bool


def origin_maker(*, source: str, file: str, is_replay: bool) -> Callable[[int, bool], bytes]:
    """A function from a record's offset, and whether it was read tolerantly, to the end of its events' lines."""
    prefix = b',"origin":{"source":%b,"file":%b,"offset":' % (_to_json(source), _to_json(well_formed(file)))
    suffix = b',"replay":true' if is_replay else b""

    def origin(offset: int, lossy: bool) -> bytes:
        return b"%b%d%b%b}}" % (prefix, offset, suffix, b',"lossy":true' if lossy else b"")

    return origin


def _check_numbers(name: str, value: object) -> None:
    """JSON has no word for what is no number: no sink could read on."""
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise BadRecord(f"{name}: {value} is no number")
    elif isinstance(value, msgspec.Struct):
        for inner in value.__struct_fields__:
            _check_numbers(f"{name}.{inner}", getattr(value, inner))
    elif isinstance(value, list):
        for one in cast("list[object]", value):
            _check_numbers(name, one)


def _mended(event: Event) -> Event:
    """The event with text that UTF-8 can carry, also in its key and session."""
    key = tuple(well_formed(part) if isinstance(part, str) else part for part in event.key)
    return replace(
        event, **_mended_texts(event), key=key, session=replace(event.session, **_mended_texts(event.session))
    )


def _mended_texts(struct: msgspec.Struct) -> dict[str, str]:
    texts = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return {name: well_formed(text) for name, text in texts.items() if isinstance(text, str)}


def _timestamp(time: datetime) -> bytes:
    """RFC 3339 in UTC with milliseconds; slicing what msgspec makes takes an eighth of the time of `isoformat`."""
    if time.tzinfo is not UTC:
        if time.tzinfo is None:
            raise BadRecord(f"time {time} has no time zone")
        time = time.astimezone(UTC)
    text = _to_json(time)
    return text[1:24] + b"Z" if time.microsecond else text[1:20] + b".000Z"


_EXACT: msgspec.json.Decoder[dict[str, object]] = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)


def renamed(line: bytes, names: Mapping[str, str]) -> bytes:
    """The event's line with other names for some of its top-level fields; numbers keep their digits."""
    return _to_json({names.get(name, name): value for name, value in _EXACT.decode(line).items()})
