"""What mapped events tell of their sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from forwarder import (
    Event,
    Metric,
    ModelChange,
    Record,
    Session,
    SessionEnd,
    SessionStart,
    SessionState,
    Source,
    TokenUsage,
    ToolUsage,
    TurnStart,
)
from forwarder.journal import SessionRow
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapper
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
SESSION = Session(agent="acme", id="s1", cwd="/home/dev/shop", git_branch="main")


def at(seconds: float, session: Session = SESSION) -> dict[str, Any]:
    """The envelope of an event so many seconds after noon."""
    return {"key": ("k", str(seconds)), "time": NOON + timedelta(seconds=seconds), "session": session}


def usage(seconds: float, model: str, **fields: Any) -> TokenUsage:
    tokens: dict[str, Any] = {"input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 1, "total_tokens": 2}
    return TokenUsage(model=model, **at(seconds), **tokens, **fields)


class Nothing(msgspec.Struct):
    """This source remembers nothing."""


@dataclass(frozen=True)
class Playing(Source[Nothing]):
    """Yields the events of the record whose number the line is, and then breaks if there is no such record."""

    records: tuple[tuple[Event, ...], ...]

    def patterns(self) -> list[str]:
        return []

    def new_state(self, path: Path) -> Nothing:
        return Nothing()

    def map(self, record: Record, state: Nothing) -> Iterator[Event]:
        yield from self.records[abs(record.json())]
        if record.json() < 0:
            raise ValueError("broken")


def seen(*records: tuple[Event, ...], level: Level = Level.FULL, lines: str = "", skip: int = 0) -> list[SessionRow]:
    """What the events of these records tell, read one after the other unless `lines` says which."""
    redactor = Redactor(Rules.load_builtin())
    mapper = Mapper(
        Playing(records),
        name="acme",
        path=Path("/acme/s1.jsonl"),
        encoder=Encoder(host="mac", level=level, redactor=redactor, prices=None),
        redactor=redactor,
        level=level,
        now=lambda: NOON,
    )
    given = lines.split() or map(str, range(len(records)))
    return mapper.map(
        [Record(line.encode(), n, len(line), b"") for n, line in enumerate(given)], skip_until=skip
    ).sessions


def test_events_of_one_session_become_one_row() -> None:
    """State, start, end and model from the events that tell them, the newest time from any."""
    [row] = seen(
        (SessionStart(reason="startup", model="acme-1", pid=7, **at(0)), SessionState(state="working", **at(0))),
        (usage(5, "acme-2"), usage(6, "acme-small", purpose="helper")),
        (SessionState(state="waiting_permission", **at(4)),),
    )

    noon = NOON.timestamp()
    assert (row.agent, row.session_id, row.cwd, row.git_branch) == ("acme", "s1", "/home/dev/shop", "main")
    assert (row.started, row.last, row.since) == (noon, noon + 6, noon + 4)
    assert (row.state, row.model, row.pid) == ("waiting_permission", "acme-2", 7)


def test_a_model_change_an_end_and_a_turn_are_taken_note_of() -> None:
    """Each of them is the only sign of something in some agent's files."""
    [row] = seen((ModelChange(model="acme-3", **at(1)),), (SessionEnd(reason="logout", **at(2)),))
    [resumed] = seen((SessionEnd(reason="logout", **at(2)),), (TurnStart(trigger="human", **at(60)),))

    assert (row.model, row.state, row.ended_reason) == ("acme-3", "ended", "logout")
    assert not resumed.has_ended


def test_sessions_that_share_a_file_are_kept_apart() -> None:
    """The hooks of all sessions write to one spool."""
    other = replace(SESSION, id="s2", cwd="/home/dev/api")
    rows = seen(
        (SessionState(state="working", **at(1)),),
        (SessionState(state="waiting_input", **at(2, other)),),
        (TurnStart(trigger="human", **at(3)),),
    )

    assert [(row.session_id, row.cwd, row.state) for row in rows] == [
        ("s1", "/home/dev/shop", "working"),
        ("s2", "/home/dev/api", "waiting_input"),
    ]


def test_a_line_of_a_log_of_helpers_is_no_session() -> None:
    """A script that ran is no agent that may wait for somebody."""
    line = ToolUsage(kind="script", name="sync", scope="global", status="started", **at(5))
    [row] = seen((line,), (SessionState(state="idle", **at(2)), line))

    assert row.last == NOON.timestamp() + 2


def test_a_metric_that_somebody_posts_is_no_session() -> None:
    """Its session is what a label says, if there is one."""
    metric = Metric(name="runs", kind="counter", op="increment", value=1.0, labels={}, **at(5))
    [row] = seen((metric,), (SessionState(state="idle", **at(2)), metric))

    assert row.last == NOON.timestamp() + 2


def test_a_record_that_fails_tells_nothing() -> None:
    """None of its events counts."""
    [row] = seen((SessionState(state="working", **at(1)),), (SessionState(state="idle", **at(2)),), lines="0 -1")

    assert (row.state, row.last) == ("working", NOON.timestamp() + 1)


def test_history_that_nobody_asked_for_tells_nothing() -> None:
    """It is mapped for the sake of the state alone."""
    assert seen((SessionState(state="working", **at(1)),), skip=1) == []


@pytest.mark.parametrize("level", [Level.FULL, Level.PREVIEW, Level.NONE])
def test_names_are_kept_without_their_secrets(level: Level) -> None:
    """A folder or a branch may be named after a token; ids are never touched."""
    session = Session(agent="acme", id="s1", cwd=f"/home/dev/{SECRET}", git_branch=SECRET)
    [row] = seen((usage(1, SECRET),), (SessionState(state="idle", **at(2, session)),), level=level)

    assert (row.cwd, row.git_branch, row.model) == ("/home/dev/[REDACTED]", "[REDACTED]", "[REDACTED]")


def test_whoever_switches_scrubbing_off_gets_names_as_they_are() -> None:
    """As in the events."""
    [row] = seen((usage(1, SECRET),), level=Level.RAW)

    assert row.model == SECRET


def test_a_session_that_no_file_can_hold_is_not_told() -> None:
    """Half a character in its id: the record is refused, since its state could not be saved either."""
    session = Session(agent="acme", id="s\ud8001", cwd="/home/\udcff")

    assert seen((SessionState(state="idle", **at(1, session)),)) == []
