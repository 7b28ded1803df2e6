"""Events as they go over the wire: EVENTS.md, byte for byte."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from forwarder import (
    BadRecord,
    Cost,
    CoveredUsage,
    Event,
    Latency,
    Metric,
    OutputEval,
    OutputMetrics,
    Phase,
    Prompt,
    Session,
    SessionEnd,
    TokenUsage,
    ToolCallEnd,
    TurnStart,
)
from forwarder.pipeline.encoding import Encoder, Prices, origin_maker, renamed
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules

TIME = datetime(2026, 11, 21, 1, 12, 22, 345_678, tzinfo=UTC)
SESSION = Session(agent="acme", id="s1", agent_version="2.0", cwd="/home/ann/app", git_branch="main")
ORIGIN = origin_maker(source="acme", file="s1.jsonl", is_replay=False)
SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
REDACTOR = Redactor(Rules.load_builtin())


class FixedPrice:
    """Everything costs the same."""

    def __init__(self, cost: str | None) -> None:
        self._cost = cost

    def cost(self, usage: TokenUsage) -> Decimal | None:
        return Decimal(self._cost) if self._cost else None


def encoder(level: Level = Level.NONE, *, host: str = "mac", prices: Prices | None = None) -> Encoder:
    return Encoder(host=host, level=level, redactor=REDACTOR, prices=prices)


def line(event: Event, level: Level = Level.NONE, *, prices: Prices | None = None) -> bytes:
    return encoder(level, prices=prices).encode(event, ORIGIN(48211, False))[0]


def decoded(event: Event, level: Level = Level.NONE, *, prices: Prices | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line(event, level, prices=prices))
    return fields


def prompt(text: str = "hello", key: tuple[str | int, ...] = ("s1", "p1")) -> Prompt:
    return Prompt(key=key, time=TIME, session=SESSION, turn=3, bytes=5, chars=5, sha256="2cf24dba5fb0a30e", text=text)


USAGE = TokenUsage(
    key=("s1", "r1"),
    time=TIME,
    session=SESSION,
    model="gpt-9",
    input_tokens=10,
    cached_input_tokens=0,
    output_tokens=5,
    total_tokens=15,
)


def test_a_prompt_on_the_wire() -> None:
    """One flat object: id, type and time first, the envelope, the event's own fields, the origin; no nulls."""
    assert line(prompt()) == (
        b'{"id":"6e323785f15a98d6b0dddd25830e5959","type":"prompt","time":"2026-11-21T01:12:22.345Z","agent":"acme",'
        b'"session_id":"s1","agent_version":"2.0","cwd":"/home/ann/app","git_branch":"main","host":"mac",'
        b'"turn":3,"bytes":5,"chars":5,"sha256":"2cf24dba5fb0a30e","text":"hello",'
        b'"origin":{"source":"acme","file":"s1.jsonl","offset":48211}}'
    )


def test_an_event_with_nothing_but_its_envelope() -> None:
    """A sub-agent's event of a forked session, read tolerantly in a replay, without a time of its own."""
    session = Session(agent="acme", id="s2", parent_id="s1", actor="a7")
    event = SessionEnd(key=("s2",), time=TIME, session=session, time_inferred=True, reason="exit")
    origin = origin_maker(source="work", file="x.jsonl", is_replay=True)(0, True)
    encoded, _ = encoder().encode(event, origin)

    assert encoded.partition(b',"time"')[2] == (
        b':"2026-11-21T01:12:22.345Z","agent":"acme","session_id":"s2","parent_session_id":"s1","actor":"a7",'
        b'"host":"mac","time_inferred":true,"reason":"exit",'
        b'"origin":{"source":"work","file":"x.jsonl","offset":0,"replay":true,"lossy":true}}'
    )


