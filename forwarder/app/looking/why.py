"""Where an event came from and what became of it, as far as the journal and its notes tell. Only reads."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from forwarder.app.config import Settings, SinkSettings
from forwarder.app.looking.letters import event_id
from forwarder.app.looking.status import read_note, running_process
from forwarder.app.units import show_bytes
from forwarder.delivery import Selection, SenderStatus, list_dead_letters
from forwarder.errors import ConfigError, JournalDamaged
from forwarder.journal import StoredLetter, reading

SHOWN = 10  # of the events that an ambiguous beginning may mean
LONGEST_LINE = 64 << 20  # bytes: how far the end of a record is looked for
FACT_DIGITS = 24  # of an id's 32: as many a seen fact keeps (forwarder/journal/seen.py)

_HOLDS = "SELECT first, time, body FROM batches WHERE instr(body, CAST(? AS BLOB)) ORDER BY first"
_SEEN = """SELECT (SELECT count(*) FROM seen_lately WHERE hex(substr(fact, 5)) LIKE ?1)
                + (SELECT count(*) FROM seen WHERE hex(substr(fact, 5)) LIKE ?1)
                + (SELECT count(*) FROM seen_before WHERE hex(substr(fact, 5)) LIKE ?1)"""
_ACKED = "SELECT min(second) FROM acks WHERE sink = ? AND acked >= ?"

What = Literal["acknowledged", "pending", "filtered out", "rejected"]


class Fate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an event at one sink. `time` is when the sink acknowledged or rejected it, to the second.

    `why` are the filters that left it out, or the destination's own words.
    """

    sink: str
    what: What
    time: datetime | None = None
    why: str | None = None
    letter: int | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the record lies: `file` with its folder where the journal knows it; `size` in bytes while it is there."""

    source: str
    file: str
    offset: int
    size: int | None = None
    is_replay: bool = False


class Found(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event and its history; `number` is its place in the journal, `committed` when it got there.

    An event that is not in the journal was `is_seen` before (and dropped since), or never.
    """

    id: str
    is_in_journal: bool
    is_seen: bool
    type: str | None = None
    time: datetime | None = None
    agent: str | None = None
    session_id: str | None = None
    origin: Origin | None = None
    number: int | None = None
    committed: datetime | None = None
    sinks: list[Fate] = []


class _Wire(msgspec.Struct):
    """What is read of an event's line."""

    id: str
    type: str
    time: datetime
    agent: str
    session_id: str
    origin: _WireOrigin


class _WireOrigin(msgspec.Struct):
    source: str
    file: str
    offset: int
    replay: bool = False


class _Place(NamedTuple):
    number: int
    committed: float
    line: bytes


def explain(id: str, settings: Settings) -> Found:
    """Everything that is known. Raises `ConfigError` for what is no id or begins several ids, and `StateError`."""
    beginning = id.strip().lower()
    if not re.fullmatch("[0-9a-f]{4,32}", beginning):
        raise ConfigError(f'"{id}" is no id: 32 hex digits, or at least the first 4 of them')
    with reading(settings.state_dir) as connection:
        places = list(_places(connection, beginning))
        letters = [one for one in list_dead_letters(connection) if _is_about(one, beginning)]
        ids = sorted({_wire(one).id for one in places} | {event_id(one.letter.body) or "" for one in letters})
        if len(ids) > 1:
            listed = ", ".join(ids[:SHOWN]) + (" …" if len(ids) > SHOWN else "")
            raise ConfigError(f"{len(ids)} events begin with {beginning}: {listed}")
        if not places and not letters:
            return Found(id=beginning, is_in_journal=False, is_seen=_is_seen(connection, beginning))
        if not places:
            sinks = [_rejected(one) for one in letters]
            return Found(id=ids[0], is_in_journal=False, is_seen=True, sinks=sinks)
        return _found(connection, places[0], letters, settings)


def _places(connection: sqlite3.Connection, beginning: str) -> Iterator[_Place]:
    head = b'{"id":"%b' % beginning.encode()
    for first, time, body in connection.execute(_HOLDS, (head,)):
        for index, line in enumerate(body.split(b"\n")):
            if line.startswith(head):
                yield _Place(first + index, time, line)


def _is_about(stored: StoredLetter, beginning: str) -> bool:
    return stored.letter.sink is not None and (event_id(stored.letter.body) or "").startswith(beginning)


def _is_seen(connection: sqlite3.Connection, beginning: str) -> bool:
    return bool(connection.execute(_SEEN, (f"{beginning[:FACT_DIGITS]}%",)).fetchone()[0])


def _wire(place: _Place) -> _Wire:
    try:
        return msgspec.json.decode(place.line, type=_Wire)
    except (msgspec.MsgspecError, ValueError) as error:
        raise JournalDamaged(
            f"event {place.number} in the journal cannot be read: {error}; `forwarder journal verify` lists all of them"
        ) from error


