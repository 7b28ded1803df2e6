"""What the journal and its notes tell about the forwarder of a state folder, at work or not. Only reads."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from forwarder.app.status_note import BEAT_SECONDS, NOTE, Status
from forwarder.app.units import show_bytes, show_seconds
from forwarder.delivery.retry import Circuit
from forwarder.delivery.status import SenderStatus
from forwarder.journal import read_live_sessions, reading
from forwarder.tail.compression import COMPRESSED_SUFFIXES

NEARLY_FULL = 0.9
RECENT = timedelta(hours=1)  # dead letters older than this are no news
SILENT_SECONDS = 3 * BEAT_SECONDS


class FileStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A file and how far it was read. `lag_bytes` is None where only decompressing would tell, or the file is gone.

    `lag_seconds`: at least so long have bytes been lying there unread. `age_seconds` is since when it was last written
    to, None if it is gone.
    """

    source: str
    path: str
    offset: int
    lag_bytes: int | None
    lag_seconds: float | None
    age_seconds: float | None = None
    is_gone: bool = False

    @property
    def is_unread(self) -> bool:
        """Whether something lies in the file that was not read."""
        return bool(self.lag_bytes or self.lag_seconds)


class SinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A sink's place, and how it fared when the forwarder last wrote a note; `state` is unknown without one."""

    name: str
    acked: int
    behind: int
    state: str = "unknown"
    events_per_second: float = 0.0
    last_error: str | None = None
    last_error_time: datetime | None = None
    next_try: datetime | None = None
    dead_letters: int = 0
    recent_dead_letters: int = 0


class JournalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of events and their limit, and the number of the newest event."""

    bytes: int
    max_bytes: int
    last: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``forwarder status`` shows; `problems` is empty when all is well."""

    state_dir: str
    is_running: bool
    pid: int | None
    started: datetime | None
    written: datetime | None
    watching: str | None
    journal: JournalStatus
    files: list[FileStatus]
    sinks: list[SinkStatus]
    live_sessions: int
    waiting_sessions: int
    unread_letters: int
    recent_unread_letters: int
    metrics: dict[str, float]
    problems: list[str]


def read_report(state_dir: Path, *, max_bytes: int, now: datetime | None = None) -> Report:
    """Raises `StateError` when there is no journal in the folder, or one of a newer release."""
    now = now or datetime.now(UTC)
    with reading(state_dir) as connection:
        note = read_note(connection)
        journal = _journal(connection, max_bytes)
        letters = _letters(connection, since=(now - RECENT).timestamp())
        files = [_file(row, now) for row in connection.execute(_STREAMS)]
        is_running = running_process(connection) is not None
        sessions = read_live_sessions(connection, now.timestamp())
        sinks = _sinks(connection, note, letters, last=journal.last, is_running=is_running)
    total, recent = letters.get(None, (0, 0))
    return Report(
        state_dir=str(state_dir),
        is_running=is_running,
        pid=note.pid if note and is_running else None,
        started=note.started if note else None,
        written=note.time if note else None,
        watching=note.watching if note and is_running else None,
        journal=journal,
        files=files,
        sinks=sinks,
        live_sessions=len(sessions),
        waiting_sessions=sum(row.is_waiting for row in sessions),
        unread_letters=total,
        recent_unread_letters=recent,
        metrics=note.metrics if note else {},
        problems=[
            *life_problems(note, now, is_running=is_running),
            *_losses(note, is_running=is_running),
            *_problems(journal, sinks, recent),
        ],
    )


_STREAMS = "SELECT source, path, max(offset, skip_until), time FROM streams ORDER BY time DESC"

Letters = dict[str | None, tuple[int, int]]


def read_note(connection: sqlite3.Connection) -> Status | None:
    """What the forwarder has last written about itself."""
    row = connection.execute("SELECT value FROM notes WHERE name = ?", (NOTE,)).fetchone()
    if row is None:
        return None
    try:
        return msgspec.json.decode(row[0], type=Status)
    except msgspec.MsgspecError:
        return None  # another release wrote it; everything that is not in the note is still true


def running_process(connection: sqlite3.Connection) -> int | None:
    """The process that is at work on this journal, None if there is none."""
    note = read_note(connection)
    return note.pid if note is not None and note.is_running and _is_alive(note.pid) else None