def test_false_is_said_where_it_means_something() -> None:
    """`ok` is written out, so that a consumer can count without knowing the outcomes; absent is unknown."""
    event = ToolCallEnd(
        key=("c1",), time=TIME, session=SESSION, call_id="c1", tool="sh", tool_kind="shell", outcome="error", ok=False
    )
    fields = decoded(event)

    assert (fields["ok"], "duration_inferred" in fields, None in fields.values()) == (False, False, False)


@pytest.mark.parametrize(
    ("time", "wire"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 7, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC), "2026-01-02T03:04:05.999Z"),
        (
            datetime(2026, 1, 2, 3, 4, 5, 60_000, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2026-01-01T21:34:05.060Z",
        ),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(0))), "2026-01-02T03:04:05.000Z"),
    ],
)
def test_times_have_milliseconds_and_z(time: datetime, wire: str) -> None:
    """Always 24 characters in UTC, whatever zone the agent wrote."""
    assert decoded(replace(prompt(), time=time))["time"] == wire


def test_a_time_without_a_zone_costs_the_record() -> None:
    """Guessing the zone would be a wrong time."""
    with pytest.raises(BadRecord, match="has no time zone"):
        line(replace(prompt(), time=datetime(2026, 1, 1)))  # noqa: DTZ001 - the mistake that is tested


def test_an_id_follows_from_agent_type_and_key_alone() -> None:
    """The same fact has the same id on every machine, at every place, in every reading and at every level."""
    moved = replace(prompt(), time=TIME + timedelta(days=1), session=replace(SESSION, id="copy", cwd="/x"), text="y")
    origin = origin_maker(source="other", file="copy.jsonl", is_replay=True)(7, True)

    assert encoder(Level.FULL, host="pc").encode(moved, origin)[0][:39] == line(prompt())[:39]


def test_other_keys_types_and_agents_give_other_ids() -> None:
    """Also where their texts would run together."""
    start = TurnStart(key=("s1", "p1"), time=TIME, session=SESSION, trigger="human")
    events: list[Event] = [
        prompt(),
        start,
        prompt(key=("s1", "p2")),
        prompt(key=("s1p1",)),
        prompt(key=("s1", "p1", 0)),
        prompt(key=("s1", "p1", "0")),
        replace(prompt(), session=replace(SESSION, agent="other")),
    ]

    assert len({decoded(event)["id"] for event in events}) == len(events)


def test_facts_begin_with_what_neighbours_share() -> None:
    """So that the set of seen facts stays local; the rest comes from the id."""
    (_, one), (_, other) = (encoder().encode(prompt(key=("s1", name)), ORIGIN(0, False)) for name in ("a", "b"))

    assert (len(one), one[:4] == other[:4], one != other) == (16, True, True)


TEXT = f"my key is {SECRET} and here is a long story about it that goes on and on"


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (Level.FULL, None),
        (Level.PREVIEW, "my key is [REDACTED] and here is a long story abou…"),
        (Level.NONE, TEXT.replace(SECRET, "[REDACTED]")),
        (Level.RAW, TEXT),
    ],
)
def test_content_at_each_level(level: Level, text: str | None) -> None:
    """Gone, scrubbed and then cut, scrubbed, or whole where the user wrote so."""
    fields = decoded(prompt(TEXT), level)

    assert fields.get("text") == text
    assert (fields["bytes"], fields["sha256"]) == (5, "2cf24dba5fb0a30e")


@pytest.mark.parametrize("level", [Level.FULL, Level.PREVIEW, Level.NONE])
def test_names_are_scrubbed_and_never_cut(level: Level) -> None:
    """A token in a branch, folder or tool leaks as well as one in a prompt; ids stay as they are."""
    session = replace(SESSION, git_branch=f"fix/{SECRET}", cwd="/home/ann/" + "long/" * 20)
    event = ToolCallEnd(
        key=("c1",),
        time=TIME,
        session=session,
        call_id="c1",
        tool=f"run {SECRET}",
        tool_kind="shell",
        outcome="ok",
        ok=True,
    )
    fields = decoded(event, level)

    assert SECRET not in json.dumps(fields)
    assert (fields["tool"], fields["git_branch"]) == ("run [REDACTED]", "fix/[REDACTED]")
    assert (fields["cwd"], fields["call_id"]) == (session.cwd, "c1")


