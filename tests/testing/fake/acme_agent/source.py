"""The Acme agent: a log for each session that is only appended to, and a file for each process with what it does.

Behind its own first line a forked session begins with a copy of its parent's lines, which keep the parent's id. Tokens
are running totals, which go on counting behind the copy. The file of a process is rewritten in place when its state
changes, and deleted when it exits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from forwarder import (
    Activity,
    Event,
    Expectation,
    Quiet,
    Record,
    Session,
    SessionEnd,
    SessionStart,
    SessionState,
    Source,
    TokenUsage,
    ToolCallEnd,
    ToolCallStart,
    UnknownRecord,
    Vanished,
)

AGENT = "acme"
QUIET_SECONDS = 0.5  # of a process that works for hours; then its source asks whether it lives
STATES: dict[str, Activity] = {"busy": "working", "asking": "waiting_permission", "ready": "waiting_input"}


@dataclass
class Log:
    """Of a session: whose it is, the totals so far, and the names of the calls that are open."""

    session: str = ""
    parent: str | None = None
    total_input: int = 0
    total_output: int = 0
    calls: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Process:
    """Of a process: what it said last. Nobody is alive in it before the first content and after the end."""

    pid: int = 0
    began: str = ""
    session: str = ""
    host: str | None = None
    state: str = ""
    at: datetime | None = None
    is_alive: bool = False


@dataclass(frozen=True)
class AcmeAgent(Source[Log | Process]):
    """Option `home`: Acme's own folder."""

    home: str = "~/.acme"

    def patterns(self) -> list[str]:
        return [f"{self.home}/sessions/*.acme.jsonl", f"{self.home}/processes/*.acme.json"]

    def is_whole(self, path: Path) -> bool:
        return path.suffix == ".json"

    def new_state(self, path: Path) -> Log | Process:
        return Process() if self.is_whole(path) else Log()

    def map(self, record: Record, state: Log | Process) -> Iterator[Event]:
        match state, record.notice:
            case Log(), _:
                yield from _line(record.json(), state)
            case Process(), None:
                yield from _content(record.json(), state)
            case Process(), notice:
                yield from _notice(notice, state)

    def expects(self, state: Log | Process) -> Expectation | None:
        if isinstance(state, Log) or not state.is_alive:
            return None
        return Expectation(quiet_seconds=QUIET_SECONDS, pid=state.pid, host=state.host)


def _line(line: dict[str, Any], log: Log) -> Iterator[Event]:
    if line["type"] == "session":
        log.session, log.parent = line["session"], line.get("parent")
    is_copy = line["session"] != log.session
    session = Session(agent=AGENT, id=line["session"], parent_id=None if is_copy else log.parent)
    at = datetime.fromisoformat(line["at"])
    match line["type"]:
        case "session":
            yield SessionStart(
                key=(log.session, "start"), time=at, session=session, reason="fork" if log.parent else "startup"
            )
        case "answer":
            yield _usage(line, log, session, at)
        case "call":
            log.calls[line["id"]] = line["tool"]
            yield ToolCallStart(
                key=(line["session"], line["id"]),
                time=at,
                session=session,
                call_id=line["id"],
                tool=line["tool"],
                tool_kind="shell",
                input_bytes=len(line["input"].encode()),
                input=line["input"],
            )
        case "result":
            yield ToolCallEnd(
                key=(line["session"], line["id"]),
                time=at,
                session=session,
                call_id=line["id"],
                tool=log.calls.pop(line["id"]),
                tool_kind="shell",
                outcome="ok" if line["ok"] else "error",
                ok=line["ok"],
            )
        case unknown:
            raise UnknownRecord(unknown)


def _usage(line: dict[str, Any], log: Log, session: Session, at: datetime) -> TokenUsage:
    read, written = line["total_input"] - log.total_input, line["total_output"] - log.total_output
    log.total_input, log.total_output = line["total_input"], line["total_output"]
    return TokenUsage(
        key=(line["session"], line["id"]),
        time=at,
        session=session,
        input_tokens=read,
        cached_input_tokens=0,
        output_tokens=written,
        total_tokens=read + written,
    )


def _content(content: dict[str, Any], process: Process) -> Iterator[Event]:
    at, state = datetime.fromisoformat(content["at"]), content["state"]
    if (content["pid"], content["began"]) != (process.pid, process.began):
        yield from _ended(process, "killed", process.at)
        process.state = ""
    process.pid, process.began, process.session = content["pid"], content["began"], content["session"]
    process.host, process.at, process.is_alive = content["host"], at, True
    if state != process.state:
        previous, process.state = STATES.get(process.state), state
        yield SessionState(
            key=(process.session, process.pid, content["at"]),
            time=at,
            session=Session(agent=AGENT, id=process.session),
            state=STATES[state],
            previous=previous,
            pid=process.pid,
        )


def _notice(notice: Vanished | Quiet | None, process: Process) -> Iterator[Event]:
    match notice:
        case Vanished(at=at):
            yield from _ended(process, "exit", at)
        case Quiet(is_alive=False):
            yield from _ended(process, "killed", process.at)
        case _:
            pass  # it lives, or nobody can know


def _ended(process: Process, reason: Literal["exit", "killed"], at: datetime | None) -> Iterator[Event]:
    if process.is_alive and at is not None:
        process.is_alive = False
        yield SessionEnd(
            key=(process.session, process.pid, process.began),
            time=at,
            session=Session(agent=AGENT, id=process.session),
            reason=reason,
            inferred=reason == "killed",
        )
