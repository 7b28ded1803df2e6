"""Sessions of OpenAI's Codex CLI: one rollout file each, in every layout from 0.1 to 0.169, told apart line by line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from forwarder import BadRecord, Event, Record, RecordTooLong, Session, Source, UnknownRecord
from forwarder_codex import lineage, routes, session, turns
from forwarder_codex.layouts import HANDLES, LINE, Handle
from forwarder_codex.records import BareHeader, Head, Line
from forwarder_codex.state import State

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_NAME = re.compile(rf"rollout-[\dT-]*?({_UUID})(_{_UUID})?\.jsonl(?:\.zst)?")

# The envelope's keys are always in this order: timestamp, ordinal, type, payload.
_PREFIX = re.compile(rb'\{"timestamp":"([^"]{20,35})",(?:"ordinal":\d+,)?"type":"(\w+)","payload":\{')
_SUMMARY = re.compile(rb'"payload":\{"message":("(?:[^"\\]|\\.)*")')

_decode = LINE.decode
_HEAD = msgspec.json.Decoder(Head)
_BARE_HEADER = msgspec.json.Decoder(BareHeader)
_TIME = msgspec.json.Decoder(datetime)
_TEXT = msgspec.json.Decoder(str)


@dataclass(frozen=True)
class Codex(Source[State]):
    """Option `home`: the folder in which Codex keeps its sessions (its own $CODEX_HOME), or a list of such folders."""

    environment: ClassVar[dict[str, str]] = {"home": "CODEX_HOME"}

    home: str | list[str] = "~/.codex"

    def patterns(self) -> list[str]:
        """Live and archived sessions, plain and compressed, in every home."""
        homes = [self.home] if isinstance(self.home, str) else self.home
        folders = ("sessions/**", "archived_sessions/**")
        return [
            f"{home.rstrip('/')}/{folder}/rollout-*.{ending}"
            for home in homes
            for folder in folders
            for ending in ("jsonl", "jsonl.zst")
        ]

    def recognises(self, path: Path) -> bool:
        """Rollouts carry their time and thread in the name, in every version."""
        return _NAME.fullmatch(path.name) is not None

    def new_state(self, path: Path) -> State:
        """The thread's id from the file's name; `_<rollout id>` behind it is a thread that went on after a revert."""
        found = _NAME.fullmatch(path.name)
        thread = found[1] if found else ""
        is_revert = found is not None and found[2] is not None
        return State(session=Session(agent="codex", id=thread), thread=thread, is_revert=is_revert)

    def map(self, record: Record, state: State) -> Iterator[Event]:
        """Decode the line once, whatever its kind; what does not fit goes the long way."""
        if not record.is_whole:
            return iter(_from_head(record, state))
        try:
            line = _decode(record.line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return iter(_by_kind(record, state))
        return iter(_handle(HANDLES[type(line.payload)], line, record, state))


def _handle(handle: Handle, line: Line[Any], record: Record, state: State) -> Iterable[Event]:
    if record.offset == 0:
        state.thread = ""  # the first line is the file's own header, whatever the file is called by now
    if state.lineage is not None and lineage.is_inherited(state, state.lineage, line):
        return ()
    return handle(state, line)


def _by_kind(record: Record, state: State) -> Iterable[Event]:
    """The long way, for any order of keys, and for bare files."""
    head = record.decode(_HEAD)
    if head.payload is None:
        return _bare(record, state, head)
    kind = head.type or ""
    if kind == "event_msg" and head.payload.type == "item_completed":
        item = head.payload.item.type if head.payload.item else None
        route, kind = routes.ITEMS.get(item or ""), f"item_completed.{item}"
    elif kind in {"event_msg", "response_item"}:
        table = routes.EVENTS if kind == "event_msg" else routes.RESPONSE_ITEMS
        route, kind = table.get(head.payload.type or ""), f"{kind}.{head.payload.type}"
    else:
        route = routes.RECORDS.get(kind)
    if route is None:
        raise UnknownRecord(kind)
    return _handle(route.handle, record.decode(route.decoder), record, state)


def _bare(record: Record, state: State, head: Head) -> Iterable[Event]:
    """Up to 0.29: no envelope and no time but the header's."""
    if head.record_type == "state":
        return ()
    if head.type is None:
        if head.id is None:
            raise BadRecord("neither an envelope nor a response item nor a header")
        return session.on_bare_header(state, record.decode(_BARE_HEADER))
    if head.type not in routes.RESPONSE_ITEMS:
        raise UnknownRecord(head.type)
    if head.type not in routes.BARE:
        return ()
    if state.header_time is None:
        raise BadRecord("a record without time in a file whose header is missing")
    decoder, handle = routes.BARE[head.type]
    line = Line(state.header_time, record.decode(decoder))
    return [_undated(event) for event in handle(state, line)]


def _undated(event: Event) -> Event:
    return msgspec.structs.replace(event, time_inferred=True)


def _from_head(record: Record, state: State) -> Iterable[Event]:
    """Only the first bytes of a very long line are there: they tell that the context was compacted, and when."""
    found = _PREFIX.match(record.line)
    kind = found[2] if found is not None else b""
    if found is None or kind not in {b"compacted", b"world_state"}:
        raise RecordTooLong(f"the record has {record.size} bytes, more than max_line_bytes")
    if kind == b"world_state" or state.lineage is not None:
        return ()
    summary = _SUMMARY.search(record.line, found.end(1))
    chars = len(_TEXT.decode(summary[1])) if summary else 0
    return turns.compaction(state, _TIME.decode(b'"' + found[1] + b'"'), chars or None)