def test_a_cost_from_the_table_is_said_to_be_one() -> None:
    """As a number, so that a consumer can add it up."""
    encoded = line(USAGE, prices=FixedPrice("0.012345679"))

    assert b'"cost_usd":0.012345679,"cost_source":"table"' in encoded


@pytest.mark.parametrize("cost", ["0.000000001", "1500", "0", "0.1"])
def test_every_cost_is_a_number_with_its_own_digits(cost: str) -> None:
    """No float on the way."""
    fields = json.loads(line(USAGE, prices=FixedPrice(cost)), parse_float=Decimal, parse_int=Decimal)

    assert fields["cost_usd"] == Decimal(cost)


def test_covered_usage_has_the_fact_of_usage_and_no_line() -> None:
    """It stands for usage that another event holds: remembered, never sent."""
    covered = CoveredUsage(key=USAGE.key, time=USAGE.time, session=USAGE.session)

    assert encoder().encode(covered, b"") == (b"", encoder().encode(USAGE, b"")[1])


def test_what_the_agent_says_about_cost_stands() -> None:
    """The table is only asked where the agent is silent."""
    usage = replace(USAGE, cost_usd=Decimal("0.5"), cost_source="agent")
    fields = decoded(usage, prices=FixedPrice("9"))

    assert (fields["cost_usd"], fields["cost_source"]) == (0.5, "agent")


@pytest.mark.parametrize("prices", [None, FixedPrice(None)])
def test_an_unknown_cost_is_absent(prices: Prices | None) -> None:
    """Never 0 for unknown."""
    assert decoded(USAGE, prices=prices).keys().isdisjoint({"cost_usd", "cost_source"})


def test_lone_surrogates_are_mended_wherever_they_stand() -> None:
    """UTF-8 cannot carry them; pairs become the character that they mean."""
    broken = "a\ud800b \ud83d\ude00"
    session = replace(SESSION, id=broken, cwd=broken)
    origin = origin_maker(source="acme", file="caf\udce9.jsonl", is_replay=False)(0, False)
    encoded, _ = encoder().encode(replace(prompt(broken, key=(broken, 1)), session=session), origin)
    fields = json.loads(encoded.decode())

    assert (fields["text"], fields["session_id"], fields["cwd"]) == ("a\ufffdb 😀",) * 3
    assert fields["origin"]["file"] == "caf\ufffd.jsonl"


def test_many_sessions_do_not_fill_the_memory() -> None:
    """Encoded envelopes are remembered, but not all of a backfill's."""
    one = encoder()
    for number in range(3000):
        session = replace(SESSION, id=f"s{number}")
        encoded, _ = one.encode(replace(prompt(), session=session), ORIGIN(0, False))
        assert json.loads(encoded)["session_id"] == f"s{number}"


def test_renamed_fields_keep_their_values_to_the_digit() -> None:
    """A sink with names of its own must not change numbers."""
    encoded = b'{"id":"x","cost_usd":0.100000000,"total_tokens":12345678901234567890,"ok":true,"text":"\xc3\xa9"}'

    assert renamed(encoded, {"cost_usd": "cost", "ok": "success"}) == (
        b'{"id":"x","cost":0.100000000,"total_tokens":12345678901234567890,"success":true,"text":"\xc3\xa9"}'
    )


@pytest.mark.slow
def test_names_of_a_million_characters_are_not_kept() -> None:
    """A few thousand names are remembered for the next event: whoever writes the files may not fill the memory."""
    one = encoder(Level.FULL)
    tracemalloc.start()
    for number in range(10):
        name = f"{number} " + "branch " * 150_000
        session = replace(SESSION, git_branch=name)
        usage = replace(USAGE, session=session, model=name)
        one.encode(usage, b"}")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 8_000_000


