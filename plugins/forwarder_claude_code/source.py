"""Sessions of Anthropic's Claude Code: transcripts of 1.0 to 2.1, and the spools that its hooks write to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import msgspec

from forwarder import Event, Gap, Record, Session, Source, UnknownRecord
from forwarder_claude_code import hooks, spool, transcript
from forwarder_claude_code.records import Line
from forwarder_claude_code.spool import from_epoch
from forwarder_claude_code.state import State, milliseconds
from forwarder_claude_code.writer import DROPPED, FOLDER

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TRANSCRIPT = re.compile(rf"(?:{_UUID}|agent-[\w-]+)\.jsonl(?:\.zst|\.gz)?")
_ONE_EVENT = re.compile(r"(\d{13,19})\b.*\.json")
_SPOOL = re.compile(r"(?:hooks|envelope|spool)\b.*\.jsonl(?:\.zst|\.gz)?")
_EVENTS = frozenset(re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in (*hooks.HANDLERS, *hooks.IGNORED))
SPOOL_FOLDERS = frozenset({"spool", "hooks"})  # what writers call them; whatever JSON lies there is recognised
SPOOLS = (f"{FOLDER}/**/*.jsonl", f"{FOLDER}/**/*.json", f"{FOLDER}/{DROPPED}")

_OURS = re.compile(r"hooks(?:\.\d{19})?\.jsonl|hooks/\d{1,19}-\d+\.json")  # what `writer` makes, also renamed

_HOOK = re.compile(rb'[\[\d]|\s*\{\s*"(?:session_id|hook_event_name|v|spool_v)"')  # begins what a hook writes
_LINE = msgspec.json.Decoder(Line)


@dataclass(frozen=True)
class ClaudeCode(Source[State]):
    """Options: `home`, Claude Code's folder ($CLAUDE_CONFIG_DIR) or a list of them; `spools`, patterns of hook spools
    besides those in a home's folder `forwarder`.
    """

    environment: ClassVar[dict[str, str]] = {"home": "CLAUDE_CONFIG_DIR"}

    home: str | list[str] = "~/.claude"
    spools: list[str] = field(default_factory=list[str])

    def patterns(self) -> list[str]:
        """Transcripts, those of sub-agents in their folders, and spools."""
        below = [f"{home}/{pattern}" for home in self._homes() for pattern in ("projects/**/*.jsonl", *SPOOLS)]
        return [*below, *self.spools]

    def recognises(self, path: Path) -> bool:
        """Transcripts are named by their session or agent, spools by what writers call them."""
        name = path.name
        if _is_transcript(path) or _SPOOL.fullmatch(name) or _ONE_EVENT.fullmatch(name):
            return True
        if path.suffix == ".json" and path.stem in _EVENTS:
            return True
        is_json = path.suffix in {".json", ".jsonl"} and not name.endswith(".meta.json")
        return is_json and any(parent.name in SPOOL_FOLDERS for parent in list(path.parents)[:2])

    def is_whole(self, path: Path) -> bool:
        """One event a file, or an array of events that each hook rewrites; and the count of what was dropped."""
        return path.suffix == ".json" or _is_count(path)

    def is_spool(self, path: Path) -> bool:
        """What the script of `forwarder hook` writes, below a home that is named without wildcards; nothing else."""
        folders = (f"{os.path.abspath(os.path.expanduser(home))}/{FOLDER}/" for home in self._homes())
        return any(str(path).startswith(one) and _OURS.fullmatch(str(path)[len(one) :]) for one in folders)

    def _homes(self) -> list[str]:
        homes = [self.home] if isinstance(self.home, str) else self.home
        return [home.rstrip("/") for home in homes]

    def rank(self, path: Path) -> int:
        """Hooks first: they know durations, and the first record of a fact decides."""
        return 1 if _is_transcript(path) else 0

    def new_state(self, path: Path) -> State:
        """A file of one event may have its time in its name."""
        found = _ONE_EVENT.fullmatch(path.name)
        time = round(from_epoch(float(found[1])).timestamp() * 1000) * 1_000_000 if found else None
        if _is_count(path):
            return State(dropped=0)
        return State(is_transcript=_is_transcript(path), is_scattered=self.is_whole(path), file_time=time)

    def map(self, record: Record, state: State) -> Iterator[Event]:
        """A file that is named after its session is a transcript, but some writers name their spools that way too."""
        if state.is_transcript and not _HOOK.match(record.line):
            return iter(transcript.on_line(state.transcript, record.decode(_LINE)))
        return iter(_of_spool(record, state) if state.dropped is None else _of_count(record, state))


def _is_count(path: Path) -> bool:
    return path.name == DROPPED and path.parent.name == FOLDER


def _is_transcript(path: Path) -> bool:
    """By its name, or in a project's folder, whose name is the project's path with hyphens.

    Folders of other agents may be named so too; but where that name ends with hyphens as well, it is not ours.
    """
    if _TRANSCRIPT.fullmatch(path.name):
        return True
    folders = [parent.name for parent in path.parents]
    return path.suffix == ".jsonl" and any(name.startswith("-") and not name.endswith("--") for name in folders)


def _of_spool(record: Record, state: State) -> Iterable[Event]:
    """The events of all payloads in the record. An unknown one among others costs only itself."""
    if state.is_scattered:
        state.live, state.occurrences = {}, {}  # the whole file is read anew: nothing was said before
    named = None if state.file_time is None else from_epoch(state.file_time)
    found, unknown, known = list[Event](), None, 0
    for hook, written in spool.hooks_of(record):
        time = written or named
        try:
            found += hooks.on_hook(state, hook, time or record.time, is_inferred=time is None)
            known += 1
        except UnknownRecord as error:
            unknown = error
    if unknown is not None and not known:
        raise unknown
    return found


def _of_count(record: Record, state: State) -> Iterator[Event]:
    """What has been dropped since the count was read last; a smaller one was begun anew."""
    before, state.dropped = state.dropped or 0, record.size
    if state.dropped != before:
        yield Gap(
            key=(DROPPED, milliseconds(record.time), record.size),
            time=record.time,
            time_inferred=True,
            session=Session(agent="claude-code", id=DROPPED),
            reason="dropped",
            count=state.dropped - before if state.dropped > before else state.dropped,
        )
