"""Runs a source's `map`: one bad record costs one record, state and offset stay in step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from forwarder.errors import BadRecord, RecordError, RecordTooLong, UnknownRecord
from forwarder.events import Event, Gap, Key, SecretFound, Session, UnknownRecordSeen
from forwarder.journal import DeadLetter, SessionRow
from forwarder.pipeline.encoding import Encoder, origin_maker
from forwarder.pipeline.redaction import LONGEST_HEAD, Level, Redactor
from forwarder.pipeline.remembering import without_secrets
from forwarder.pipeline.sightings import Sightings
from forwarder.source import Expectation, Record, Source

HEAD_KEPT = 1024  # characters of a bad record that the dead letter keeps; the file still has all of it
KIND_KEPT = 200  # characters of an unknown kind
KINDS_KEPT = 64  # unknown kinds remembered per stream; more is not drift but garbage

SECRETS_KEPT = 64  # remembered per stream as told; each is saved with every checkpoint

_UNSAVABLE = (OverflowError, RecursionError, ValueError)  # MessagePack's numbers have 64 bits, JSON's any size

_log = structlog.get_logger(__name__)


@dataclass
class Mapped:
    """What some records of one stream became: lines and facts in step, and what they tell of their sessions."""

    lines: list[bytes] = field(default_factory=list[bytes])
    facts: list[bytes] = field(default_factory=list[bytes])
    dead_letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    sessions: list[SessionRow] = field(default_factory=list[SessionRow])


class _Saved(msgspec.Struct):
    """The state of a stream's mapper as the journal keeps it."""

    state: Any
    unknown: dict[str, int] = {}
    session: Session | None = None
    told: dict[str, bool] = {}


