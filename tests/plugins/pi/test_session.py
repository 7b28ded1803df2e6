"""Who a session is, whom it comes from, and that copies and rewritten files tell nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forwarder_pi import Pi

from forwarder import (
    BadRecord,
    Compaction,
    ModelChange,
    Prompt,
    SessionStart,
    TokenUsage,
    TurnEnd,
    UnknownRecord,
)

from .lines import (
    PARENT,
    PATH,
    SESSION,
    answer,
    as_v1,
    calling,
    dumps,
    entry,
    facts,
    header,
    migrated,
    only,
    prompt,
    read,
    result,
    spent,
    usage,
)

PARENT_PATH = f"/home/dev/.pi/agent/sessions/--home-dev--/2026-03-01T11-00-00-000Z_{PARENT}.jsonl"


def test_the_header_decides_who_the_session_is() -> None:
    """In files that v1 began the id in the name is another one."""
    [start] = only(SessionStart, read(header("7380d85b"), path=Path("2026-03-01T12-00-00-000Z_2af84346.jsonl")))

    assert (start.session.id, start.session.cwd, start.reason) == ("7380d85b", "/home/dev/shop", "startup")


def test_without_its_header_the_name_says_who_the_session_is() -> None:
    """A file whose first line is broken is still one session; an id may hold underscores."""
    [told] = only(Prompt, read(prompt(), path=Path("2026-03-01T12-00-00-000Z_my_session.jsonl")))

    assert told.session.id == "my_session"


def test_a_fork_names_its_parent() -> None:
    """The header holds the parent's path; its name holds the id, on every platform."""
    for path in (PARENT_PATH, PARENT_PATH.replace("/", "\\")):
        [start] = only(SessionStart, read(header(parentSession=path)))

        assert (start.session.id, start.session.parent_id, start.reason) == (SESSION, PARENT, "fork")


def test_copies_in_a_fork_are_the_parents() -> None:
    """Whichever of the two files is read first, the facts and their session are the same."""
    shared = [prompt(at=-9), calling("c1", at=-8), result(at=-7), answer("a2", "r1", at=-6)]
    parent = read(header(PARENT, at=-60), *shared)
    fork = read(header(parentSession=PARENT_PATH), *shared, prompt("p2", "a2"), answer("a3", "p2"))

    assert facts(parent) & facts(fork) == facts(parent) - {("SessionStart", (PARENT,))}
    assert {(type(e), e.key, e.session.id) for e in parent[1:]} < {(type(e), e.key, e.session.id) for e in fork}


def test_a_forks_own_lines_are_its_own() -> None:
    """They count turns from 1, and do not end what was open where the history was cut."""
    copied = [prompt(at=-9), calling("c1", at=-8)]
    events = read(header(parentSession=PARENT_PATH), *copied, prompt("p2", "a1"), answer("a3", "p2"))

    assert [(p.session.id, p.turn) for p in only(Prompt, events)] == [(PARENT, 1), (SESSION, 1)]
    assert [(e.session.id, e.outcome) for e in only(TurnEnd, events)] == [(SESSION, "completed")]


def test_a_fork_made_by_v1_keeps_its_copies_for_itself() -> None:
    """Its parent's file name does not tell the parent's id, and no id is better than a wrong one."""
    events = read(header(branchedFrom=PARENT_PATH), prompt(at=-9))

    assert {(e.session.id, e.session.parent_id) for e in events} == {(SESSION, None)}


V1 = [
    as_v1(prompt()),
    as_v1(calling("c1", "c2", at=2)),
    as_v1(result("c1", at=3)),
    as_v1(result("c2", at=3)),
    as_v1(answer(at=4)),
    as_v1(entry("model_change", "", at=5, provider="acme", modelId="acme-small")),
    as_v1(entry("compaction", "", at=6, summary="Short.", tokensBefore=900, firstKeptEntryIndex=2)),
]


def test_v1_entries_keep_their_keys_when_they_get_ids() -> None:
    """Ids are drawn at random at a migration; the same file can even be migrated twice from a backup."""
    before = read(header(), *V1)
    for ids in ("abcdefg", "tuvwxyz"):
        parents = [None, *ids]
        lines = [migrated(line, name, parent) for line, name, parent in zip(V1, ids, parents, strict=False)]
        compaction = json.loads(lines[-1])
        del compaction["firstKeptEntryIndex"]
        lines[-1] = dumps(compaction | {"firstKeptEntryId": "c"})

        assert facts(read(header(), *lines)) == facts(before)


def test_results_of_the_same_millisecond_are_two_facts() -> None:
    """Parallel calls of v1 end together and have no id but that of their call."""
    assert len(facts(read(header(), *V1))) == len(read(header(), *V1))


def test_the_first_model_is_no_change() -> None:
    """New sessions begin with a `model_change`; one that says what is known already is none either."""
    lines = [
        entry("model_change", "m1", provider="acme", modelId="acme-large"),
        entry("model_change", "m2", "m1", provider="acme", modelId="acme-large"),
        entry("model_change", "m3", "m2", provider="acme", modelId="acme-small"),
    ]
    [change] = only(ModelChange, read(header(), *lines))

    assert (change.previous_model, change.model, change.provider) == ("acme-large", "acme-small", "acme")