@pytest.mark.parametrize("cost", ["NaN", "-NaN", "Infinity", "-Infinity"])
def test_a_cost_that_is_no_number_is_refused(cost: str) -> None:
    """JSON has no word for it, and the batch that holds it could not be read by any sink."""
    with pytest.raises(BadRecord, match=f"cost_usd: {cost} is no number"):
        line(replace(USAGE, cost_usd=Decimal(cost), cost_source="agent"))


INSIDE: dict[str, Any] = {"key": ("s1", "x"), "time": TIME, "session": SESSION}


def test_a_labels_name_says_that_its_value_is_a_secret() -> None:
    """Whoever reads the page or the line sees the two together; it is reported like any other."""
    labels = {
        "password": "zq7Ht2wLx9Bv4Ns8",
        "api_key": "Rk3Vd6Yp1Xc5Jm0T",
        "model": "zq7Ht2wLx9Bv4Ns8",
        "token": "max",
    }
    metric = Metric(name="jobs", kind="counter", op="increment", value=2, labels=labels, **INSIDE)
    encoder = Encoder(host="mac", level=Level.NONE, redactor=REDACTOR, prices=None, key=b"k")
    line, _ = encoder.encode(metric, ORIGIN(0, False))
    kept = {"password": "[REDACTED]", "api_key": "[REDACTED]", "model": "zq7Ht2wLx9Bv4Ns8", "token": "max"}

    assert json.loads(line)["labels"] == kept
    assert {one.field for one in encoder.secrets(metric)} == {"labels"}


@pytest.mark.parametrize("level", [Level.FULL, Level.PREVIEW, Level.NONE])
def test_secrets_in_labels_and_lists_are_taken_out(level: Level) -> None:
    """Names and values alike, however deep; numbers stay."""
    metric = Metric(name="jobs", kind="counter", op="increment", value=2, labels={SECRET: "a", "b": SECRET}, **INSIDE)
    latency = Latency(operation="turn", total_ms=7, phases=[Phase(name=f"of {SECRET}", duration_ms=0.5)], **INSIDE)

    assert decoded(metric, level)["labels"] == {"[REDACTED]": "a", "b": "[REDACTED]"}
    assert decoded(latency, level)["phases"] == [{"name": "of [REDACTED]", "duration_ms": 0.5}]


def test_a_secret_in_a_list_is_told() -> None:
    """With the name of the field that held it."""
    one = Encoder(host="mac", level=Level.NONE, redactor=REDACTOR, prices=None, key=b"k")
    one.encode(OutputEval(metrics=OutputMetrics(), tags=["good", SECRET], **INSIDE), ORIGIN(0, False))

    assert [(found.rule, found.field) for found in one.secrets(prompt())] == [("github", "tags")]


@pytest.mark.parametrize(
    "event",
    [
        Metric(name="jobs", kind="gauge", op="set", value=float("nan"), labels={}, **INSIDE),
        Latency(operation="turn", total_ms=1, phases=[Phase(name="a", duration_ms=float("inf"))], **INSIDE),
        OutputEval(metrics=OutputMetrics(cache_hit_rate=float("nan")), **INSIDE),
        Cost(total_cost=Decimal("-Infinity"), currency="USD", **INSIDE),
    ],
    ids=["value", "phase", "metrics", "cost"],
)
def test_what_is_no_number_is_refused_wherever_it_stands(event: Event) -> None:
    """It would go out as null, which says that nobody knows it, or as no JSON at all."""
    with pytest.raises(BadRecord, match="is no number"):
        line(event)


def test_a_fact_keeps_its_id_when_its_agent_becomes_known() -> None:
    """Posted again after the session's start was told, it is still the same; the namespace itself is not sent."""
    before = replace(prompt(), session=Session(agent="post", id="s1", namespace="post"))
    after = replace(prompt(), session=Session(agent="acme", id="s1", namespace="post"))

    assert (decoded(before)["id"], decoded(after)["agent"]) == (decoded(after)["id"], "acme")
    assert "namespace" not in decoded(after)