def _found(connection: sqlite3.Connection, place: _Place, letters: list[StoredLetter], settings: Settings) -> Found:
    event = _wire(place)
    cursors: dict[str, int] = dict(connection.execute("SELECT sink, acked FROM cursors").fetchall())
    note = read_note(connection)
    senders = note.sinks if note is not None and running_process(connection) is not None else {}
    by_sink = {one.letter.sink: one for one in letters}
    fates: list[Fate] = []
    for name, sink in settings.sinks.items():
        if name in by_sink:
            fates.append(_rejected(by_sink[name]))
        elif left_out := _left_out(place.line, sink):
            fates.append(Fate(sink=name, what="filtered out", why=left_out))
        elif cursors.get(name, 0) >= place.number:
            (second,) = connection.execute(_ACKED, (name, place.number)).fetchone()
            time = datetime.fromtimestamp(second, UTC) if second is not None else None
            fates.append(Fate(sink=name, what="acknowledged", time=time))
        else:
            behind = place.number - cursors.get(name, 0)
            fates.append(Fate(sink=name, what="pending", why=_waiting(senders.get(name), behind)))
    return Found(
        id=event.id,
        is_in_journal=True,
        is_seen=True,
        type=event.type,
        time=event.time,
        agent=event.agent,
        session_id=event.session_id,
        origin=_origin(connection, event.origin),
        number=place.number,
        committed=datetime.fromtimestamp(place.committed, UTC),
        sinks=fates,
    )


def _rejected(stored: StoredLetter) -> Fate:
    letter = stored.letter
    again = "; to be tried again" if stored.is_asked else ""
    time = datetime.fromtimestamp(letter.time, UTC)
    return Fate(sink=letter.sink or "", what="rejected", time=time, why=letter.reason + again, letter=stored.id)


def _left_out(line: bytes, sink: SinkSettings) -> str | None:
    """The filters of the configuration that do not take the event."""
    filters = (
        ("types", sink.types, Selection(types=sink.types)),
        ("agents", sink.agents, Selection(agents=sink.agents)),
        ("projects", sink.projects, Selection(projects=sink.projects)),
    )
    against = [f"{name} {', '.join(values)}" for name, values, one in filters if values and not one.accepts(line)]
    return f"takes only {'; '.join(against)}" if against else None


def _waiting(sender: SenderStatus | None, behind: int) -> str:
    queue = "next in line" if behind == 1 else f"{behind - 1} events before it"
    if sender is None:
        return f"{queue}; the forwarder is not running"
    if sender.failing_since is None:
        return queue
    return f"{queue}; the sink fails since {_shown(sender.failing_since)}: {sender.last_error}"


def _origin(connection: sqlite3.Connection, origin: _WireOrigin) -> Origin:
    """The name in the event has no folder; the streams of its source know it, unless several have such a file."""
    rows = connection.execute("SELECT DISTINCT path FROM streams WHERE source = ?", (origin.source,))
    paths = [path for (path,) in rows if Path(path).name == origin.file]
    return Origin(
        source=origin.source,
        file=paths[0] if len(paths) == 1 else origin.file,
        offset=origin.offset,
        size=_size(Path(paths[0]), origin.offset) if len(paths) == 1 else None,
        is_replay=origin.replay,
    )


def _size(path: Path, offset: int) -> int | None:
    """Bytes of the line at the offset; None where there is no such line, or only decompressing would tell."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, offset - 1))
            is_begin = offset == 0 or file.read(1) == b"\n"
            line = file.readline(LONGEST_LINE)
    except OSError:
        return None
    return len(line) - 1 if is_begin and line.endswith(b"\n") else None


def text_lines(found: Found) -> Iterator[str]:
    """The same for people."""
    yield f"event      {found.id}" + (f", {found.type} of {found.agent}" if found.type else "")
    if not found.is_in_journal:
        seen = "was journalled before and has been dropped since: delivered and older than `keep`, or given up"
        yield f"journal    {seen if found.is_seen else 'never seen, or longer ago than `remember`'}"
    if found.time is not None:
        yield f"happened   {_shown(found.time)}, session {found.session_id}"
    if (origin := found.origin) is not None:
        size = f", {show_bytes(origin.size)}" if origin.size is not None else ""
        replay = ", by a replay" if origin.is_replay else ""
        yield f"from       {origin.source}: {origin.file}, byte {origin.offset}{size}{replay}"
    if found.committed is not None:
        yield f"journal    event {found.number}, committed {_shown(found.committed)}"
    for one in found.sinks:
        time = f" {_shown(one.time)}" if one.time else ""
        letter = f" (dead letter {one.letter})" if one.letter is not None else ""
        yield f"sink       {one.sink}: {one.what}{time}{letter}" + (f": {one.why}" if one.why else "")


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
