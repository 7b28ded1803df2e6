"""Targets: what each source makes of its agent's records, through the engine's own mapper, redactor, encoder, journal.

An input is a file as the agent writes it. Of a file that is rewritten in place it is what it held, one content after
the other with a record separator (0x1E) between, and notices: ``gone``, and ``quiet`` with seconds and what is known of
the process (yes, no, unknown), behind a 0x01.
"""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec
from forwarder_claude_code import ClaudeCode
from forwarder_codex import Codex
from forwarder_pi import Pi
from forwarder_tool_usage.source import ToolUsageLog

from forwarder import Quiet, Record, Source, Vanished
from forwarder.app.looking.schema import json_schema
from forwarder.journal import Changes, StreamRow
from forwarder.journal.file import JournalFile
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.fields import CONTENT_BY_TAG, NAMES_BY_TAG, SESSION_NAMES
from forwarder.pipeline.mapping import Mapped, Mapper
from forwarder.pipeline.pricing import Prices
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.pipeline.tightening import tighten
from forwarder.testing.contents import Content, content_records
from forwarder.testing.sources import records as records_of
from tests.app.test_wire_form import misfits
from tests.fuzz.mutation import SECRETS, Mutator
from tests.fuzz.target import Target, require

PLUGINS = Path(__file__).parent.parent / "plugins"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SEED_RECORDS = 24  # of one seed: where it goes wrong should be found soon
INPUTS_PER_JOURNAL = 1000

CONTENTS = b"\x1e"
NOTICE = b"\x01"


