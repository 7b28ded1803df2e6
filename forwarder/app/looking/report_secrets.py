"""Which secrets were taken out, where each appeared first, and which sinks got more of those sessions. Only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime

import msgspec

from forwarder.app.config import Settings
from forwarder.app.looking.sessions_text import neutral
from forwarder.delivery import Selection
from forwarder.journal import reading


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a secret was seen first: by the agent's clock, in which session, file (its name) and field."""

    time: datetime
    agent: str
    session_id: str
    file: str
    offset: int
    field: str | None = None


class Secret(msgspec.Struct, kw_only=True):
    """One value, known by its rule and keyed fingerprint. `found` counts tellings: one for a session in a file.

    `sinks` acknowledged events of these sessions that came after the secret (in which it is not).
    """

    rule: str
    fingerprint: str
    first: Place
    found: int
    sessions: list[str]
    sinks: list[str]


class SecretReport(msgspec.Struct, frozen=True, kw_only=True):
    """Of the events that the journal still holds, from `since` on; the newest first."""

    since: datetime | None
    secrets: list[Secret]


class _Origin(msgspec.Struct):
    file: str
    offset: int


class _Told(msgspec.Struct):
    time: datetime
    agent: str
    session_id: str
    type: str = ""
    rule: str = ""
    fingerprint: str = ""
    field: str | None = None
    origin: _Origin | None = None


_DECODE = msgspec.json.Decoder(_Told).decode
_FOUND = b'"type":"secret_found"'
_HEAD = 80  # bytes of a line in which its type stands


def secret_report(settings: Settings, *, since: datetime | None) -> SecretReport:
    """Raises `StateError` without a journal."""
    with reading(settings.state_dir) as connection:
        acked: dict[str, int] = dict(connection.execute("SELECT sink, acked FROM cursors ORDER BY sink").fetchall())
        return SecretReport(since=since, secrets=_Search(settings, acked, since).over(_lines(connection)))


def _lines(connection: sqlite3.Connection) -> Iterator[tuple[int, bytes]]:
    """Every event with its number."""
    for first, body in connection.execute("SELECT first, body FROM batches ORDER BY first"):
        yield from enumerate(body.split(b"\n"), first)


class _Search:
    def __init__(self, settings: Settings, acked: dict[str, int], since: datetime | None) -> None:
        self._since = since
        self._acked = acked
        self._accepts = {
            one.name: Selection(types=one.types, agents=one.agents, projects=one.projects).accepts
            for one in settings.sinks.values()
        }
        self._secrets: dict[tuple[str, str], Secret] = {}
        self._by_session: dict[str, list[Secret]] = {}

    def over(self, lines: Iterator[tuple[int, bytes]]) -> list[Secret]:
        """The secrets that these events tell of, by their numbers and in order; those found last come first."""
        for number, line in lines:
            is_finding = _FOUND in line[:_HEAD]
            if not is_finding and not self._by_session:
                continue
            told = _DECODE(line)
            self._deliver(number, line, told.session_id)
            if is_finding and (self._since is None or told.time >= self._since):
                self._find(told)
        return sorted(self._secrets.values(), key=lambda one: one.first.time, reverse=True)

    def _deliver(self, number: int, line: bytes, session: str) -> None:
        secrets = self._by_session.get(session, ())
        for sink, acked in self._acked.items() if secrets else ():
            accepts = self._accepts.get(sink)
            if number <= acked and (accepts is None or accepts(line)):
                for one in secrets:
                    if sink not in one.sinks:
                        one.sinks.append(sink)

    def _find(self, told: _Told) -> None:
        origin = told.origin or _Origin("", 0)
        place = Place(
            time=told.time,
            agent=told.agent,
            session_id=told.session_id,
            file=origin.file,
            offset=origin.offset,
            field=told.field,
        )
        known = self._secrets.setdefault(
            (told.rule, told.fingerprint),
            Secret(rule=told.rule, fingerprint=told.fingerprint, first=place, found=0, sessions=[], sinks=[]),
        )
        known.found += 1
        if told.time < known.first.time:
            known.first = place
        if told.session_id not in known.sessions:
            known.sessions.append(told.session_id)
            self._by_session.setdefault(told.session_id, []).append(known)


def table_lines(report: SecretReport) -> Iterator[str]:
    """A line for each secret, and below it where it was and who got more; never the value."""
    if not report.secrets:
        yield "no secret was found in what the journal holds"
    for one in report.secrets:
        first = one.first
        field = f", {first.field}" if first.field else ""
        yield f"{one.rule}  {one.fingerprint}  {_times(one)}"
        yield (
            f"  first     {first.time:%Y-%m-%d %H:%M:%S} UTC, {neutral(first.agent)} {neutral(first.session_id)}, "
            f"{neutral(first.file)} at {first.offset}{field}"
        )
        yield f"  sessions  {', '.join(map(neutral, one.sessions))}"
        yield f"  sinks     {', '.join(one.sinks) or 'none'} got events of these sessions after it"


def _times(one: Secret) -> str:
    where = "1 session" if len(one.sessions) == 1 else f"{len(one.sessions)} sessions"
    return f"found once in {where}" if one.found == 1 else f"found {one.found} times in {where}"
