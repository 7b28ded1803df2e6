"""The current state of every session: what its events tell, newest first, whatever order they come in.

Rows are merged, never replaced: of each thing the newest saying stands, and of two at the same time the later one. Old
events that are read again (copies, forks, a replay of history) therefore change nothing. A row is written in the
transaction that adds the events which it was made from.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import astuple, replace

from forwarder.events import Activity, Session

# From an evening to the next morning. A session of which nothing was heard for longer is not live although nobody said
# that it ended: most agents do not say so, and a day of closed windows would bury those that wait for an answer.
LIVE_SECONDS = 16 * 3600.0

# Hooks on systems whose `date` knows no fractions tell the end of a session up to a second before what preceded it.
END_SECONDS = 1.0

_OF_ACTORS: frozenset[Activity] = frozenset({"waiting_permission", "working"})
_MAX_PID = 2**31 - 1  # what an operating system gives; SQLite refuses what has more than 64 bits

CREATE = """
CREATE TABLE sessions (agent TEXT NOT NULL, session_id TEXT NOT NULL, last REAL NOT NULL, said TEXT, said_at REAL,
                       actor TEXT, alive REAL, ended REAL, ended_reason TEXT, started REAL, cwd TEXT, git_branch TEXT,
                       model TEXT, pid INTEGER, parent_session_id TEXT, PRIMARY KEY (agent, session_id)) WITHOUT ROWID;
"""


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a session, or what some of its events tell of it. Times are in seconds since 1970.

    `last` is the time of its newest event. `said` is the state that was told last, at `said_at`, of the sub-agent
    `actor` where it is not the main agent's (its own id where it has a session of its own). `alive` is when it last
    gave a sign that only a session gives that has not ended.
    """

    agent: str
    session_id: str
    last: float
    said: Activity | None = None
    said_at: float | None = None
    actor: str | None = None
    alive: float | None = None
    ended: float | None = None
    ended_reason: str | None = None
    started: float | None = None
    cwd: str | None = None
    git_branch: str | None = None
    model: str | None = None
    pid: int | None = None
    parent_session_id: str | None = None

    @property
    def has_ended(self) -> bool:
        """Its end was told, and no sign of life since: a session may be resumed."""
        return self.ended is not None and (self.alive is None or self.alive <= self.ended)

    @property
    def state(self) -> Activity | None:
        """What it does now; None if nobody has told."""
        if self.has_ended:
            return "ended"
        return self.said if self.since is not None else None

    @property
    def since(self) -> float | None:
        """When it began to do that; None if nobody has told."""
        if self.has_ended:
            return self.ended
        is_old = self.said_at is not None and self.ended is not None and self.said_at <= self.ended
        return None if is_old else self.said_at  # what it did before it ended and was resumed is no news

    @property
    def is_waiting(self) -> bool:
        """A person has to do something. An idle agent has waited for its answer for long, an idle sub-agent is done."""
        return self.state in ("waiting_permission", "waiting_input") or (self.state == "idle" and self.actor is None)

    def is_live(self, now: float) -> bool:
        """It has not ended, and something happened in it lately."""
        return not self.has_ended and self.last >= now - LIVE_SECONDS


class Said(msgspec.Struct, frozen=True):
    """What an event says of its session beyond having happened; `type` as on the wire, the rest as in that type."""

    type: str = ""
    state: Activity | None = None
    reason: str | None = None
    model: str | None = None
    pid: int | None = None


def told(session: Session, at: float, said: Said) -> SessionRow:
    """What an event at that time tells of its session."""
    is_main = session.actor is None or session.actor == session.id
    row = SessionRow(agent=session.agent, session_id=session.id, last=at, parent_session_id=session.parent_id)
    if not is_main:  # its folder, model, start and end are not the session's
        return replace(row, said=said.state, said_at=at, actor=session.actor) if said.state in _OF_ACTORS else row
    pid = said.pid if said.pid is not None and 0 < said.pid <= _MAX_PID else None
    row = replace(row, cwd=session.cwd, git_branch=session.git_branch, model=said.model, pid=pid)
    match said:
        case Said(type="session_start", reason=reason):
            return replace(row, alive=at, started=None if reason == "seen" else at)
        case Said(type="session_end", reason=reason):
            return replace(row, ended=at, ended_reason=reason)
        case Said(type="session_state", state="ended"):
            return replace(row, ended=at)
        case Said(type="session_state", state=state):
            return replace(row, said=state, said_at=at, actor=session.actor, alive=at - END_SECONDS)
        case Said(type="turn_start"):
            return replace(row, alive=at - END_SECONDS)
        case _:
            return row