def test_the_model_of_an_answer_is_known_to_the_next_change() -> None:
    """Sessions that old versions began with `/new` do not say their model at first."""
    change = entry("model_change", "m1", "a1", at=3, provider="acme", modelId="acme-small")

    assert [c.previous_model for c in only(ModelChange, read(header(), prompt(), answer(), change))] == ["acme-large"]


def test_summaries_are_paid_for() -> None:
    """Compactions and branch summaries bear usage since 0.81; pi's own totals hold them too."""
    lines = [
        prompt(),
        answer(),
        entry("compaction", "k1", "a1", at=3, summary="Short.", tokensBefore=900, usage=usage(500, o=50)),
        entry("branch_summary", "b1", "a1", at=4, summary="Left.", usage=usage(300, o=30)),
        entry("usage", "u1", "b1", at=5, provider="x", model="y", usage=usage(r=200, o=1)),
    ]
    events = read(header(), *lines)

    assert spent(events) == [(10, 0, 2), (500, 0, 50), (300, 0, 30), (200, 200, 1)]
    told = [(u.purpose, u.model) for u in only(TokenUsage, events)][1:]
    assert told == [("compaction", "acme-large"), ("helper", "acme-large"), ("helper", "y")]
    assert [(c.tokens_before, c.summary_chars) for c in only(Compaction, events)] == [(900, 6)]


def test_an_extensions_summary_names_no_model() -> None:
    """Nothing says which model it asked."""
    hook = entry("compaction", "k1", "a1", at=3, summary="Short.", fromHook=True, usage=usage(500, o=50))

    assert only(TokenUsage, read(header(), prompt(), answer(), hook))[-1].model is None


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (entry("hologram", "x1"), "hologram"),
        (prompt().replace(b'"role":"user"', b'"role":"oracle"'), "message.oracle"),
    ],
)
def test_an_unknown_kind_is_drift(line: bytes, kind: str) -> None:
    """Counted with its name, so that a format change is noticed the day it ships."""
    with pytest.raises(UnknownRecord) as raised:
        read(header(), line)

    assert raised.value.kind == kind


@pytest.mark.parametrize("line", [b"{}", b"[]", b'{"type":"message","id":"x"}', prompt()[:-1], prompt() + prompt()])
def test_a_line_in_another_shape_is_refused(line: bytes) -> None:
    """A torn line becomes a complete malformed one when pi repairs a missing newline."""
    with pytest.raises(BadRecord):
        read(header(), line)


def test_what_carries_no_fact_tells_nothing() -> None:
    """Known kinds are listed by name, so they are neither events nor drift."""
    lines = [
        entry("thinking_level_change", "t1", thinkingLevel="high"),
        entry("custom", "t2", "t1", customType="x", data={"secret": 1}),
        entry("custom_message", "t3", "t2", customType="x", content="Injected.", display=True),
        entry("label", "t4", "t3", targetId="t1", label="here"),
        entry("session_info", "t5", "t4", name="Inventory"),
        entry("context_edit", "t6", "t5", targetId="t1", replacement=None),
    ]
    lines += [
        entry("message", f"m{number}", "t6", message={"role": role, "content": "x"})
        for number, role in enumerate(("system", "custom", "hookMessage", "branchSummary", "compactionSummary"))
    ]

    assert only(SessionStart, read(header(), *lines)) == read(header(), *lines)


def test_a_second_header_changes_nothing() -> None:
    """Two processes may both write the first lines of one file."""
    assert len(only(SessionStart, read(header(), header("another")))) == 1


def test_files_are_recognised_by_their_name_alone() -> None:
    """Wherever a copy lies: project folders, flat folders, archives."""
    source = Pi()

    assert source.recognises(PATH)
    assert source.recognises(Path("archive") / f"{PATH.name}.zst")
    assert not source.recognises(Path("rollout-2026-03-01T12-00-00-019ca2f0.jsonl"))
    assert not source.recognises(Path("21411.json"))


def test_sessions_are_looked_for_in_every_folder() -> None:
    """Homes have a folder for each project; a session folder of the user's choice is flat."""
    source = Pi(home=["~/.pi/agent", "/srv/pi/"], sessions="/data/sessions", telemetry="/run/pi/")

    assert source.patterns() == [
        "~/.pi/agent/sessions/**/*.jsonl",
        "/srv/pi/sessions/**/*.jsonl",
        "/data/sessions/**/*.jsonl",
        "/run/pi/*.json",
    ]


def test_only_a_newline_ends_a_line() -> None:
    """pi writes U+2028 and U+2029 raw, which other readers take for the end of a line."""
    [told] = only(Prompt, read(header(), prompt(text="one\u2028two\u2029three")))

    assert told.text == "one\u2028two\u2029three"


def test_lines_of_any_length_are_read() -> None:
    """Pictures are in the line; 64 KiB is no limit."""
    picture = {"type": "image", "data": "A" * 300_000, "mimeType": "image/png"}
    [told] = only(Prompt, read(header(), prompt(content=[picture, {"type": "text", "text": "What is this?"}])))

    assert told.text == "What is this?"
