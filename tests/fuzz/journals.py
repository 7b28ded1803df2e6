"""Target: what reads a journal, when its file is not as it was written.

An input is a list of damages in JSON, each done in turn to a journal that was made the same each time: bytes of the
file or of its write-ahead log, or SQL (SQLite takes any type in any column).
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec

from forwarder.app.config import Settings, from_values
from forwarder.app.looking import letters
from forwarder.app.looking.journal_stats import read_stats, stats_lines
from forwarder.app.looking.journal_verify import verify, verify_lines
from forwarder.app.looking.sessions import find_sessions, json_lines
from forwarder.app.looking.sessions_text import table_lines
from forwarder.app.looking.status import read_report
from forwarder.app.looking.status_text import report_lines
from forwarder.app.looking.why import explain, text_lines
from forwarder.app.status_note import NOTE
from forwarder.errors import ForwarderError, StateError
from forwarder.journal import Changes, Cursor, DeadLetter, Noted, SessionRow, StreamRow
from forwarder.journal.file import JournalFile
from forwarder.journal.schema import FILE_NAME
from tests.fuzz.target import Target, require

NOW = 1_795_262_400.0
EVENTS = 60
FILES = {"db": FILE_NAME, "wal": f"{FILE_NAME}-wal"}
CONFIG = {
    "state_dir": "state",
    "sinks": {"team": {"use": "stdout"}, "other": {"use": "stdout", "types": ["prompt"]}},
    "sources": {"codex": {"home": "nowhere"}},
}
Damage = list[Any]


def id_of(number: int) -> str:
    """An id; the first 24 digits are what a seen fact keeps of it."""
    return f"{number:024x}{'0' * 8}"


def event(number: int) -> bytes:
    """A line as the encoder writes it."""
    wire = {
        "id": id_of(number),
        "type": ("prompt", "token_usage", "session_start")[number % 3],
        "time": f"2026-11-21T01:02:{number % 60:02}.000Z",
        "agent": "codex",
        "session_id": f"s{number % 4}",
        "host": "box",
        "text": f"text {number} " * (1 + number % 90),
        "origin": {"source": "codex", "file": "a.jsonl", "offset": number * 10},
    }
    return msgspec.json.encode(wire)


@cache
def original() -> dict[str, bytes]:
    """The journal's file and its log, at work: some commits are only in the log."""
    with tempfile.TemporaryDirectory(prefix="forwarder-fuzz-") as name:
        folder = Path(name)
        first = JournalFile(folder)
        _fill(first, range(1, EVENTS // 2))
        first.close()
        second = JournalFile(folder)
        _fill(second, range(EVENTS // 2, EVENTS))
        found = {kind: (folder / file).read_bytes() for kind, file in FILES.items()}
        second.close()
    return found


def _fill(journal: JournalFile, numbers: range) -> None:
    for number in numbers:
        line = event(number)
        row = StreamRow(
            id=1 + number % 3,
            source="codex",
            path=f"/nowhere/{number % 3}.jsonl",
            device=1,
            inode=number,
            state=b"\x80",
        )
        session = SessionRow(agent="codex", session_id=f"s{number % 4}", last=NOW, said="working", said_at=NOW)
        letter = DeadLetter(
            time=NOW, reason="not JSON", body=line, source="codex", file="/nowhere/a.jsonl", offset=number, size=9
        )
        refused = DeadLetter(time=NOW, reason="no such field", body=line, sink="team", event=number)
        buried = [letter, refused] if number % 9 == 0 else []
        fact = b"grup" + bytes.fromhex(id_of(number))[:12]
        journal.add(Changes([line], [fact], {row.id: row}, dead_letters=buried, sessions=[session]), now=NOW)
        noted = [Noted("sinks.team (acme)", {f"series {number % 5}": b"%d" % number})]
        journal.save_cursor("team", Cursor(number // 2, number // 2), noting=noted, now=NOW)
    journal.save_note("seen_since", b"1")


def _status(settings: Settings) -> object:
    report = read_report(settings.state_dir, max_bytes=settings.journal.max_bytes)
    return msgspec.json.encode(report), list(report_lines(report))


def _why(id: str, settings: Settings) -> object:
    found = explain(id, settings)
    return msgspec.json.encode(found), list(text_lines(found))


def _letters(settings: Settings) -> object:
    report = letters.read(settings.state_dir)
    return msgspec.json.encode(report), list(letters.list_lines(report))


def _letter(settings: Settings) -> object:
    letter = letters.find(settings.state_dir, 1)
    return msgspec.json.encode(letter), list(letters.show_lines(letter))


def _sessions(settings: Settings) -> object:
    now = datetime.fromtimestamp(NOW, UTC)
    found = find_sessions(settings.state_dir, states=(), agents=(), with_all=True, now=now)
    return found, list(json_lines(found.sessions, now)), list(table_lines(found.sessions, now=now, width=80))


COMMANDS: tuple[Callable[[Settings], object], ...] = (
    lambda settings: list(verify_lines(verify(settings))),
    lambda settings: list(stats_lines(read_stats(settings))),
    lambda settings: msgspec.json.encode(read_stats(settings)),
    _status,
    lambda settings: _why(id_of(7), settings),
    lambda settings: _why(id_of(18), settings),
    lambda settings: _why("0000000000", settings),
    _letters,
    _letter,
    _sessions,
    lambda settings: letters.retry(settings.state_dir, letters.Choice()),
    lambda settings: letters.drop(settings.state_dir, letters.Choice((1,))),
)


class JournalTarget(Target):
    """See above."""

    name = "journal"

    def seeds(self) -> list[bytes]:
        return [json.dumps(list(_damages(Random(seed)))).encode() for seed in range(40)] + [b"[]"]

    def mutated(self, data: bytes, random: Random) -> bytes:
        damages = _parsed(data)
        if random.random() < 0.3:
            damages = damages[random.randrange(len(damages) + 1) :]
        return json.dumps([*damages[-4:], *_damages(random)][-6:]).encode()

    def check(self, data: bytes) -> None:
        damages = _parsed(data)
        with tempfile.TemporaryDirectory(prefix="forwarder-fuzz-") as name:
            folder = Path(name)
            state = folder / "state"
            state.mkdir()
            for kind, content in original().items():
                (state / FILES[kind]).write_bytes(content)
            for damage in damages:
                _do(damage, state)
            is_whole = self._check_commands(folder)
            self._check_opened(state, damages, is_whole=is_whole)

    def _check_commands(self, folder: Path) -> bool:
        """Every command says what it found, or what is wrong; returns whether `verify` has found nothing."""
        settings = from_values(CONFIG, place="config.toml", folder=folder)
        for command in COMMANDS:
            with suppress(ForwarderError):
                require(bool(command(settings)), "a command says nothing")
        try:
            return not verify(settings).problems
        except StateError:
            return False

    def _check_opened(self, state: Path, damages: list[Damage], *, is_whole: bool) -> None:
        """Opened to go on: it says that it is damaged, or gives events that were written."""
        written = {event(number): number for number in range(1, EVENTS)}
        try:
            with closing(JournalFile(state)) as journal:
                lines = [line for block in _blocks(journal) for line in block]
                journal.streams()
                journal.cursors()
                journal.asked_letters()
                journal.live_sessions(NOW)
                journal.add(Changes([event(EVENTS)], [b"grup".ljust(16, b"x")]), now=NOW)
        except (StateError, sqlite3.OperationalError):  # the second is what a full disk looks like, too
            return
        if is_whole and not _touches_bodies(damages):
            require(set(lines) <= written.keys(), "an event that was never written")
        if all(one[0] != "sql" and one[1] == "wal" for one in damages):
            numbers = [written[line] for line in lines]
            require(numbers == list(range(1, len(numbers) + 1)), f"the log says {numbers}")
            require(len(numbers) >= EVENTS // 2 - 1, "an event is gone that was copied out of the log")


def _blocks(journal: JournalFile) -> Iterator[tuple[bytes, ...]]:
    after = 0
    while blocks := journal.read(after, 1 << 14):
        for block in blocks:
            yield block.lines
        require(blocks[-1].last > after, "reading stands still")
        after = blocks[-1].last


def _touches_bodies(damages: list[Damage]) -> bool:
    """SQLite keeps no checksum of its pages: a letter that became another in a text cannot be told."""
    return any((one[0] != "sql" and one[1] == "db") or "batches" in str(one) for one in damages)


def _parsed(data: bytes) -> list[Damage]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, list):
        return []
    return [one for one in cast("Sequence[Any]", found) if isinstance(one, list) and one]


def _do(damage: Damage, state: Path) -> None:
    if damage[0] == "sql":
        _do_sql(state, str(damage[1]), damage[2:])
        return
    try:
        kind, which, at, size, value = damage
        path = state / FILES[which]
        content = bytearray(path.read_bytes())
        _DAMAGES[kind](content, int(at) % (len(content) + 1), int(size), int(value))
        path.write_bytes(content)
    except (KeyError, ValueError, TypeError, FileNotFoundError):  # an input that is no damage, or of a log that is gone
        return


def _do_sql(state: Path, statement: str, values: list[Any]) -> None:
    """What another program, or another release, may have made of it; SQLite's refusals stand."""
    with suppress(sqlite3.Error, OverflowError), closing(sqlite3.connect(state / FILE_NAME)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(statement, [bytes.fromhex(one[2:]) if str(one).startswith("x:") else one for one in values])
        connection.commit()


def _fill_with(content: bytearray, at: int, size: int, value: int) -> None:
    content[at : at + size] = bytes([value % 256]) * len(content[at : at + size])


def _randomise(content: bytearray, at: int, size: int, value: int) -> None:
    content[at : at + size] = Random(value).randbytes(len(content[at : at + size]))


def _flip(content: bytearray, at: int, size: int, value: int) -> None:
    del size
    if at < len(content):
        content[at] ^= 1 << value % 8


def _cut(content: bytearray, at: int, size: int, value: int) -> None:
    del content[at:]


def _copy(content: bytearray, at: int, size: int, value: int) -> None:
    """A page, or some bytes, of another place."""
    source = value % (len(content) + 1)
    piece = content[source : source + size]
    content[at : at + len(piece)] = piece


def _append(content: bytearray, at: int, size: int, value: int) -> None:
    content += Random(value).randbytes(size)


_DAMAGES: dict[str, Callable[[bytearray, int, int, int], None]] = {
    "fill": _fill_with,
    "random": _randomise,
    "flip": _flip,
    "cut": _cut,
    "copy": _copy,
    "append": _append,
}
_COLUMNS = {
    "batches": ("first", "count", "bytes", "time", "body"),
    "streams": (
        "id",
        "source",
        "path",
        "device",
        "inode",
        "generation",
        "offset",
        "skip_until",
        "head",
        "state",
        "time",
    ),
    "cursors": ("sink", "acked", "in_flight"),
    "dead_letters": ("id", "time", "source", "sink", "file", "offset", "size", "reason", "body", "event", "attempts"),
    "notes": ("name", "value"),
    "acks": ("sink", "second", "acked"),
    "plugin_notes": ("owner", "key", "body"),
    "retries": ("letter", "time"),
    "sessions": ("agent", "session_id", "last", "said", "said_at", "actor", "ended", "started", "cwd", "pid"),
    "seen": ("fact",),
    "seen_lately": ("fact", "batch"),
}
_NOTES = ("last", "seen_since", NOTE, "synced")
_ODD: tuple[Any, ...] = (
    *(0, -1, 1, 7, 2**40, 2**63 - 1, -(2**63), 0.5, 1e300, -1e300, 1e18, None, "", "a", "7", "x" * 3000, "\0", "ü"),
    *("x:", "x:00", "x:ff", "x:7b7d", "x:c328", "x:" + "61" * 5000, '{"id":"' + "0" * 32 + '"}', "x:5b5d", "../../x"),
)
_REPLACED = (
    *(
        ("2026-11-21T", "'2026-99-99T'"),
        ("2026-11", "'x'"),
        ("codex", "'co\\dex'"),
        ("codex", "x'ff'"),
        ("prompt", "x'c3'"),
    ),
    *(
        ('{"id":"', "'{\"id\":'"),
        ('"type"', "'\"tipe\"'"),
        ('"', "''"),
        ("text", "x'0a'"),
        ("0000", "'00g0'"),
        ("}", "''"),
    ),
    *(('"offset":', "'\"offset\":1e999'"), ('"agent":', '\'"agent":[],"a":\''), (".000Z", "'+99:99'"), (".000Z", "''")),
)
_STATEMENTS = (
    *(f"PRAGMA user_version = {version}" for version in (-1, 0, 1, 2, 3, 5, 2**31 - 1)),
    *("PRAGMA application_id = 0", "PRAGMA application_id = 7", "PRAGMA auto_vacuum = 1", "VACUUM"),
    *("DELETE FROM notes", "DELETE FROM batches WHERE first % 3 = 0", "DELETE FROM batches", "DELETE FROM cursors"),
    *("UPDATE batches SET body = body || body", "UPDATE batches SET first = -first", "DELETE FROM seen_lately"),
    *("INSERT INTO retries (letter, time) SELECT 999, 0", "INSERT INTO retries (letter, time) SELECT 1, 'x'"),
    *(f"UPDATE batches SET body = CAST(replace(body, '{old}', {new}) AS BLOB)" for old, new in _REPLACED),
    *(f"UPDATE dead_letters SET body = CAST(replace(body, '{old}', {new}) AS BLOB)" for old, new in _REPLACED),
    "DELETE FROM sqlite_schema WHERE name LIKE 'idx%' OR name = 'sessions'",
    "UPDATE sqlite_schema SET sql = 'nonsense' WHERE name = 'notes'",
)


def _damages(random: Random) -> Iterator[Damage]:
    """One to three."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        match random.randrange(6):
            case 0 | 1:
                table = random.choice(list(_COLUMNS))
                column = random.choice(_COLUMNS[table])
                cast = random.choice(("?", "?", "?", "CAST(? AS TEXT)", "CAST(? AS BLOB)"))
                row = random.choice(
                    ("", f" WHERE {column} IN (SELECT {column} FROM {table} LIMIT 1 OFFSET {random.randrange(5)})")
                )
                yield ["sql", f"UPDATE OR IGNORE {table} SET {column} = {cast}{row}", random.choice(_ODD)]
            case 2:
                yield _schema_damage(random)
            case _:
                which = random.choice(("db", "db", "wal"))
                at = random.randrange(100) if random.random() < 0.3 else random.randrange(400_000)
                size = random.choice((1, 4, 16, 100, 512, 8192, 8216))
                if random.random() < 0.3:
                    at, size = at // 8192 * 8192, 8192
                yield [random.choice(list(_DAMAGES)), which, at, size, random.randrange(400_000) // 8192 * 8192]


def _schema_damage(random: Random) -> Damage:
    table = random.choice([*_COLUMNS, "seen_before"])
    match random.randrange(4):
        case 0:
            return ["sql", f"DROP TABLE {table}"]
        case 1:
            return ["sql", f"ALTER TABLE {table} RENAME COLUMN {_COLUMNS.get(table, ('fact',))[-1]} TO other"]
        case 2:
            note = random.choice(_NOTES)
            return ["sql", "INSERT OR REPLACE INTO notes VALUES (?, ?)", note, random.choice([*_ODD, *_status_notes()])]
        case _:
            return ["sql", random.choice(_STATEMENTS)]


@cache
def _status_notes() -> list[str]:
    """What a running forwarder writes down, and what it would not."""
    told = {"started": "2026-11-21T01:00:00Z", "is_running": True, "sinks": {}, "problems": {"a": "b"}, "watching": "x"}
    times = ("2026-11-21T01:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-21T01:00:00")
    return [json.dumps({**told, "pid": pid, "time": time}) for pid in (0, -1, 1, 2**31, 2**70) for time in times]