class _Journal:
    """A journal that takes what was mapped, made anew now and then so that it does not grow."""

    def __init__(self) -> None:
        self._inputs = 0
        self._open()

    def _open(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forwarder-fuzz-")
        self._file = JournalFile(Path(self._folder.name))

    def add(self, mapped: Mapped, state: bytes) -> None:
        """Commit it, as the engine does; raises whatever SQLite does."""
        self._inputs += 1
        if self._inputs % INPUTS_PER_JOURNAL == 0:
            self._file.close()
            self._folder.cleanup()
            self._open()
        row = StreamRow(id=1, source="fuzz", path="fuzz.jsonl", device=1, inode=1, state=state)
        changes = Changes(
            mapped.lines, mapped.facts, {1: row}, dead_letters=mapped.dead_letters, sessions=mapped.sessions
        )
        before = self._file.last
        block = self._file.add(changes, now=NOON.timestamp())
        read = [line for one in self._file.read(before, 1 << 40) for line in one.lines]
        require(read == list(block.lines), "the journal gives back other events than it took")
        self._file.live_sessions(NOON.timestamp())


@cache
def _redactor() -> Redactor:
    return Redactor(Rules.load_builtin())


@cache
def _encoder(level: Level) -> Encoder:
    return Encoder(host="box", level=level, redactor=_redactor(), prices=Prices.load(), key=b"fuzz")


@cache
def _journal() -> _Journal:
    return _Journal()


class MapperTarget(Target):
    """A source and the file that it reads."""

    separator = b"\n"
    state_bytes = 64 << 10  # what a state may have beside a few of the longest texts that it was given

    def __init__(self, name: str, source: Source[Any], path: str, samples: Iterable[Path]) -> None:
        self.name = name
        self._source = source
        self._path = Path(path)
        self._samples = list(samples)

    def seeds(self) -> list[bytes]:
        """Pieces of the recordings, each beginning where its file does: the first record says what it is."""
        seeds: list[bytes] = []
        for content in self._contents:
            first, *others = content.split(self.separator)
            seeds += [
                self.separator.join([first, *others[at : at + SEED_RECORDS]])
                for at in range(0, max(1, len(others)), SEED_RECORDS)
            ]
        return seeds

    @cached_property
    def _contents(self) -> list[bytes]:
        return [content for path in self._samples if (content := self._read(path).strip())]

    def _read(self, path: Path) -> bytes:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()

    @cached_property
    def mutator(self) -> Mutator:
        """Knows what the recordings hold."""
        return Mutator(self._contents, separator=self.separator)

    def mutated(self, data: bytes, random: Random) -> bytes:
        return self.mutator.mutated(data, random)

    def records(self, data: bytes) -> list[Record]:
        """What the engine makes of the file."""
        return records_of(data)

    def mapper(self, level: Level = Level.NONE) -> Mapper:
        """A new mapper of the file."""
        return Mapper(
            self._source,
            name=self.name,
            path=self._path,
            encoder=_encoder(level),
            redactor=_redactor(),
            level=level,
            now=lambda: NOON,
        )

    def check(self, data: bytes) -> None:
        level = (Level.NONE, Level.PREVIEW, Level.FULL)[len(data) % 3]
        mapper = self.mapper(level)
        records = self.records(data)
        whole = mapper.map(records)
        state = mapper.state()
        longest = max((len(record.line) for record in records), default=0)
        check_events(whole)
        again = self.mapper(level).map(self.records(data))
        is_same = again.lines == whole.lines
        require(is_same, f"read again it tells other events: {_difference(whole.lines, again.lines)}")
        require(
            len(state) <= self.state_bytes + 8 * longest,
            f"the state has {len(state)} bytes, the longest record {longest}",
        )
        expected = mapper.expects()
        require(expected is None or 0 < expected.quiet_seconds < math.inf, f"expects {expected}")
        self._check_steps(data)
        require(mapper.restore(state), "a state that was saved cannot be read")
        _journal().add(whole, state)

    def _check_steps(self, data: bytes) -> None:
        """One by one with a restart behind each it is the same, and without the refused ones it is the same again.

        With the secrets in it: where one is in an id, a state that is saved without it makes another id.
        """
        level = Level.RAW
        mapper = self.mapper(level)
        whole, state = mapper.map(self.records(data)), mapper.state()
        lines: list[bytes] = []
        reasons: list[str] = []
        taken: list[int] = []
        unknown: dict[str, int] = {}
        mapper = self.mapper(level)
        for number, record in enumerate(self.records(data)):
            mapped = mapper.map([record])
            lines += mapped.lines
            reasons += [letter.reason for letter in mapped.dead_letters]
            saved, known = mapper.state(), unknown
            unknown = msgspec.msgpack.decode(saved)["unknown"]
            if not mapped.dead_letters and unknown == known and not any(map(_is_of_engine, mapped.lines)):
                taken.append(number)
            mapper = self.mapper(level)
            require(mapper.restore(saved), "a state that was saved cannot be read")
        if any("cannot be saved" in reason for reason in reasons):
            return  # refused only where a slice ends with it: the next record may make the state fit again
        require(lines == whole.lines, f"restarts change the events: {_difference(whole.lines, lines)}")
        require(_ordered(mapper.state()) == _ordered(state), "restarts change the state")
        records = self.records(data)
        good = self.mapper(level).map([records[number] for number in taken])
        told = [line for line in whole.lines if not _is_of_engine(line)]
        require(good.lines == told, f"refused records leave traces: {_difference(told, good.lines)}")


class ContentsTarget(MapperTarget):
    """A file that is rewritten in place."""

    separator = CONTENTS

    def records(self, data: bytes) -> list[Record]:
        return content_records([_content(one) for one in data.split(CONTENTS)])

    def _read(self, path: Path) -> bytes:
        return path.read_bytes().strip()


class HeartbeatTarget(ContentsTarget):
    """The recordings tell of each rewriting of a file; notices are put between."""

    def _read(self, path: Path) -> bytes:
        found: dict[str, list[bytes]] = {}
        for line in path.read_bytes().splitlines():
            step = json.loads(line)
            if isinstance(step.get("data"), str):
                found.setdefault(step["name"], []).append(step["data"].encode())
            elif step["op"] in ("unlink", "delete"):
                found.setdefault(step["name"], []).append(NOTICE + b"gone")
        return CONTENTS.join(one for contents in found.values() for one in _thinned(contents))

    def mutated(self, data: bytes, random: Random) -> bytes:
        contents = data.split(CONTENTS)
        for _ in range(random.choice((0, 0, 1, 3))):
            contents.insert(random.randrange(len(contents) + 1), NOTICE + random.choice(_NOTICES))
        return super().mutated(CONTENTS.join(contents), random)


_NOTICES = (b"gone", b"quiet 0 unknown", b"quiet 5 yes", b"quiet 5 no", b"quiet 3600 unknown", b"quiet 1e9 no")


def _thinned(contents: Sequence[bytes]) -> Sequence[bytes]:
    """Most beats are the same: an eighth of them shows as much."""
    return contents if len(contents) < 16 else [*contents[:4], *contents[4:-4:8], *contents[-4:]]


def _content(one: bytes) -> Content:
    if not one.startswith(NOTICE):
        return one
    word, *details = one[1:].decode("ascii", "replace").split()[:3] or ["gone"]
    if word != "quiet" or len(details) != 2:
        return Vanished(NOON)
    try:
        seconds = float(details[0])
    except ValueError:
        seconds = 5.0
    return Quiet(seconds, {"yes": True, "no": False}.get(details[1]))


def check_events(mapped: Mapped) -> None:
    """What may be stored and sent: of one line each, valid by the schema, without secrets, fit for other levels."""
    require(len(mapped.lines) == len(mapped.facts), "lines and facts are not in step")
    kinds: dict[str, tuple[str, str]] = {}
    for line in filter(None, mapped.lines):
        event = strictly(line)
        require(b"\n" not in line and line.startswith(b'{"id":"'), f"not as every line begins: {line[:100]!r}")
        require(not (found := _misfits(event)), f"against the schema: {found[:3]}")
        kind = kinds.setdefault(event["id"], (event["agent"], event["type"]))
        require(kind == (event["agent"], event["type"]), f"one id for two facts: {event['id']}")
        _check_secrets(event)
        for level in (Level.PREVIEW, Level.FULL):
            strictly(tighten(line, level, _redactor()))
    for letter in mapped.dead_letters:
        said = letter.body.decode() + letter.reason
        require(not _shown(said), "a secret in a dead letter")


def strictly(line: bytes) -> dict[str, Any]:
    """The line as JSON; raises for what only Python takes for it."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    event: dict[str, Any] = json.loads(line.decode(), parse_constant=refuse)
    return event


@cache
def _types() -> dict[str, Any]:
    types: dict[str, Any] = json_schema()["$defs"]
    return types


def _misfits(event: dict[str, Any]) -> list[str]:
    schema = _types()[event["type"]]
    found = list(misfits(schema, event, event["type"]))
    for name, value in event.items():
        least = schema["properties"].get(name, {}).get("minimum")
        if least is not None and value < least:
            found.append(f"{event['type']}.{name} is {value}, less than {least}")
    return found


def _check_secrets(event: dict[str, Any]) -> None:
    kind = event["type"]
    for name in (*CONTENT_BY_TAG[kind], *NAMES_BY_TAG[kind], *SESSION_NAMES):
        require(not _shown(str(event.get(name, ""))), f"a secret in {kind}.{name}")


def _shown(text: str) -> bool:
    return any(f" {secret} " in text for secret in SECRETS)


def _is_of_engine(line: bytes) -> bool:
    return line[41:].startswith((b'"type":"unknown_record"', b'"type":"gap"'))


def _difference(wanted: Sequence[bytes], got: Sequence[bytes]) -> str:
    for one, other in zip(wanted, got, strict=False):
        if one != other:
            return f"{one[:400]!r} became {other[:400]!r}"
    return f"{len(wanted)} events became {len(got)}"


def _ordered(state: bytes) -> Any:
    """The state in a form that does not depend on the order of sets."""

    def ordered(value: Any) -> Any:
        match value:
            case dict():
                items = cast("dict[str, Any]", value).items()
                return sorted(((repr(key), ordered(one)) for key, one in items), key=repr)
            case list():
                return sorted((ordered(one) for one in cast("Sequence[Any]", value)), key=repr)
            case _:
                return value

    return ordered(msgspec.msgpack.decode(state))


def mapper_targets() -> list[MapperTarget]:
    """One for every kind of file of every source."""
    session = "1ec18b99-7724-4bb6-ac57-f5cbf72ab1e2"
    return [
        MapperTarget(
            "codex", Codex(), f"rollout-2026-11-21T01-12-22-{session}.jsonl", _below("codex", "rollout*.jsonl")
        ),
        MapperTarget(
            "claude_code", ClaudeCode(), f"{session}.jsonl", _below("claude_code", "*/transcripts/**/*.jsonl")
        ),
        MapperTarget("claude_code_spool", ClaudeCode(), "hooks.jsonl", _below("claude_code", "*/spool/*.jsonl")),
        ContentsTarget(
            "claude_code_files",
            ClaudeCode(),
            "1795222756681122101-218.json",
            _below("claude_code", "*/spool/*/**/*.json"),
        ),
        MapperTarget("pi", Pi(), f"2026-11-21T00-51-27-858Z_{session}.jsonl", _below("pi", "*/sessions*/**/*.jsonl")),
        HeartbeatTarget("pi_heartbeat", Pi(), "30001.json", _below("pi", "*/heartbeats.jsonl")),
        MapperTarget("tool_usage", ToolUsageLog(), "events.jsonl", _below("tool_usage", "*.jsonl")),
    ]


def _below(plugin: str, pattern: str) -> list[Path]:
    return sorted((PLUGINS / plugin / "samples").glob(f"**/{pattern}"))
