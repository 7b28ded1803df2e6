"""The source `tool_usage`: every field of a line, both styles, and that bad lines cost themselves."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from forwarder_tool_usage import log
from forwarder_tool_usage.records import SCOPES
from forwarder_tool_usage.source import ToolUsageLog

from forwarder import BadRecord, HelperKind, HelperUsage, ToolUsage, UnknownRecord
from forwarder.testing import check_source, read_lines
from tests.plugins.tool_usage.lines import line, usages

SAMPLE = Path(__file__).parent / "samples" / "events.jsonl"


def one(**fields: Any) -> ToolUsage:
    """The event of a line with these fields."""
    (event,) = usages(read_lines(ToolUsageLog(), line(**fields)))
    return event


def test_the_sample_may_be_cut_anywhere() -> None:
    """Both styles in one file; each line is an event."""
    events = usages(check_source(ToolUsageLog(), SAMPLE))

    assert Counter(event.status for event in events) == {"succeeded": 4, "failed": 2, "started": 2, "cancelled": 1}


def test_a_line_with_every_field() -> None:
    """Where each goes."""
    event = one(
        session_id="s1",
        task_id="T-1",
        status="failed",
        duration_ms=1500,
        exit_code=2,
        error_summary="no",
        usage={"input_tokens": 7},
        invocation_id="i1",
    )

    assert event == ToolUsage(
        key=("i1", "script", "pi-job-runner", "end"),
        time=datetime(2026, 11, 21, 10, 0, 0, 250_000, tzinfo=UTC),
        session=event.session,
        kind="script",
        name="pi-job-runner",
        scope="global",
        status="failed",
        duration_ms=1500,
        exit_code=2,
        task_id="T-1",
        invocation_id="i1",
        usage=HelperUsage(input_tokens=7),
        error_summary="no",
    )
    assert (event.session.agent, event.session.id, event.session.cwd) == ("tool-usage", "s1", "/home/dev/shop")


@pytest.mark.parametrize("kind", get_args(HelperKind))
def test_every_kind_of_helper(kind: str) -> None:
    """Five, and no other."""
    assert one(kind=kind).kind == kind


@pytest.mark.parametrize("scope", ["global", "project"])
def test_both_scopes(scope: str) -> None:
    """Where the helper is installed."""
    assert one(scope=scope).scope == scope


def test_the_writers_know_the_values_that_the_source_knows() -> None:
    """`forwarder track` cannot import the schema, so it has a list of its own."""
    assert (get_args(HelperKind), SCOPES) == (log.KINDS, log.SCOPES)


@pytest.mark.parametrize("status", ["started", "succeeded", "failed", "cancelled"])
def test_every_status(status: str) -> None:
    """A start, and three ways to end."""
    assert one(status=status).status == status


def test_a_line_without_a_session_belongs_to_an_unknown_one() -> None:
    """No session is invented for it, and nothing else is made up for what is absent."""
    event = one()

    assert event.session.id == "unknown"
    assert (event.task_id, event.invocation_id, event.usage, event.error_summary) == (None,) * 4
    assert (event.duration_ms, event.exit_code) == (None, None)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-21T10:00:00Z", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("2026-11-21T11:00:00.5+01:00", datetime(2026, 11, 21, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-21T10:00:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2970-01-01T00:00:00Z", datetime(2970, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(written: str, read: datetime) -> None:
    """Whatever the year, it is what the writer's clock said."""
    assert one(ts=written).time == read


def test_a_start_has_no_duration() -> None:
    """It belongs to final lines; one that is written too early says nothing."""
    assert one(status="started", duration_ms=0).duration_ms is None


@pytest.mark.parametrize(("written", "read"), [(0, 0), (12.6, 13), (10**15, 10**15)])
def test_durations_are_whole_milliseconds(written: float, read: int) -> None:
    """The schema's durations are integers."""
    assert one(duration_ms=written).duration_ms == read


def test_ids_may_be_numbers() -> None:
    """Writers in shell do not quote them; an empty one is none."""
    event = one(session_id=12, task_id=7, invocation_id="")

    assert (event.session.id, event.task_id, event.invocation_id) == ("12", "7", None)


def test_of_usage_the_known_numbers_are_taken() -> None:
    """Its shape is free: text in it could be anything, and does not pass."""
    usage = {"input_tokens": 5, "output_tokens": -1, "total_tokens": True, "model": "m", "nested": {"a": 1}}

    assert one(usage=usage | {"cost_usd": 0.1234567891}).usage == HelperUsage(
        input_tokens=5, cost_usd=Decimal("0.123456789")
    )
    assert one(usage={"cost_usd": "free"}).usage is None


def test_an_invocation_with_an_id_is_told_once() -> None:
    """Its start and its end are two facts, wherever the lines stand and however often."""
    start, end = line(invocation_id="i", status="started"), line(invocation_id="i", status="failed")
    events = usages(read_lines(ToolUsageLog(), start, end, end, start))

    assert len({event.key for event in events}) == 2


def test_equal_lines_without_an_id_are_two_invocations() -> None:
    """A helper may end twice within a millisecond; what tells the lines apart is their place."""
    events = usages(read_lines(ToolUsageLog(), line(), line()))

    assert len({event.key for event in events}) == 2


@pytest.mark.parametrize("field", ["ts", "kind", "name", "cwd", "scope", "status"])
def test_a_line_that_lacks_what_is_always_there_is_refused(field: str) -> None:
    """The dead letter says which field."""
    with pytest.raises(BadRecord, match=field):
        one(**{field: None})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("ts", "yesterday"),
        ("ts", 1763719200),
        ("duration_ms", -1),
        ("duration_ms", "12"),
        ("exit_code", "0"),
        ("exit_code", 1.5),
        ("usage", [1]),
        ("error_summary", {"text": "no"}),
    ],
)
def test_a_field_of_another_shape_costs_its_line(field: str, value: object) -> None:
    """Nothing is guessed."""
    with pytest.raises(BadRecord, match=field):
        one(**{field: value})


@pytest.mark.parametrize(("field", "value"), [("kind", "cron"), ("scope", "user"), ("status", "retried")])
def test_a_value_that_nobody_knows_is_counted_as_drift(field: str, value: str) -> None:
    """It is no error of the writer, who may be newer than we are."""
    with pytest.raises(UnknownRecord, match=f"{field} {value}"):
        one(**{field: value})


@pytest.mark.parametrize("bad", [b"{{", b"[]", b"null", b"\xff\xfe", b'{"ts":1}', b"not json"])
def test_bad_lines_cost_only_themselves(bad: bytes) -> None:
    """The lines around them count."""
    sample = b"\n".join([line().encode(), bad, line(name="other").encode(), b""])
    events = usages(check_source(ToolUsageLog(), sample))

    assert [event.name for event in events] == ["pi-job-runner", "other"]


def test_empty_lines_are_nothing() -> None:
    """A writer that makes sure of a line of its own may leave one."""
    assert len(read_lines(ToolUsageLog(), line(), "", line(name="other"))) == 2


def test_what_strict_json_forbids_is_read_tolerantly() -> None:
    """A duration that is no number is unknown, a broken character is replaced."""
    text = line(name="caf?", duration_ms=1).replace('"duration_ms": 1', '"duration_ms": NaN')
    (event,) = usages(read_lines(ToolUsageLog(), text.encode().replace(b"caf?", b"caf\xe9")))

    assert (event.name, event.duration_ms) == ("caf\ufffd", None)