def merged(old: SessionRow, new: SessionRow) -> SessionRow:
    """Both together. Of two that say different things at the same time `new` is right."""
    older, newer = (old, new) if new.last >= old.last else (new, old)
    state = new if _is_newer(new.said_at, old.said_at) else old
    end, other = (new, old) if _is_newer(new.ended, old.ended) else (old, new)
    has_moved = newer.cwd is not None and newer.cwd != older.cwd
    return SessionRow(
        agent=old.agent,
        session_id=old.session_id,
        last=newer.last,
        said=state.said,
        said_at=state.said_at,
        actor=state.actor,
        alive=max(_known(old.alive, new.alive), default=None),
        ended=end.ended,
        ended_reason=end.ended_reason or (other.ended_reason if other.ended == end.ended else None),
        started=min(_known(old.started, new.started), default=None),
        cwd=newer.cwd or older.cwd,
        git_branch=newer.git_branch or (None if has_moved else older.git_branch),
        model=newer.model or older.model,
        pid=newer.pid or older.pid,
        parent_session_id=newer.parent_session_id or older.parent_session_id,
    )


def _is_newer(new: float | None, old: float | None) -> bool:
    return new is not None and (old is None or new >= old)


def _known(*times: float | None) -> list[float]:
    return [time for time in times if time is not None]


_FIELDS = SessionRow.__struct_fields__
_SAVE = f"INSERT OR REPLACE INTO sessions ({', '.join(_FIELDS)}) VALUES ({', '.join('?' * len(_FIELDS))})"
_READ = f"SELECT {', '.join(_FIELDS)} FROM sessions"


def update(connection: sqlite3.Connection, told: Iterable[SessionRow], *, now: float) -> None:
    """Merge what was told, in this order, into the table. A time after `now` is taken as now: it would stand for ever.

    Belongs into the transaction that adds the events.
    """
    known: dict[tuple[str, str], SessionRow] = {}
    for new in told:
        key = (new.agent, new.session_id)
        old = known.get(key) or _saved(connection, key)
        capped = new if new.last <= now else _capped(new, now)
        known[key] = capped if old is None else merged(old, capped)
    connection.executemany(_SAVE, [astuple(row) for row in known.values()])


def read(connection: sqlite3.Connection, *, since: float = -math.inf) -> list[SessionRow]:
    """The sessions in which something happened since then."""
    return [_row(values) for values in connection.execute(f"{_READ} WHERE last >= ?", (since,))]


def read_live(connection: sqlite3.Connection, now: float) -> list[SessionRow]:
    """The live ones."""
    return [row for row in read(connection, since=now - LIVE_SECONDS) if row.is_live(now)]


def forget(connection: sqlite3.Connection, *, older_than: float) -> None:
    """Drop the sessions in which nothing has happened since then."""
    connection.execute("DELETE FROM sessions WHERE last < ?", (older_than,))


def _saved(connection: sqlite3.Connection, key: tuple[str, str]) -> SessionRow | None:
    values = connection.execute(f"{_READ} WHERE agent = ? AND session_id = ?", key).fetchone()
    return _row(values) if values else None


def _row(values: tuple[Any, ...]) -> SessionRow:
    return SessionRow(**dict(zip(_FIELDS, values, strict=True)))


def _capped(row: SessionRow, now: float) -> SessionRow:
    times = {name: getattr(row, name) for name in ("last", "said_at", "alive", "ended", "started")}
    return replace(row, **{name: min(time, now) for name, time in times.items() if time is not None})
