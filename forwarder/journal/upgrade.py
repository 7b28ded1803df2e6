"""What a journal of a version that kept no sessions tells of them: its events, in their wire form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from forwarder.events import Activity, Session
from forwarder.journal.sessions import Said, SessionRow, merged, told


class _Line(msgspec.Struct):
    """The fields of an event that tell of its session."""

    type: str
    time: datetime
    agent: str
    session_id: str
    parent_session_id: str | None = None
    actor: str | None = None
    cwd: str | None = None
    git_branch: str | None = None
    state: Activity | None = None
    reason: str | None = None
    model: str | None = None
    purpose: str | None = None
    pid: int | None = None


_DECODER = msgspec.json.Decoder(_Line)


def sessions_of(lines: Iterable[bytes]) -> Iterator[SessionRow]:
    """What a batch of events tells of each of their sessions."""
    found: dict[tuple[str, str], SessionRow] = {}
    for line in lines:
        try:
            row = _told(_DECODER.decode(line))
        except msgspec.DecodeError:  # other types in its fields, or no event at all: what it is, its reader will say
            continue
        key = (row.agent, row.session_id)
        found[key] = merged(found[key], row) if key in found else row
    yield from found.values()


def _told(line: _Line) -> SessionRow:
    session = Session(
        agent=line.agent,
        id=line.session_id,
        parent_id=line.parent_session_id,
        actor=line.actor,
        cwd=line.cwd,
        git_branch=line.git_branch,
    )
    said: dict[str, Any] = {name: getattr(line, name) for name in ("state", "reason", "pid")}
    model = line.model if line.purpose is None else None
    return told(session, line.time.timestamp(), Said(line.type, model=model, **said))
