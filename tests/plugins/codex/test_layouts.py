"""Layouts are told apart line by line; what fits none is refused, what is unknown is counted."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from forwarder_codex import Codex

from forwarder import (
    BadRecord,
    Compaction,
    Event,
    Prompt,
    Record,
    RecordTooLong,
    SessionStart,
    TurnStart,
    UnknownRecord,
)

from .lines import (
    OK,
    PATH,
    THREAD,
    TURN,
    answer,
    call,
    command,
    complete,
    context,
    dumps,
    event,
    item,
    kinds,
    line,
    meta,
    ms,
    only,
    output,
    prompt,
    read,
    response_item,
    stamp,
    started,
    token_count,
    token_record,
    usage,
)

HEADER = dumps({"id": THREAD, "timestamp": stamp(0), "instructions": None, "git": {"branch": "main"}})
BARE = [
    HEADER,
    dumps({"record_type": "state"}),
    dumps({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<user_instructions>x"}]}),
    dumps({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Set up"}]}),
    dumps({"type": "reasoning", "summary": []}),
    dumps({"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "call_1"}),
    dumps({"type": "function_call_output", "call_id": "call_1", "output": OK}),
    dumps({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]}),
    dumps({"type": "message", "role": "developer", "content": []}),
]


def test_bare_files_are_read() -> None:
    """Up to 0.29: no envelope, and no events beside the messages."""
    events = read(*BARE)

    assert kinds(events) == {
        "SessionStart": 1, "SessionState": 1, "TurnStart": 1, "Prompt": 1, "Response": 1,
        "ToolCallStart": 1, "ToolCallEnd": 1,
    }  # fmt: skip


def test_bare_records_have_no_time_of_their_own() -> None:
    """All take the header's, and say so; durations are never made of it."""
    start, *others = read(*BARE)

    assert not start.time_inferred
    assert {(e.time, e.time_inferred) for e in others} == {(start.time, True)}


def test_a_bare_record_without_header_is_refused() -> None:
    """There is no time to give it."""
    with pytest.raises(BadRecord, match="header is missing"):
        read(BARE[3])


WHOLE = [
    meta(),
    started(),
    context(),
    context("other"),
    prompt(),
    call(),
    command(),
    output(OK),
    token_record("r1", usage(3)),
    token_count(usage(5), usage(5)),
    item("McpToolCall", "exec-1", server="demo", tool="t", status="completed"),
    item("Plan", "p1", text="x"),
    response_item("reasoning", summary=[], encrypted_content="x"),
    line("world_state", {"full": True, "state": {}}),
    line("compacted", {"message": "sum"}),
    answer(),
    complete(),
]


def test_the_order_of_keys_changes_nothing() -> None:
    """It is not stable between versions; unusual lines take a longer way to the same result."""

    def turned(raw: bytes) -> bytes:
        whole = msgspec.json.decode(raw)
        whole["payload"] = dict(reversed(whole["payload"].items()))
        return dumps(dict(reversed(whole.items())))

    assert read(*map(turned, WHOLE)) == read(*WHOLE)


def test_white_space_changes_nothing() -> None:
    """Nobody writes it today."""
    spaced = [msgspec.json.format(raw, indent=1).replace(b"\n", b" ") for raw in WHOLE]

    assert read(*spaced) == read(*WHOLE)


def test_one_file_can_hold_two_layouts() -> None:
    """A session goes on in a newer version; its header keeps naming the old one."""
    old = [started(), event("user_message", message="a"), complete()]
    new = [started("t2", at=50), prompt("b", at=51)]

    assert [p.text for p in only(Prompt, read(meta(), *old, *new))] == ["a", "b"]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (line("brand_new", {"a": 1}), "brand_new"),
        (event("brand_new"), "event_msg.brand_new"),
        (response_item("brand_new"), "response_item.brand_new"),
        (item("BrandNew", "x"), "item_completed.BrandNew"),
        (dumps({"type": "brand_new"}), "brand_new"),
    ],
)
def test_an_unknown_kind_is_named(raw: bytes, kind: str) -> None:
    """So that a change of the format is noticed the day it ships."""
    with pytest.raises(UnknownRecord) as told:
        read(meta(), raw)

    assert told.value.kind == kind


