"""The pi coding agent: sessions, a JSON Lines file each in formats v1 to v3 (0.27 to 1.5), and running instances.

An instance is a heartbeat file, rewritten every 1.5 s by the extension pi-telemetry (schema version 2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, get_args

import msgspec

from forwarder import BadRecord, Event, Expectation, Quiet, Record, Session, Source, UnknownRecord, Vanished
from forwarder_pi import heartbeats, messages, session, turns
from forwarder_pi.heartbeat import Heartbeat, Version
from forwarder_pi.identity import key_of
from forwarder_pi.instance import Instance
from forwarder_pi.records import (
    AnyEntry,
    AnyMessage,
    Assistant,
    BashExecution,
    BranchSummary,
    Compaction,
    Entry,
    Head,
    Header,
    Message,
    ModelChange,
    SideUsage,
    ToolResult,
    User,
)
from forwarder_pi.state import Place, State, Turn

_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3})Z_.+\.jsonl(?:\.zst|\.gz)?")
_KINDS = {kind.__struct_config__.tag for kind in get_args(AnyEntry)}
_ROLES = {role.__struct_config__.tag for role in get_args(AnyMessage)}

_ENTRY: msgspec.json.Decoder[AnyEntry] = msgspec.json.Decoder(AnyEntry)
_HEAD = msgspec.json.Decoder(Head)
_HEARTBEAT = msgspec.json.Decoder(Heartbeat)
_VERSION = msgspec.json.Decoder(Version)


@dataclass(frozen=True)
class Pi(Source[State | Instance]):
    """Options `home`: pi's own folder ($PI_CODING_AGENT_DIR); `sessions`: where sessions lie if elsewhere; or lists.

    `sessions` is pi's setting `sessionDir` ($PI_CODING_AGENT_SESSION_DIR); it is read beside those in `home`.
    `telemetry` is where the heartbeats of running instances are ($PI_TELEMETRY_DIR).
    """

    environment: ClassVar[dict[str, str]] = {
        "home": "PI_CODING_AGENT_DIR",
        "sessions": "PI_CODING_AGENT_SESSION_DIR",
        "telemetry": "PI_TELEMETRY_DIR",
    }

    home: str | list[str] = "~/.pi/agent"
    sessions: str | list[str] = field(default_factory=list[str])
    telemetry: str | list[str] = "~/.pi/agent/telemetry/instances"

    def patterns(self) -> list[str]:
        """Sessions of every home, a folder for each project, and in folders of the user's choice; heartbeats."""
        homes = [f"{home.rstrip('/')}/sessions" for home in _several(self.home)]
        folders = homes + [folder.rstrip("/") for folder in _several(self.sessions)]
        instances = [f"{folder.rstrip('/')}/*.json" for folder in _several(self.telemetry)]
        return [f"{folder}/**/*.jsonl" for folder in folders] + instances

    def recognises(self, path: Path) -> bool:
        """Session files carry their time and an id in the name, in every version. A heartbeat is only good alive."""
        return _NAME.fullmatch(path.name) is not None

    def rank(self, path: Path) -> int:
        """The older session first: a fork tells its copies as its parent's, who had some from parents of its own."""
        found = _NAME.fullmatch(path.name)
        return int(re.sub(r"\D", "", found[1])) if found else 0

    def is_whole(self, path: Path) -> bool:
        """Heartbeats are; of a session file each line counts."""
        return path.suffix == ".json"

    def new_state(self, path: Path) -> State | Instance:
        """The id in a session's name stands in until the header tells the session's own."""
        if self.is_whole(path):
            return Instance()
        return State(session=Session(agent="pi", id=session.id_in_name(path.name) or path.stem))

    def map(self, record: Record, state: State | Instance) -> Iterator[Event]:
        """An entry of a session, or a content of a heartbeat file and what became of the file."""
        if isinstance(state, Instance):
            return iter(_seen(record, state))
        return iter(_entry(record, state))

    def gist(self, record: Record) -> object:
        """A heartbeat, apart from its number and its time: most are written by a timer and say nothing new."""
        try:
            heartbeat = record.decode(_HEARTBEAT)
        except BadRecord:
            return None
        process = heartbeat.process
        process.updated_at = process.heartbeat_seq = process.uptime_ms = 0
        return heartbeat

    def expects(self, state: State | Instance) -> Expectation | None:
        """A living instance writes; one that wrote its last heartbeat is gone soon."""
        return heartbeats.expected(state) if isinstance(state, Instance) else None


def _seen(record: Record, instance: Instance) -> list[Event]:
    match record.notice:
        case Vanished(at=at):
            return heartbeats.vanish(instance, at)
        case Quiet(seconds=seconds, is_alive=is_alive):
            return heartbeats.quiet(instance, seconds, is_alive=is_alive)
        case None:
            return heartbeats.observe(instance, _heartbeat(record), record.read_at)


def _heartbeat(record: Record) -> Heartbeat:
    """Raises `UnknownRecord`, which is counted once per file: a shape nobody knows comes again every 1.5 s."""
    try:
        return record.decode(_HEARTBEAT)
    except BadRecord as error:
        reason = error
    try:
        version = record.decode(_VERSION).schema_version
    except BadRecord:
        version = None
    kind = "heartbeat" if version in (None, 2) else f"heartbeat of version {version}"
    raise UnknownRecord(kind) from reason


def _entry(record: Record, state: State) -> Iterable[Event]:
    """One entry: find the turn that it goes on with, say what it means, and remember its branch's new end."""
    try:
        entry = record.decode(_ENTRY)
    except BadRecord as error:
        raise _why(record, error) from error
    if isinstance(entry, Header):
        return session.on_header(state, entry)
    session.end_copies(state, entry)
    place = Place(key_of(record, entry), entry.timestamp)
    turn, events = _told(state, entry, turns.follow(state, entry), place)
    if turn is not None:
        turn.last = place.at
    return events + turns.keep(state, entry, turn, place)


def _told(state: State, entry: Entry, turn: Turn | None, place: Place) -> tuple[Turn | None, list[Event]]:
    """The turn that is open behind the entry, and its events."""
    match entry:
        case Message(message=message):
            return _said(state, message, turn, place)
        case ModelChange():
            return turn, session.on_model_change(state, entry, turn, place)
        case Compaction():
            return turn, session.on_compaction(state, entry, turn, place)
        case BranchSummary():
            return turn, session.on_branch_summary(state, entry, turn, place)
        case SideUsage():
            return turn, session.on_side_usage(state, entry, turn, place)
        case _:
            return turn, []


def _said(state: State, message: AnyMessage, turn: Turn | None, place: Place) -> tuple[Turn | None, list[Event]]:
    match message:
        case User():
            return messages.on_user(state, message, turn, place)
        case Assistant():
            return messages.on_assistant(state, message, turn, place)
        case ToolResult():
            return turn, messages.on_result(state, message, turn, place)
        case BashExecution():
            return turn, messages.on_command(state, message, turn, place)
        case _:
            return turn, []


def _why(record: Record, error: BadRecord) -> BadRecord | UnknownRecord:
    """A line that the shapes refuse is of an unknown kind, or a known one in another shape."""
    head = record.decode(_HEAD)
    if head.type not in _KINDS:
        return UnknownRecord(head.type)
    if head.message is not None and head.message.role is not None and head.message.role not in _ROLES:
        return UnknownRecord(f"message.{head.message.role}")
    return error


def _several(paths: str | list[str]) -> list[str]:
    return [paths] if isinstance(paths, str) else paths