def _journal(connection: sqlite3.Connection, max_bytes: int) -> JournalStatus:
    size = connection.execute("SELECT coalesce(sum(bytes), 0) FROM batches").fetchone()[0]
    last = connection.execute("SELECT value FROM notes WHERE name = 'last'").fetchone()
    return JournalStatus(bytes=size, max_bytes=max_bytes, last=int(last[0]) if last else 0)


def _letters(connection: sqlite3.Connection, *, since: float) -> Letters:
    """Dead letters and how many of them are recent, by sink; under None the records that could not be mapped."""
    rows = connection.execute("SELECT sink, count(*), sum(time >= ?) FROM dead_letters GROUP BY sink", (since,))
    return {sink: (total, recent) for sink, total, recent in rows}


def _file(row: tuple[str, str, int, float], now: datetime) -> FileStatus:
    source, path, offset, read_time = row
    try:
        found = os.stat(path)
    except OSError:
        return FileStatus(source=source, path=path, offset=offset, lag_bytes=None, lag_seconds=None, is_gone=True)
    is_unread = found.st_mtime != read_time
    if path.endswith(COMPRESSED_SUFFIXES):
        lag = None if is_unread else 0
    else:
        lag = max(0, found.st_size - offset)
        is_unread = lag > 0
    age = round(max(0.0, now.timestamp() - found.st_mtime), 3)
    return FileStatus(
        source=source,
        path=path,
        offset=offset,
        lag_bytes=lag,
        lag_seconds=age if is_unread else 0.0,
        age_seconds=age,
    )


def _sinks(
    connection: sqlite3.Connection, note: Status | None, letters: Letters, *, last: int, is_running: bool
) -> list[SinkStatus]:
    acked = dict(connection.execute("SELECT sink, acked FROM cursors").fetchall())
    noted = note.sinks if note else {}
    found: list[SinkStatus] = []
    for name in noted or acked:
        place = int(acked.get(name, 0))
        total, recent = letters.get(name, (0, 0))
        sink = SinkStatus(
            name=name, acked=place, behind=max(0, last - place), dead_letters=total, recent_dead_letters=recent
        )
        found.append(_fared(sink, noted[name], is_running=is_running) if name in noted else sink)
    return found


def _fared(sink: SinkStatus, noted: SenderStatus, *, is_running: bool) -> SinkStatus:
    return replace(
        sink,
        state="refused" if noted.state is not Circuit.CLOSED else "retrying" if noted.next_try else "ok",
        events_per_second=round(noted.events_per_second, 1) if is_running else 0.0,
        last_error=noted.last_error,
        last_error_time=noted.last_error_time,
        next_try=noted.next_try,
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's, but there
    except OverflowError:
        return False  # no system has such a number
    return True


def life_problems(note: Status | None, now: datetime, *, is_running: bool) -> list[str]:
    """What keeps the journal from being up to date."""
    if note is None:
        return ["not running: no forwarder has written a status here"]
    if not is_running:
        how = "it was killed or crashed" if note.is_running else "it was stopped"
        return [f"not running: {how} after {note.time:%Y-%m-%d %H:%M:%S} UTC"]
    found: list[str] = []
    if (silent := (now - note.time).total_seconds()) > SILENT_SECONDS:
        found.append(f"process {note.pid} has not written its status for {show_seconds(silent)}: it hangs")
    if note.journal_problem:
        found.append(f"the journal cannot be written: {note.journal_problem}")
    return found


def _losses(note: Status | None, *, is_running: bool) -> list[str]:
    if note is None or not is_running:
        return []
    found: list[str] = []
    if note.given_up:
        found.append(f'{note.given_up} events were given up: the journal was full and on_full is "drop"')
    return found + [f"{path}: {reason}" for path, reason in note.problems.items()]


def _problems(journal: JournalStatus, sinks: list[SinkStatus], recent_unread: int) -> list[str]:
    found: list[str] = []
    if journal.bytes >= NEARLY_FULL * journal.max_bytes and any(sink.behind for sink in sinks):
        found.append(
            f"the journal holds {show_bytes(journal.bytes)} of {show_bytes(journal.max_bytes)}: a sink is behind"
        )
    for sink in sinks:
        if sink.state in ("refused", "retrying"):
            found.append(f"sink {sink.name} {sink.state}, {sink.behind} events behind: {sink.last_error}")
        if sink.recent_dead_letters:
            found.append(
                f"sink {sink.name} rejected {_counted(sink.recent_dead_letters, 'event')} within the last hour"
            )
    if recent_unread:
        records = _counted(recent_unread, "record")
        found.append(f"{records} could not be used within the last hour; see `forwarder dead-letters list`")
    return found


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
