"""One bad record costs one record; state and offset stay in step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from forwarder import Event, Gap, Prompt, Record, Session, Source, UnknownRecord, text_digest, text_size
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import KINDS_KEPT, Mapped, Mapper
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules

TIME = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
REDACTOR = Redactor(Rules.load_builtin())


@dataclass
class State:
    session: Session
    total: int = 0
    words: set[str] = field(default_factory=set[str])


@dataclass(frozen=True)
class Acme(Source[State]):
    """Counts up, and breaks halfway when it is told to: after changing its state and yielding an event."""

    def patterns(self) -> list[str]:
        return ["/acme/*.jsonl"]

    def new_state(self, path: Path) -> State:
        return State(Session(agent="acme", id=path.stem))

    def map(self, record: Record, state: State) -> Iterator[Prompt]:
        line = record.json()
        state.total += 1
        state.words.add(line["text"])
        text = f"{state.total}:{line['text']}"
        yield Prompt(
            key=(state.session.id, record.offset),
            time=TIME,
            session=state.session,
            bytes=text_size(text),
            chars=len(text),
            sha256=text_digest(text),
            text=text,
        )
        if line.get("breaks"):
            raise KeyError("usage")
        if kind := line.get("unknown"):
            raise UnknownRecord(kind)


def mapper(
    level: Level = Level.NONE,
    *,
    source: Source[State] = Acme(),
    wanted: Callable[[Event], bool] | None = None,
    path: str = "/acme/s1.jsonl",
    key: bytes | None = None,
) -> Mapper:
    redactor = REDACTOR
    encoder = Encoder(host="mac", level=level, redactor=redactor, prices=None, key=key)
    return Mapper(
        source,
        name="work",
        path=Path(path),
        encoder=encoder,
        redactor=redactor,
        level=level,
        now=lambda: NOW,
        wanted=wanted,
    )


def records(*lines: dict[str, Any] | bytes) -> list[Record]:
    """The lines as one file."""
    found: list[Record] = []
    offset = 0
    for line in lines:
        text = line if isinstance(line, bytes) else json.dumps(line).encode()
        found.append(Record(text, offset, len(text), b"first line digest"))
        offset += len(text) + 1
    return found


def events(mapped: Mapped) -> list[dict[str, Any]]:
    return [json.loads(line) for line in mapped.lines]


def texts(mapped: Mapped) -> list[str]:
    return [event["text"] for event in events(mapped) if event["type"] == "prompt"]


def test_records_become_lines_and_facts_in_step() -> None:
    """Each line has its fact."""
    mapped = mapper().map(records({"text": "a"}, {"text": "b"}))

    assert (texts(mapped), len(mapped.facts), len(set(mapped.facts))) == (["1:a", "2:b"], 2, 2)


@dataclass(frozen=True)
class Losing(Source[State]):
    """Tells of what was lost, and of nothing else."""

    def patterns(self) -> list[str]:
        return ["/acme/*.jsonl"]

    def new_state(self, path: Path) -> State:
        return State(Session(agent="acme", id=path.stem))

    def map(self, record: Record, state: State) -> Iterator[Event]:
        yield Gap(key=record.key, time=TIME, session=state.session, reason="dropped", count=record.json())


def test_a_loss_that_a_source_tells_is_an_event_and_a_warning() -> None:
    """And no sign of life of a session."""
    with capture_logs() as logs:
        mapped = mapper(source=Losing()).map(records(b"7"))

    assert [(event["type"], event["reason"], event["count"]) for event in events(mapped)] == [("gap", "dropped", 7)]
    assert mapped.sessions == []
    assert [log["event"] for log in logs] == ["work: 7 more records are lost (dropped), says /acme/s1.jsonl"]


def test_a_record_that_breaks_halfway_costs_only_itself() -> None:
    """The state is that of before it, and none of its events counts."""
    mapped = mapper().map(records({"text": "a"}, {"text": "bad", "breaks": 1}, {"text": "b"}))

    assert (texts(mapped), len(mapped.facts)) == (["1:a", "2:b"], 2)
    assert len(mapped.dead_letters) == 1


@pytest.mark.parametrize("bad", [{0}, {4}, {0, 1}, {1, 3}, {0, 2, 4}, {0, 1, 2, 3, 4}])
def test_several_bad_records_cost_only_themselves(bad: set[int]) -> None:
    """Wherever they stand in the slice, and also for the state that is saved behind it."""
    lines = [{"text": str(number), "breaks": number in bad} for number in range(5)]
    good = [line for line in lines if not line["breaks"]]
    one, other = mapper(), mapper()
    mapped, wanted = one.map(records(*lines)), other.map(records(*good))

    assert texts(mapped) == texts(wanted)
    assert one.map(records({"text": "next"})).lines == other.map(records({"text": "next"})).lines
    assert [letter.reason for letter in mapped.dead_letters] == ["KeyError: 'usage'"] * len(bad)


def test_a_dead_letter_says_what_where_and_why() -> None:
    """With file and offset, so that the record can be found and replayed."""
    [first, bad] = records({"text": "a"}, b'{"text": ')
    [letter] = mapper().map([first, bad]).dead_letters

    assert (letter.source, letter.sink, letter.file) == ("work", None, "/acme/s1.jsonl")
    assert (letter.offset, letter.size, letter.time) == (bad.offset, bad.size, NOW.timestamp())
    assert letter.reason.startswith("not JSON: ")
    assert letter.body == b'{"text": '


@pytest.mark.parametrize(
    ("level", "body"), [(Level.FULL, b""), (Level.PREVIEW, b"[REDACTED] "), (Level.NONE, b"[REDACTED] ")]
)
def test_a_dead_letter_keeps_no_secret(level: Level, body: bytes) -> None:
    """A bad record is content like any other."""
    [letter] = mapper(level).map(records(f"{SECRET} {'x ' * 2000}".encode())).dead_letters

    assert letter.body.startswith(body)
    assert SECRET.encode() not in letter.body
    assert len(letter.body) <= {Level.FULL: 0, Level.PREVIEW: 53, Level.NONE: 1024}[level]


def test_a_bad_record_is_logged_without_its_content() -> None:
    """A log is not a place for what people wrote."""
    with capture_logs() as logs:
        mapper().map(records(f'{{"text": "{SECRET}'.encode()))

    assert "s1.jsonl, bytes 0-" in logs[0]["event"]
    assert SECRET not in str(logs)


def test_an_unknown_kind_is_announced_once_and_counted() -> None:
    """Format drift is noticed the day it ships, and is no flood of events."""
    one = mapper()
    first = one.map(records({"text": "a"}, *[{"text": "x", "unknown": "novel"}] * 3, {"text": "b"}))
    again = one.map(records({"text": "x", "unknown": "novel"}, {"text": "x", "unknown": "newer"}))
    [announced, newer] = [event for event in (*events(first), *events(again)) if event["type"] == "unknown_record"]

    assert (announced["record_type"], announced["count"], newer["record_type"]) == ("novel", 1, "newer")
    assert (announced["session_id"], announced["time"]) == ("s1", "2026-11-21T01:02:03.000Z")
    assert announced["time_inferred"] is True
    assert (texts(first), first.dead_letters) == (["1:a", "2:b"], [])


def test_a_known_unknown_kind_stays_known_after_a_restart() -> None:
    """It is part of the saved state."""
    one, other = mapper(), mapper()
    one.map(records({"text": "x", "unknown": "novel"}))

    assert other.restore(one.state())
    assert other.map(records({"text": "x", "unknown": "novel"})).lines == []


def test_what_is_saved_of_a_mapper_holds_no_secret() -> None:
    """Also what only the state remembers; in memory it stays as it was, so that nothing is counted differently."""
    one, other = mapper(), mapper()
    one.map(records({"text": SECRET}, {"text": "x", "unknown": f"kind {SECRET}"}))

    assert other.restore(one.state())
    assert SECRET.encode() not in one.state()
    assert texts(one.map(records({"text": "b"}))) == texts(other.map(records({"text": "b"})))


def test_an_unknown_kind_is_cut_behind_its_secret() -> None:
    """A cut first would hide the end of the secret from its pattern."""
    escaped = "".join(f"&#{ord(char)};" for char in SECRET)
    [_, seen] = events(mapper().map(records({"text": "a"}, {"text": "x", "unknown": f"kind {escaped}"})))

    assert seen["record_type"] == "kind [REDACTED]"


@pytest.mark.parametrize("level", [Level.NONE, Level.PREVIEW, Level.FULL])
def test_a_dead_letter_is_cut_behind_its_secrets(level: Level) -> None:
    """In whatever spelling they stand across the cut."""
    escaped = "".join(f"\\u{ord(char):04x}" for char in SECRET)
    [letter] = mapper(level).map(records(b"x " * 480 + escaped.encode())).dead_letters

    assert b"\\u0" not in letter.body


def test_garbage_kinds_do_not_fill_the_state() -> None:
    """More kinds than any agent has are not drift."""
    one = mapper()
    mapped = one.map(records(*({"text": "x", "unknown": f"{number}" * 999} for number in range(1, 200))))

    assert len(mapped.lines) == KINDS_KEPT
    assert max(len(event["record_type"]) for event in events(mapped)) == 200


def test_a_line_over_the_limit_leaves_a_gap() -> None:
    """Its size is known, its content is not."""
    [record] = records(b'{"text": "' + b"x" * 100)
    record = Record(record.line, 77, 50_000_000, record.first_line, is_whole=False)
    mapped = mapper().map([record])
    [gap] = events(mapped)

    assert (gap["type"], gap["reason"], gap["bytes"], gap["origin"]["offset"]) == ("gap", "oversize", 50_000_000, 77)
    assert mapped.dead_letters == []


def test_the_engines_own_events_have_the_same_ids_in_every_reading() -> None:
    """Gaps and unknown kinds are found again by every replay; they count once."""
    lines = records({"text": "a"}, {"text": "x", "unknown": "novel"})

    assert mapper().map(lines).facts == mapper(path="/elsewhere/s1.jsonl").map(lines).facts


def test_the_state_survives_the_journal() -> None:
    """Sets and sessions come back as what they were."""
    one, other = mapper(), mapper()
    one.map(records({"text": "a"}, {"text": "b"}))

    assert other.restore(one.state())
    assert texts(other.map(records({"text": "a"}))) == ["3:a"]


@pytest.mark.parametrize("state", [b"", b"garbage", b"\x81\xa5state\x01", b"\x81\xa5state\x81\xa5total\xa1x"])
def test_a_state_that_cannot_be_read_is_refused(state: bytes) -> None:
    """And what was there stays."""
    one = mapper()
    before = one.state()

    assert not one.restore(state)
    assert one.state() == before


def test_history_that_nobody_asked_for_only_builds_the_state() -> None:
    """Neither its events, nor its bad or unknown records are told of."""
    lines = records(
        {"text": "old"}, {"text": "bad", "breaks": 1}, {"text": "x", "unknown": "novel"}, {"text": "new"}, b"{bad"
    )
    mapped = mapper().map(lines, skip_until=lines[3].offset)

    assert (texts(mapped), len(mapped.lines), len(mapped.facts)) == (["2:new"], 1, 1)
    assert [letter.offset for letter in mapped.dead_letters] == [lines[4].offset]


def test_events_that_are_not_wanted_still_change_the_state() -> None:
    """A replay of a span of time must count as the whole would."""
    mapped = mapper(wanted=lambda event: isinstance(event, Prompt) and "2:" in event.text).map(
        records({"text": "a"}, {"text": "b"}, {"text": "c"})
    )

    assert (texts(mapped), len(mapped.facts)) == (["2:b"], 1)


def test_a_lossy_record_marks_its_events() -> None:
    """What was read tolerantly is said to be."""
    mapped = mapper().map(records(b'{"text": "a\\ud800"}'))

    assert [event["origin"]["lossy"] for event in events(mapped)] == [True]


def test_an_event_that_cannot_be_encoded_costs_its_record() -> None:
    """All events of the record, so that it is told whole or not at all."""

    class Naive(Acme):
        def map(self, record: Record, state: State) -> Iterator[Prompt]:
            for event in super().map(record, state):
                yield event
                if "b" in event.text:
                    yield Prompt(
                        key=("naive",),
                        time=TIME.replace(tzinfo=None),
                        session=state.session,
                        bytes=0,
                        chars=0,
                        sha256="",
                        text="",
                    )

    mapped = mapper(source=Naive()).map(records({"text": "a"}, {"text": "b"}, {"text": "c"}))

    assert texts(mapped) == ["1:a", "2:c"]
    assert "no time zone" in mapped.dead_letters[0].reason


def test_a_secret_in_a_file_name_stays_there() -> None:
    """The name goes out with every event of the file."""
    mapped = mapper(path=f"/acme/{SECRET}.jsonl").map(records({"type": "say", "id": "a", "text": "hello"}))

    assert [event["origin"]["file"] for event in events(mapped)] == ["[REDACTED].jsonl"]


@dataclass(frozen=True)
class Adding(Acme):
    """Adds up what the records say."""

    def map(self, record: Record, state: State) -> Iterator[Prompt]:
        yield from super().map(record, state)
        state.total += record.json().get("add", 0)


def remembered(one: Mapper) -> State:
    """The source's part of what is saved; its bytes differ, for a set is saved in any order."""
    return msgspec.convert(msgspec.msgpack.decode(one.state())["state"], State)