@pytest.mark.parametrize(
    "raw",
    [
        prompt()[:-1],
        prompt()[: len(prompt()) // 2],
        response_item("reasoning", summary=[])[:-1],
        response_item("reasoning", summary=[]) + prompt(),
        response_item("reasoning", summary=[])[:-2] + prompt(),
        line("world_state", {"full": True})[:-1] + bytes(16),
        line("compacted", {"message": "x"}) * 2,
        b"[]",
        b"null",
        b"{}",
        b"garbage",
        event("token_count", info={"total_token_usage": {"input_tokens": "many"}}),
        event("user_message", message=7),
        line("event_msg", "text"),
        line("session_meta", {"timestamp": stamp(0)}),
        prompt().replace(b'{"timestamp":"', b'{"timestamp":"x'),
        prompt().replace(b'Z",', b'",', 1),
    ],
    ids=range(17),
)
def test_a_damaged_line_is_refused(raw: bytes) -> None:
    """It becomes a dead letter: never skipped silently, also where a whole line of its kind would say nothing."""
    with pytest.raises(BadRecord):
        read(meta(), raw)


def test_text_that_strict_json_forbids_is_read_all_the_same() -> None:
    """A lone surrogate costs a character, not the record."""
    raw = prompt("cut here").replace(b"cut here", b"cut \\ud83d here")

    assert [p.text for p in only(Prompt, read(meta(), started(), raw))] == ["cut \ufffd here"]


def head_of(raw: bytes) -> Record:
    return Record(raw[:4096], 10, 10_000_000, bytes(16), is_whole=False)


def mapped(record: Record) -> list[Event]:
    source = Codex()
    state = source.new_state(PATH)
    for raw in (meta(), started(), prompt()):
        list(source.map(Record(raw, 0, len(raw), bytes(16)), state))
    return list(source.map(record, state))


def test_a_compaction_is_told_from_its_head() -> None:
    """Lines of 33 MB exist; type, time and summary come first."""
    raw = line("compacted", {"message": 'so "far" ✓', "replacement_history": ["x" * 9000]}, at=5)
    [told] = only(Compaction, mapped(head_of(raw)))

    assert told == only(Compaction, mapped(Record(raw, 10, len(raw), bytes(16))))[0]
    assert (told.summary_chars, told.key) == (10, (THREAD, ms(5)))


def test_a_summary_longer_than_the_head_is_not_measured() -> None:
    """Unknown beats a guess."""
    [told] = only(Compaction, mapped(head_of(line("compacted", {"message": "x" * 9000}))))

    assert told.summary_chars is None


def test_a_world_state_of_any_length_says_nothing() -> None:
    """It holds prompt text only."""
    assert mapped(head_of(line("world_state", {"state": "x" * 9000}))) == []


def test_any_other_line_beyond_the_limit_is_a_gap() -> None:
    """The engine tells of it."""
    with pytest.raises(RecordTooLong):
        mapped(head_of(prompt("x" * 9000)))


@pytest.mark.parametrize(
    "name",
    [
        f"rollout-2026-03-01T13-00-00-{THREAD}.jsonl",
        f"rollout-2026-03-01T13-00-00-{THREAD}.jsonl.zst",
        f"rollout-2026-03-01T13-00-00-{THREAD}_{TURN}.jsonl",
        f"rollout-00007-{THREAD}.jsonl",
    ],
)
def test_a_rollout_is_recognised_by_its_name(name: str) -> None:
    """Wherever it lies; its name tells the thread."""
    source = Codex()

    assert source.recognises(Path("anywhere", name))
    assert source.new_state(Path(name)).session.id == THREAD


@pytest.mark.parametrize("name", ["history.jsonl", "session_index.jsonl", "rollout.jsonl", f"rollout-x-{THREAD}.json"])
def test_other_files_are_not_recognised(name: str) -> None:
    """`history.jsonl` holds what people typed, and no session."""
    assert not Codex().recognises(Path(name))


def test_every_home_is_searched() -> None:
    """One machine can have several."""
    assert Codex(home=["~/.codex", "/srv/codex/"]).patterns() == [
        f"{home}/{folder}/**/rollout-*.{ending}"
        for home in ("~/.codex", "/srv/codex")
        for folder in ("sessions", "archived_sessions")
        for ending in ("jsonl", "jsonl.zst")
    ]


def test_a_file_of_another_name_takes_its_session_from_its_header() -> None:
    """Replay is given files by any name."""
    events = read(meta(), started(), path=Path("corpus.jsonl"))

    assert {e.session.id for e in events} == {THREAD}
    assert kinds(events) == {"SessionStart": 1, "TurnStart": 1, "SessionState": 1}


def test_the_state_stays_small() -> None:
    """It is saved with every commit, however long the file."""
    source = Codex()
    state = source.new_state(PATH)
    lines = [call(call_id=f"call_{n:024}") for n in range(500)] + [
        token_record(f"r{n:030}", usage(1)) for n in range(500)
    ]
    for raw in (meta(), started(), *lines):
        list(source.map(Record(raw, 1, len(raw), bytes(16)), state))

    assert len(msgspec.msgpack.encode(state)) < 32_000


def test_times_are_the_agents_own() -> None:
    """The line's time, with its zone; the session's is its creation."""
    start, turn = only(SessionStart, read(meta())), only(TurnStart, read(meta(), started(at=1.5)))

    assert (start[0].time, turn[0].time) == (datetime.fromisoformat(stamp(0)), datetime.fromisoformat(stamp(1.5)))
