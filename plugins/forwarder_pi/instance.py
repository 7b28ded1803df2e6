"""What is known of the process behind a heartbeat file, and the events about it as a whole: start, state and end."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct, field

from forwarder import Activity, Event, Key, Session, SessionEnd, SessionStart, SessionState
from forwarder_pi.heartbeat import Heartbeat, Process
from forwarder_pi.pressure import Level

NEW_MS = 5_000  # a session older than that at its start was resumed; a process older than that was running already

StartReason = Literal["startup", "resume", "seen"]
EndReason = Literal["exit", "switched", "killed", "lost"]

_CREATED = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)-(\d{3})Z_[^/\\]*\Z")


class Instance(Struct):
    """What the last heartbeat of a file said. Nobody is alive in it before the first one and after an end."""

    pid: int = 0
    started_ms: int = 0
    seq: int = 0
    updated_ms: int = 0
    beat_ms: int = 1500
    host: str | None = None
    session: Session | None = None
    is_alive: bool = False
    is_stalled: bool = False
    vanished: datetime | None = None
    state: Activity | None = None
    activity: str | None = None
    model: tuple[str | None, str | None] = (None, None)
    level: Level = field(default_factory=Level)
    told: datetime | None = None
    former: tuple[int, str] | None = None
    former_sightings: int = 0


def started(heartbeat: Heartbeat, at: datetime) -> SessionStart:
    """A new session has the key of its own header, so that file and heartbeat tell one fact."""
    process, model, context = heartbeat.process, heartbeat.model, heartbeat.context
    reason, session = _reason(heartbeat), session_of(heartbeat)
    has_ui = heartbeat.capabilities.has_ui if heartbeat.capabilities else None
    key: Key = (session.id,) if reason == "startup" else (session.id, process.pid, process.started_at)
    return SessionStart(
        key=key,
        time=at,
        session=session,
        reason=reason,
        model=model.id if model else None,
        provider=model.provider if model else None,
        entrypoint="exec" if has_ui is False else None,
        context_window=context.context_window if context else None,
        pid=process.pid,
    )


def ended(instance: Instance, reason: EndReason, at: datetime) -> list[Event]:
    """Nobody is alive behind the file from now on. Only an unlink was seen; the rest is inferred."""
    session, instance.is_alive, instance.vanished = instance.session, False, None
    assert session is not None, "who is alive has a session"
    is_seen = reason in {"exit", "switched"}
    return [SessionEnd(key=key_of(instance), time=at, session=session, reason=reason, inferred=not is_seen)]


def state_changed(instance: Instance, at: datetime, state: Activity, previous: Activity | None) -> SessionState:
    """`state` is in the key: a stall comes at the same position as the state before it."""
    assert instance.session is not None, "who has a state has a session"
    return SessionState(
        key=(*key_of(instance), state),
        time=at,
        session=instance.session,
        state=state,
        previous=previous,
        pid=instance.pid,
    )


def session_of(heartbeat: Heartbeat) -> Session:
    """Who it is, as far as a heartbeat knows: not whom the session was forked from."""
    workspace = heartbeat.workspace
    git = workspace.git if workspace else None
    return Session(
        agent="pi",
        id=heartbeat.session.id,
        cwd=workspace.cwd if workspace else None,
        git_branch=git.branch if git else None,
    )


def remember(instance: Instance, process: Process) -> None:
    """The position behind this heartbeat."""
    instance.pid, instance.started_ms, instance.seq = process.pid, process.started_at, process.heartbeat_seq
    instance.updated_ms, instance.beat_ms = process.updated_at, process.heartbeat_ms


def key_of(instance: Instance) -> Key:
    """The life, and the position in it: a process starts the extension anew with every session."""
    return (instance.started_ms, instance.pid, instance.seq)


def at_ms(ms: int) -> datetime:
    """The moment so many milliseconds after 1970."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def ms_of(time: datetime) -> int:
    """Milliseconds since 1970."""
    return round(time.timestamp() * 1000)


def _reason(heartbeat: Heartbeat) -> StartReason:
    """A file that is older than its process was resumed; a process that is older than our first sight was running."""
    process, created = heartbeat.process, _created_ms(heartbeat.session.file)
    if heartbeat.last_event not in {"session_switch", "session_fork"} and process.uptime_ms > NEW_MS:
        return "seen"
    return "resume" if created is not None and process.updated_at - created > NEW_MS else "startup"


def _created_ms(file: str | None) -> int | None:
    """When a session was created, as its file's name says."""
    found = _CREATED.search(file) if file else None
    if found is None:
        return None
    return ms_of(datetime.fromisoformat(f"{found[1]}T{found[2]}:{found[3]}:{found[4]}.{found[5]}+00:00"))
