"""Whether the journal is whole: every part of it held against the others, and the checkpoints against the files.

An id cannot be made again from its event: the key that it follows from is not kept. What can be told is that no id
comes twice, and that the fact of each is among those seen, so that a second reading would not count it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from forwarder.app.assembly import make_sources
from forwarder.app.config import Settings
from forwarder.errors import ForwarderError, JournalDamaged
from forwarder.journal import StreamRow, reading
from forwarder.tail.compression import translated
from forwarder.tail.stream import open_stream

LISTED = 1000  # problems; a file that is broken everywhere needs no longer list
FACT_BYTES = 12  # of an id's 16: as many a seen fact keeps (forwarder/journal/seen.py)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and what is wrong with it: nothing, when all is well."""

    events: int
    batches: int
    files: int
    problems: list[str]


class _Event(msgspec.Struct):
    id: str
    type: str
    time: datetime


_EVENT = msgspec.json.Decoder(_Event)


def verify(settings: Settings) -> Verdict:
    """Raises `StateError` when there is no journal to look at; a damaged one is a verdict."""
    checking = _Checking(settings)
    try:
        with reading(settings.state_dir) as connection:
            for problem in checking.run(connection):
                checking.problems.append(problem)
                if len(checking.problems) >= LISTED:
                    checking.problems.append("and more; the list ends here")
                    break
    except JournalDamaged as error:
        checking.problems.append(
            f"{error}; the next `forwarder run` that meets the damage sets it aside and reads anew"
        )
    return Verdict(events=checking.events, batches=checking.batches, files=checking.files, problems=checking.problems)


def verify_lines(verdict: Verdict) -> Iterator[str]:
    """The verdict for people."""
    yield f"looked at {verdict.events} events in {verdict.batches} batches, and {verdict.files} files"
    for problem in verdict.problems:
        yield f"problem    {problem}"
    if not verdict.problems:
        yield "all is well"


class _Checking:
    """One run of all checks; each yields its problems."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.problems: list[str] = []
        self.events = self.batches = self.files = 0
        self._first = 0
        self._last = 0

    def run(self, connection: sqlite3.Connection) -> Iterator[str]:
        """Each problem as a line, while it is found; the counts are right behind the last one."""
        for (found,) in connection.execute("PRAGMA integrity_check(20)"):
            if found != "ok":
                yield f"SQLite: {found}"
        facts: dict[bytes, int] = {}
        yield from self._batches(connection, facts)
        yield from self._cursors(connection)
        yield from self._facts(connection, facts)
        yield from self._letters(connection)
        yield from self._streams(connection)

    def _batches(self, connection: sqlite3.Connection, facts: dict[bytes, int]) -> Iterator[str]:
        """Decoding, sizes, numbers without a hole; fills `facts` with that of each event and its number."""
        last = 0
        for first, count, size, body in connection.execute(
            "SELECT first, count, bytes, CAST(body AS BLOB) FROM batches ORDER BY first"
        ):
            if not last:
                self._first = first
            elif first != last + 1:
                yield f"batch {first}: follows event {last}" + (", events are missing" if first > last else ", twice")
            last = first + count - 1
            lines = body.split(b"\n")
            if len(lines) != count or len(body) + 1 != size:
                yield f"batch {first}: has {len(lines)} events of {len(body) + 1} bytes, says {count} of {size}"
            yield from self._lines(first, lines, facts)
            self.batches += 1
            self.events += len(lines)
        noted = connection.execute("SELECT value FROM notes WHERE name = 'last'").fetchone()
        self._last = int(noted[0]) if noted else 0
        if last > self._last:
            yield f"the newest event is {last}, noted is {self._last}"
        self._first = self._first or self._last + 1

    def _lines(self, first: int, lines: Iterable[bytes], facts: dict[bytes, int]) -> Iterator[str]:
        for number, line in enumerate(lines, first):
            try:
                fact = bytes.fromhex(_EVENT.decode(line).id)[:FACT_BYTES]
            except (msgspec.MsgspecError, ValueError) as error:
                yield f"event {number}: cannot be read: {error}"
                continue
            if (other := facts.setdefault(fact, number)) != number:
                yield f"event {number}: has the id of event {other}"

    def _cursors(self, connection: sqlite3.Connection) -> Iterator[str]:
        for sink, acked, in_flight in connection.execute("SELECT sink, acked, in_flight FROM cursors"):
            if not 0 <= acked <= in_flight or acked > self._last:
                yield f"sink {sink}: its cursor {acked} (in flight {in_flight}) is outside of the journal"
            elif acked < self._first - 1 and sink in self._settings.sinks:
                yield f"sink {sink}: events {acked + 1} to {self._first - 1} were given up before it had them"

    def _facts(self, connection: sqlite3.Connection, facts: dict[bytes, int]) -> Iterator[str]:
        """Those of events that are older than this generation of facts may be forgotten."""
        for table in ("seen_lately", "seen", "seen_before"):
            for (fact,) in connection.execute(f"SELECT CAST(fact AS BLOB) FROM {table}"):
                facts.pop(fact[4:], None)
        since = connection.execute("SELECT value FROM notes WHERE name = 'seen_since'").fetchone()
        (newer,) = connection.execute(
            "SELECT min(first) FROM batches WHERE time >= ?", (float(since[0]) if since else 0.0,)
        ).fetchone()
        for number in facts.values():
            if newer is not None and number >= newer:
                yield f"event {number}: its fact is not among those seen, a second reading would count it again"

    def _letters(self, connection: sqlite3.Connection) -> Iterator[str]:
        query = "SELECT letter FROM retries WHERE letter NOT IN (SELECT id FROM dead_letters)"
        for (letter,) in connection.execute(query):
            yield f"dead letter {letter}: is asked for and does not exist"

    def _streams(self, connection: sqlite3.Connection) -> Iterator[str]:
        """Files that are gone need no checkpoint; those that are rewritten in place are known to change."""
        sources = make_sources(self._settings)
        names = [name for name in StreamRow.__struct_fields__ if name != "state"]
        for values in connection.execute(f"SELECT {', '.join(names)} FROM streams"):
            row = StreamRow(**dict(zip(names, values, strict=True)))
            path = Path(row.path)
            source = sources.get(row.source)
            if path.is_file() and not (source and source.is_whole(path)):
                self.files += 1
                yield from self._stream(row, path)

    def _stream(self, row: StreamRow, path: Path) -> Iterator[str]:
        stat = path.stat()
        if (stat.st_dev, stat.st_ino) != (row.device, row.inode):
            return  # another file bears the name now
        place = f"{row.source}: {path}"
        try:
            with translated(path):
                opened = open_stream(path, [row, _unknown(row)], max_line_bytes=self._settings.max_line_bytes)
                is_other = opened.is_restarted
                opened.close()
        except (OSError, ForwarderError) as error:
            yield f"{place}: cannot be read: {error}"
            return
        if is_other:
            yield (
                f"{place}: is not what was read up to byte {max(row.offset, row.skip_until)}: truncated, replaced or "
                "rewritten; it is read from its beginning when it changes again"
            )


def _unknown(row: StreamRow) -> StreamRow:
    """A stream of which nothing is known: what a file is that none of the known streams fits."""
    return replace(row, offset=0, skip_until=0, first_line=b"", head_size=0, head=b"", tail_size=0, tail=b"")