class Mapper:
    """Maps the records of one stream, whose file is at `path`, in order.

    `now` is the wall clock, for records that tell no time at all.
    """

    def __init__(
        self,
        source: Source[Any],
        *,
        name: str,
        path: Path,
        encoder: Encoder,
        redactor: Redactor,
        level: Level,
        now: Callable[[], datetime],
        is_replay: bool = False,
        wanted: Callable[[Event], bool] | None = None,
    ) -> None:
        self._source = source
        self._name = name
        self.path = path
        self._encoder = encoder
        self._redactor = redactor
        self._level = level
        self._now = now
        self._wanted = wanted
        self._fate = "left out" if is_replay else "kept in the dead letters"
        self._origin = origin_maker(source=name, file=self._name_of(path.name), is_replay=is_replay)
        state: object = source.new_state(path)
        self._saved = _Saved(state)
        self._state_type = type(state)

    def _name_of(self, text: str) -> str:
        """A name as the journal may hold it."""
        return text if self._level is Level.RAW else self._redactor.name(text)

    def state(self) -> bytes:
        """What `restore` needs to go on behind the last record mapped. It is to be saved: it holds no secrets."""
        state = self._snapshot()
        return state if self._level is Level.RAW else without_secrets(state, self._redactor.secretless)

    def _snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self._saved)

    def restore(self, state: bytes) -> bool:
        """Go on from a saved state. False if it cannot be read (another release wrote it): then map from offset 0."""
        try:
            saved = msgspec.msgpack.decode(state, type=_Saved)
            saved.state = msgspec.convert(saved.state, self._state_type)
        except (msgspec.MsgspecError, ValueError):
            return False
        self._saved = saved
        return True

    def expects(self) -> Expectation | None:
        """What the source expects of the file behind the last record mapped."""
        return self._source.expects(self._saved.state)

    def map(self, records: Sequence[Record], *, skip_until: int = 0) -> Mapped:
        """The events of the records; those of records that begin before `skip_until` only change the state."""
        before = self._snapshot()
        try:
            mapped = self._map_all(records, before, skip_until)
            self._snapshot()
        except _UNSAVABLE:
            self.restore(before)
            return self._map_each(records, skip_until)
        return mapped

    def _map_each(self, records: Sequence[Record], skip_until: int) -> Mapped:
        """The slow way, for when one of the records leaves a state that cannot be saved: it costs that record."""
        mapped = Mapped()
        for record in records:
            before = self._snapshot()
            try:
                one = self._map_all([record], before, skip_until)
                self._snapshot()
            except _UNSAVABLE as error:
                self.restore(before)
                one = Mapped()
                if record.offset >= skip_until:
                    self._explain(record, BadRecord(f"what later records need of it cannot be saved: {error}"), one)
            for name in Mapped.__dataclass_fields__:
                getattr(mapped, name).extend(getattr(one, name))
        return mapped

    def _map_all(self, records: Sequence[Record], before: bytes, skip_until: int) -> Mapped:
        mapped, start = Mapped(), 0
        sightings = Sightings()
        for position, record in enumerate(records):
            is_wanted = record.offset >= skip_until
            try:
                if is_wanted:
                    self._map_one(record, mapped, sightings)
                else:
                    self._map_one(record, Mapped(), Sightings())
            except Exception as error:  # noqa: BLE001 - one of three such edges: a bug in a source costs one record
                self._put_back(before, records[start:position])
                if is_wanted:
                    self._explain(record, error, mapped)
                start, before = position + 1, self._snapshot()
        mapped.sessions += sightings.rows(self._name_of)
        return mapped

    def _map_one(self, record: Record, mapped: Mapped, sightings: Sightings) -> None:
        """Add the record's events; when one of them fails, none of them."""
        encoder, origin = self._encoder, b""
        encode, wanted = encoder.encode, self._wanted
        encoded: list[tuple[bytes, bytes]] = []
        events: list[Event] = []
        secrets: list[SecretFound] = []
        for event in self._source.map(record, self._saved.state):
            if wanted is not None and not wanted(event):
                continue
            origin = origin or self._origin(record.offset, record.lossy)
            encoded.append(encode(event, origin))
            secrets += encoder.secrets(event)
            events.append(event)
        if not events:
            return
        self._saved.session = events[-1].session
        if secrets:
            encoded += [encode(secret, origin) for secret in secrets if self._is_news(secret)]
        lines, facts = zip(*encoded, strict=True)
        mapped.lines += lines
        mapped.facts += facts
        for event in events:
            if type(event) is Gap:  # a loss that the source tells of, and nothing of a session
                self._warn(event)
            else:
                sightings.see(event)

    def _warn(self, gap: Gap) -> None:
        lost = "records are" if gap.count is None else f"{gap.count} more records are"
        _log.warning(f"{self._name}: {lost} lost ({gap.reason}), says {self.path}", limited=f"losses of {self._name}")

    def _is_news(self, secret: SecretFound) -> bool:
        """Whether this stream has not told of the secret in this session yet, and somebody wants to know."""
        told, known = f"{secret.session.id} {secret.rule} {secret.fingerprint}", self._saved.told
        if told in known:
            return False
        if len(known) >= SECRETS_KEPT:
            del known[next(iter(known))]
        known[told] = True
        return self._wanted is None or self._wanted(secret)

    def _put_back(self, state: bytes, records: Sequence[Record]) -> None:
        """Undo a record that failed halfway, by mapping those before it again: saving a state per record costs more."""
        told = self._saved.told  # only what was told of records that did not fail
        assert self.restore(state), "a state that was just saved can be read"
        self._saved.told = told
        for record in records:
            for event in self._source.map(record, self._saved.state):
                self._saved.session = event.session

    def _explain(self, record: Record, error: Exception, mapped: Mapped) -> None:
        match error:
            case UnknownRecord(kind=kind):
                self._count_unknown(record, kind, mapped)
            case RecordTooLong():
                self._add(Gap(reason="oversize", bytes=record.size, **self._envelope(record)), record, mapped)
            case _:
                mapped.dead_letters.append(self._dead_letter(record, error))

    def _count_unknown(self, record: Record, kind: str, mapped: Mapped) -> None:
        kind = kind[:KIND_KEPT] if self._level is Level.RAW else self._redactor.head(kind, KIND_KEPT)
        seen = self._saved.unknown
        if kind in seen:
            seen[kind] += 1
        elif len(seen) < KINDS_KEPT:
            seen[kind] = 1
            _log.warning(
                "unknown record type",
                limited=f"drift of {self._name}",
                source=self._name,
                type=kind,
                file=str(self.path),
                offset=record.offset,
            )
            self._add(UnknownRecordSeen(record_type=kind, count=1, **self._envelope(record)), record, mapped)

    def tell_gap(
        self,
        reason: Literal["truncated", "replaced", "unreadable"],
        size: int | None,
        *,
        key: Key,
        offset: int,
        mapped: Mapped,
    ) -> None:
        """Add the event of bytes that were in the file and that nobody has read; `size` is None if it is not known."""
        session = self._saved.session or Session(agent=self._name, id=self.path.stem)
        gap = Gap(reason=reason, bytes=size, key=key, time=self._now(), session=session, time_inferred=True)
        line, fact = self._encoder.encode(gap, self._origin(offset, False))
        mapped.lines.append(line)
        mapped.facts.append(fact)

    def _envelope(self, record: Record) -> dict[str, Any]:
        session = self._saved.session or Session(agent=self._name, id=self.path.stem)
        return {"key": record.key, "time": self._now(), "session": session, "time_inferred": True}

    def _add(self, event: Event, record: Record, mapped: Mapped) -> None:
        line, fact = self._encoder.encode(event, self._origin(record.offset, record.lossy))
        mapped.lines.append(line)
        mapped.facts.append(fact)

    def _dead_letter(self, record: Record, error: Exception) -> DeadLetter:
        reason = str(error) if isinstance(error, RecordError) else f"{type(error).__name__}: {error}"
        place = f"{self.path.name}, bytes {record.offset}-{record.offset + record.size}"
        _log.warning(
            f"{self._name}: {reason} at {place}; {self._fate}, replay the file after an update",
            limited=f"dead letters of {self._name}",
            file=str(self.path),
        )
        return DeadLetter(
            time=self._now().timestamp(),
            source=self._name,
            file=str(self.path),
            offset=record.offset,
            size=record.size,
            reason=self._redactor.scrub(reason),
            body=self._kept(record).encode(),
        )

    def _kept(self, record: Record) -> str:
        """The beginning of a bad record as the level allows it: cut behind the redactor, as everything is."""
        text = record.line[:LONGEST_HEAD].decode("utf-8", "replace")
        if self._level is Level.NONE:
            return self._redactor.head(text, HEAD_KEPT)
        return (self._redactor.content(text, self._level) or "")[:HEAD_KEPT]
