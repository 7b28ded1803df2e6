"""Which sessions there are and what each does, read from the journal. Only reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from forwarder.app.looking.status import life_problems, read_note, running_process
from forwarder.events import Activity
from forwarder.journal import SessionRow, read_sessions, reading

UNKNOWN = "unknown"  # in place of a state that nobody has told

# Of those that wait for a person, and then of the others: who needs one most comes first.
ORDER = ("waiting_permission", "waiting_input", "stalled", "working", "idle", UNKNOWN, "ended")


class Found(NamedTuple):
    """Sessions, those that wait for a person first; `problems` are reasons for what is told being old."""

    sessions: list[SessionRow]
    problems: list[str]


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session as ``forwarder sessions --format json`` prints it; names as in events, what is unknown is absent.

    `since` is when the state began, `last_event` the time of the newest event, `started` when the session was begun.
    """

    agent: str
    session_id: str
    live: bool
    state: Activity | None = None
    since: str | None = None
    last_event: str | None = None
    started: str | None = None
    cwd: str | None = None
    git_branch: str | None = None
    model: str | None = None
    pid: int | None = None
    actor: str | None = None
    parent_session_id: str | None = None
    ended_reason: str | None = None


def find_sessions(
    state_dir: Path, *, states: Collection[str], agents: Collection[str], with_all: bool, now: datetime
) -> Found:
    """The live sessions, or those in `states` if there are any, of all agents if none is named.

    Ended ones and those of which nothing was heard for long are among them `with_all`; ended ones also where `states`
    asks for them. Raises `StateError` when there is no journal in the folder, or one of another release.
    """
    with reading(state_dir) as connection:
        is_running = running_process(connection) is not None
        problems = life_problems(read_note(connection), now, is_running=is_running)
        rows = read_sessions(connection)
    moment = now.timestamp()
    chosen = [
        row
        for row in rows
        if (with_all or row.is_live(moment) or (row.has_ended and "ended" in states))
        and (not states or state_of(row) in states)
        and (not agents or row.agent in agents)
    ]
    return Found(sorted(chosen, key=_place), problems)


def state_of(row: SessionRow) -> str:
    """The state's name; `unknown` where nobody has told."""
    return row.state or UNKNOWN


def as_status(row: SessionRow, now: datetime) -> SessionStatus:
    """For scripts: whole ids, times as in events."""
    return SessionStatus(
        agent=row.agent,
        session_id=row.session_id,
        live=row.is_live(now.timestamp()),
        state=row.state,
        since=_time(row.since),
        last_event=_time(row.last),
        started=_time(row.started),
        cwd=row.cwd,
        git_branch=row.git_branch,
        model=row.model,
        pid=row.pid,
        actor=row.actor,
        parent_session_id=row.parent_session_id,
        ended_reason=row.ended_reason if row.has_ended else None,
    )


def json_lines(rows: Iterable[SessionRow], now: datetime) -> Iterable[bytes]:
    """One object each."""
    return (msgspec.json.encode(as_status(row, now)) for row in rows)


def _place(row: SessionRow) -> tuple[bool, int, float, str, str]:
    """Those that wait first, by state, and the newest first: the one that a person just left is looked for."""
    since = row.since if row.since is not None else row.last
    return not row.is_waiting, ORDER.index(state_of(row)), -since, row.agent, row.session_id


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
