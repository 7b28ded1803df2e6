"""What the journal holds, in numbers. Only reads, also beside a running forwarder."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from forwarder.app.config import Settings
from forwarder.app.units import show_bytes, show_seconds
from forwarder.journal import reading

_HEAD = re.compile(rb'\{"id":".{32}","type":"([^"]*)","time":"([^"]*)","agent":"((?:[^"\\]|\\.)*)"')
_BEHIND = """SELECT coalesce(sum(CASE WHEN first > ?1 THEN bytes
                                      ELSE bytes * (first + count - 1 - ?1) / count END), 0), min(time)
             FROM batches WHERE first + count - 1 > ?1"""


class SinkLag(msgspec.Struct, frozen=True, kw_only=True):
    """What a sink has still to take or to leave out; `seconds`: for so long has the oldest of it been waiting."""

    sink: str
    acked: int
    events: int
    bytes: int
    seconds: float


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """`bytes` counts the events as they are sent, `file_bytes` the files on disk. `oldest` and `newest` are the times
    of events, `committed` when the oldest and the newest batch were."""

    events: int
    bytes: int
    batches: int
    streams: int
    seen_facts: int
    dead_letters: int
    file_bytes: int
    first: int | None
    last: int | None
    oldest: datetime | None
    newest: datetime | None
    committed: tuple[datetime, datetime] | None
    sinks: list[SinkLag]
    types: dict[str, int]
    agents: dict[str, int]


def read_stats(settings: Settings, *, now: datetime | None = None) -> Stats:
    """Raises `StateError` without a journal, `JournalDamaged` for one that cannot be read."""
    with reading(settings.state_dir) as connection:
        return _stats(connection, settings, now or datetime.now(UTC))


def _stats(connection: sqlite3.Connection, settings: Settings, now: datetime) -> Stats:
    types: Counter[str] = Counter()
    agents: Counter[str] = Counter()
    times: list[bytes] = []
    for (body,) in connection.execute("SELECT body FROM batches ORDER BY first"):
        heads = [found.groups() for line in body.split(b"\n") if (found := _HEAD.match(line))]
        types.update(kind.decode("utf-8", "replace") for kind, _, _ in heads)
        agents.update(_said(agent) for _, _, agent in heads)
        some = [time for _, time, _ in heads]
        times = [min(times + some), max(times + some)] if times + some else []
    batches, events, size, first, last, since, until = connection.execute(
        """SELECT count(*), coalesce(sum(count), 0), coalesce(sum(bytes), 0), min(first), max(first + count - 1),
                  min(time), max(time) FROM batches"""
    ).fetchone()
    return Stats(
        events=events,
        bytes=size,
        batches=batches,
        streams=_count(connection, "streams"),
        seen_facts=sum(_count(connection, table) for table in ("seen_lately", "seen", "seen_before")),
        dead_letters=_count(connection, "dead_letters"),
        file_bytes=sum(path.stat().st_size for path in settings.state_dir.glob("journal.sqlite3*")),
        first=first,
        last=last,
        oldest=_moment(times[0]) if times else None,
        newest=_moment(times[1]) if times else None,
        committed=None if since is None else (datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC)),
        sinks=list(_lags(connection, settings, now)),
        types=dict(types.most_common()),
        agents=dict(agents.most_common()),
    )


def _said(text: bytes) -> str:
    """A text as JSON has it between quotes; as it is where it is no JSON, which `journal verify` complains about."""
    try:
        return str(msgspec.json.decode(b'"%b"' % text))
    except (msgspec.MsgspecError, ValueError):
        return text.decode("utf-8", "replace")


def _moment(text: bytes) -> datetime | None:
    try:
        return datetime.fromisoformat(text.decode())
    except ValueError:  # no time; `journal verify` complains about it
        return None


def _lags(connection: sqlite3.Connection, settings: Settings, now: datetime) -> Iterator[SinkLag]:
    newest = connection.execute("SELECT value FROM notes WHERE name = 'last'").fetchone()
    last = int(newest[0]) if newest else 0
    cursors: dict[str, int] = dict(connection.execute("SELECT sink, acked FROM cursors").fetchall())
    for sink in dict.fromkeys((*settings.sinks, *cursors)):
        acked = cursors.get(sink, 0)
        size, since = connection.execute(_BEHIND, (acked,)).fetchone()
        waited = max(0.0, now.timestamp() - since) if since is not None else 0.0
        yield SinkLag(sink=sink, acked=acked, events=max(0, last - acked), bytes=size, seconds=round(waited, 3))


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def stats_lines(stats: Stats) -> Iterator[str]:
    """The numbers for people."""
    span = f", {stats.first} to {stats.last}" if stats.events else ""
    yield f"events     {stats.events}{span}, {show_bytes(stats.bytes)} in {stats.batches} batches"
    if stats.oldest and stats.newest:
        yield f"happened   {stats.oldest:%Y-%m-%d %H:%M:%S} to {stats.newest:%Y-%m-%d %H:%M:%S} UTC"
    if stats.committed:
        since, until = stats.committed
        yield f"committed  {since:%Y-%m-%d %H:%M:%S} to {until:%Y-%m-%d %H:%M:%S} UTC"
    yield f"files      {stats.streams} streams, journal {show_bytes(stats.file_bytes)} on disk"
    yield f"facts      {stats.seen_facts} seen; {stats.dead_letters} dead letters"
    for one in stats.sinks:
        behind = f"{one.events} events, {show_bytes(one.bytes)} behind for {show_seconds(one.seconds)}"
        yield f"sink       {one.sink}: at event {one.acked}, " + (behind if one.events else "has everything")
    for title, counts in (("types", stats.types), ("agents", stats.agents)):
        for row, (name, count) in enumerate(counts.items()):
            yield f"{'' if row else title:<10} {count:>9}  {name}"