@pytest.mark.parametrize("bad", [{0}, {2}, {0, 2}, {1, 3}, {0, 1, 2, 3}])
@pytest.mark.parametrize("breaks", [{}, {"text": "x", "breaks": 1}])
def test_a_number_that_no_state_can_hold_costs_its_record(bad: set[int], breaks: dict[str, Any]) -> None:
    """Numbers in JSON have no limit, those in MessagePack 64 bits: without its state a stream could not go on."""
    lines = [{"text": str(number), "add": -(2**63) - 9 if number in bad else 1} for number in range(4)]
    good = [line for line in lines if line["add"] == 1]
    one, other = mapper(source=Adding()), mapper(source=Adding())
    mapped, wanted = one.map(records(*lines, breaks)), other.map(records(*good))

    assert texts(mapped) == texts(wanted)
    assert remembered(one) == remembered(other)
    assert [letter.offset for letter in mapped.dead_letters][: len(bad)] == [
        record.offset for number, record in enumerate(records(*lines)) if number in bad
    ]
    assert "cannot be saved" in mapped.dead_letters[0].reason


def test_a_secret_is_told_although_its_neighbour_cannot_be_saved() -> None:
    """The records are mapped a second time then, and what was told in the first is not told yet."""
    one = mapper(source=Adding(), key=b"k")
    mapped = one.map(records({"text": SECRET}, {"text": "b", "add": 2**64}))

    assert [event["type"] for event in events(mapped)] == ["prompt", "secret_found"]
