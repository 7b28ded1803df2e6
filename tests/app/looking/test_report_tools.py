"""`report tools`: every call once, whoever told of it, and figures that are right."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forwarder.app.cli import cli
from forwarder.app.config import Settings, from_values
from forwarder.app.looking.invocations import Invocation, decoded, invocations
from forwarder.app.looking.report_text import csv_text, text_lines
from forwarder.app.looking.report_tools import By, ToolReport, tool_report
from forwarder.errors import ConfigError, JournalDamaged
from forwarder.journal import Changes, Journal
from forwarder.testing import ManualClock

NUMBERS = count(1)


def event(type: str, at: int, **fields: Any) -> bytes:
    """An event at that second, with an id of its own."""
    id = fields.pop("id", f"{next(NUMBERS):032x}")
    time = f"2026-11-21T10:{at // 60:02d}:{at % 60:02d}.000Z"
    head = {"id": id, "type": type, "time": time, "agent": fields.pop("agent", "acme"), "session_id": "s"}
    return json.dumps(head | fields, separators=(",", ":")).encode()


def start(call: str, at: int = 0, **fields: Any) -> bytes:
    return event("tool_call_start", at, call_id=call, tool="bash", tool_kind="shell", **fields)


def end(call: str, at: int = 1, *, outcome: str = "ok", **fields: Any) -> bytes:
    call_fields = {"call_id": call, "tool": "bash", "tool_kind": "shell", "outcome": outcome, "ok": outcome == "ok"}
    return event("tool_call_end", at, **call_fields, **fields)


def helper(status: str, at: int = 0, **fields: Any) -> bytes:
    own = {"kind": "script", "name": "sync", "scope": "global", "status": status, "cwd": "/shop"}
    return event("tool_usage", at, **{"agent": "log", **own, **fields})


def found(*lines: bytes) -> list[Invocation]:
    return invocations(decoded(lines))


def results(*lines: bytes) -> list[str]:
    return [one.result for one in found(*lines)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_values({"state_dir": str(tmp_path / "state")}, place="test", folder=tmp_path)


async def journalled(settings: Settings, *lines: bytes) -> None:
    """A journal that holds these events."""
    settings.state_dir.mkdir()
    journal = Journal(
        settings.state_dir, sinks=[], max_bytes=1 << 20, keep_seconds=1e6, remember_seconds=1e6, clock=ManualClock()
    )
    async with journal:
        facts = [b"grup" + bytes.fromhex(json.loads(line)["id"])[4:] for line in lines]
        await journal.commit(Changes(list(lines), facts))


async def reported(settings: Settings, *lines: bytes, by: By = "name", since: datetime | None = None) -> ToolReport:
    await journalled(settings, *lines)
    return tool_report(settings, files=(), since=since, by=by)


def test_a_call_is_one_invocation() -> None:
    """Its start and its end are two events."""
    (one,) = found(start("c1"), end("c1", duration_ms=70, exit_code=0, cwd="/shop"))

    assert (one.kind, one.name, one.agent, one.result) == ("shell", "bash", "acme", "succeeded")
    assert (one.duration_ms, one.exit_code, one.cwd, one.time.second) == (70, 0, "/shop", 1)


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        ("ok", "succeeded"),
        ("error", "failed"),
        ("rejected", "cancelled"),
        ("denied", "cancelled"),
        ("cancelled", "cancelled"),
        ("unknown", "unknown"),
        ("of tomorrow", "unknown"),
    ],
)
def test_outcomes_of_calls_become_results(outcome: str, result: str) -> None:
    """What a person refused did not fail."""
    assert results(end("c1", outcome=outcome)) == [result]


def test_a_call_without_an_end_has_an_unknown_result() -> None:
    """It may still be at work."""
    assert results(start("c1"), start("c2"), end("c2")) == ["unknown", "succeeded"]


def test_calls_of_two_agents_with_one_id_are_two() -> None:
    """Ids are the agent's own."""
    assert len(found(end("c1"), end("c1", agent="other"))) == 2


def test_a_start_and_an_end_of_a_helper_are_one_invocation() -> None:
    """Known by the id of the invocation, whatever lies between them."""
    lines = (helper("started", 0, invocation_id="a"), helper("started", 1, invocation_id="b"))

    assert results(*lines, helper("failed", 2, invocation_id="a")) == ["unknown", "failed"]


def test_an_end_without_an_id_is_that_of_the_oldest_open_start_like_it() -> None:
    """Equal kind, name, session and folder; the start with an id waits for that id."""
    lines = (
        helper("started", 0, task_id="first"),
        helper("started", 1, task_id="second"),
        helper("started", 2, invocation_id="a"),
        helper("started", 3, cwd="/elsewhere"),
        helper("succeeded", 4),
    )

    assert [(one.task_id, one.result) for one in found(*lines)] == [
        ("second", "unknown"),
        (None, "unknown"),
        (None, "unknown"),
        (None, "succeeded"),
    ]


def test_an_end_without_a_start_is_one_invocation() -> None:
    """The style of one line each."""
    assert results(helper("succeeded"), helper("cancelled")) == ["succeeded", "cancelled"]


def test_events_are_paired_by_time_not_by_place() -> None:
    """Files are read in another order than things happened in."""
    assert results(helper("succeeded", 5), helper("started", 1)) == ["succeeded"]


def test_an_event_that_comes_twice_counts_once() -> None:
    """From the journal and from a file that it was read from."""
    line = helper("succeeded")

    assert len(found(line, line)) == 1


def test_a_logs_line_of_an_agents_call_counts_once() -> None:
    """A log may hold what the agent has told of itself."""
    copies = (helper("succeeded", invocation_id="acme:c1"), helper("succeeded", invocation_id="acme:c2"))

    assert [one.agent for one in found(end("c1"), *copies)] == ["log", "acme"]


def test_other_events_are_passed_over() -> None:
    """Also such that only mention a call."""
    assert found(event("prompt", 0, text='"type":"tool_usage"')) == []


async def test_groups_are_counted_and_the_largest_comes_first(settings: Settings) -> None:
    """Cancelled and unknown ones have no share in the success rate."""
    durations = [{"duration_ms": 10 * number} for number in range(1, 21)]
    many = [helper("succeeded", number, **one) for number, one in enumerate(durations)]
    rest = [helper(status, 30 + at) for at, status in enumerate(("failed", "cancelled", "started"))]
    (first, second) = (await reported(settings, *many, *rest, end("c1", outcome="denied"))).groups

    assert (first.kind, first.value, first.count) == ("script", "sync", 23)
    assert (first.succeeded, first.failed, first.cancelled, first.unknown) == (20, 1, 1, 1)
    assert (first.success_rate, first.average_ms, first.p95_ms) == (0.9524, 105.0, 190)
    assert (second.value, second.success_rate, second.average_ms, second.p95_ms) == ("bash", None, None, None)


@pytest.mark.parametrize(
    ("by", "values"),
    [
        ("name", ["sync", "bash"]),
        ("task", [None, "T-1"]),
        ("cwd", ["/shop", "/api"]),
        ("scope", ["global", None]),
        ("agent", ["log", "acme"]),
    ],
)
async def test_what_a_row_has_in_common(settings: Settings, by: By, values: list[str | None]) -> None:
    """One of five; what has none of it is a row of its own."""
    lines = (helper("succeeded"), helper("failed", task_id="T-1"), end("c1", cwd="/api"))
    report = await reported(settings, *lines, by=by)

    assert [one.value for one in report.groups] == values


async def test_the_newest_failures_come_first(settings: Settings) -> None:
    """Ten of them, with what is known of each."""
    lines = [helper("failed", at, error_summary=f"error {at}", exit_code=at) for at in range(12)]
    failures = (await reported(settings, *lines, helper("succeeded", 30))).failures

    assert [one.error for one in failures] == [f"error {at}" for at in range(11, 1, -1)]
    assert failures[0].exit_code == 11


async def test_flaky_is_what_changes_at_the_same_place(settings: Settings) -> None:
    """What always fails is broken, not flaky; of the flaky ones those that change most often come first."""
    states = {"/once": "ssff", "/often": "sfsf", "/broken": "fff", "/well": "ss"}
    words = {"s": "succeeded", "f": "failed"}
    lines = [helper(words[one], at, cwd=cwd) for cwd, all in states.items() for at, one in enumerate(all)]
    report = await reported(settings, *lines)

    assert [(one.at, one.changes, one.failed) for one in report.flaky_by_cwd] == [("/often", 3, 2), ("/once", 1, 2)]
    assert report.flaky_by_task == []


async def test_flaky_at_a_task(settings: Settings) -> None:
    """Wherever it ran."""
    lines = (helper("failed", 0, task_id="T-1"), helper("succeeded", 1, task_id="T-1", cwd="/api"))
    report = await reported(settings, *lines)

    assert [(one.name, one.at) for one in report.flaky_by_task] == [("sync", "T-1")]
    assert report.flaky_by_cwd == []


async def test_since_leaves_out_what_ended_before(settings: Settings) -> None:
    """What began before and ended after counts."""
    lines = (helper("succeeded", 0), helper("started", 1, invocation_id="a"), helper("failed", 9, invocation_id="a"))
    report = await reported(settings, *lines, since=datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC))

    assert [(one.count, one.failed) for one in report.groups] == [(1, 1)]


LINE = (
    '{"ts":"2026-11-21T10:00:00Z","kind":"job","name":"nightly","cwd":"/shop","scope":"global","status":"succeeded"}\n'
)


def test_a_file_is_read_where_no_forwarder_was_at_work(settings: Settings, tmp_path: Path) -> None:
    """Bad lines are counted, a last one without its end is read if it is whole."""
    log = tmp_path / "events.jsonl"
    log.write_text(LINE + "oops\n" + LINE.replace("nightly", "hourly").strip())
    report = tool_report(settings, files=[log], since=None, by="name")

    assert [one.value for one in report.groups] == ["hourly", "nightly"]
    assert report.notes[1:] == [f"{log} has 1 bad line"]


def test_a_file_that_is_named_twice_counts_once(settings: Settings, tmp_path: Path) -> None:
    """The ids of its events are the same each time, and the same as in the journal."""
    log = tmp_path / "events.jsonl"
    log.write_text(LINE)
    twice = tool_report(settings, files=[log, log], since=None, by="name")

    assert [one.count for one in twice.groups] == [1]


def test_nothing_to_report_is_no_error(settings: Settings, tmp_path: Path) -> None:
    """Neither a missing journal nor a missing or an empty file."""
    (tmp_path / "events.jsonl").touch()
    files = [tmp_path / "events.jsonl", tmp_path / "missing.jsonl"]
    report = tool_report(settings, files=files, since=None, by="name")

    assert (report.groups, report.failures) == ([], [])
    assert ["no journal to read" in report.notes[0], report.notes[1]] == [True, f"{files[1]} does not exist"]


def test_a_file_that_nobody_knows_is_refused(settings: Settings, tmp_path: Path) -> None:
    """With what to do about it."""
    path = tmp_path / "notes.txt"
    path.touch()
    with pytest.raises(ConfigError, match=r"no source recognises .*notes\.txt"):
        tool_report(settings, files=[path], since=None, by="name")


async def test_a_damaged_journal_is_no_empty_one(settings: Settings) -> None:
    """Else a report of nothing would look like good news."""
    await journalled(settings)
    (settings.state_dir / "journal.sqlite3").write_bytes(b"x" * 10_000)
    with pytest.raises(JournalDamaged):
        tool_report(settings, files=(), since=None, by="name")


async def test_the_table_shows_numbers_failures_and_what_is_flaky(settings: Settings) -> None:
    """For people; what a terminal would obey is taken out."""
    bad = helper("failed", 1, exit_code=3, error_summary="no\x1b[31m\nroute", task_id="T-1", duration_ms=2500)
    report = await reported(settings, helper("succeeded", task_id="T-1", duration_ms=500), bad)

    assert list(text_lines(report)) == [
        "KIND    NAME  COUNT  SUCCESS  FAILED  CANCELLED  UNKNOWN  AVERAGE    P95",
        "script  sync      2      50%       1          0        0    1.5 s  2.5 s",
        "",
        "Recent failures",
        "  2026-11-21 10:00:01  script  sync  exit 3  no\ufffd[31m route  /shop",
        "",
        "Flakiest by task",
        "  script  sync  T-1  1 of 2 failed, 1 change",
        "",
        "Flakiest by folder",
        "  script  sync  /shop  1 of 2 failed, 1 change",
    ]


async def test_an_empty_table_has_a_header(settings: Settings) -> None:
    """And nothing else."""
    report = await reported(settings, by="task")

    assert list(text_lines(report)) == ["TASK  COUNT  SUCCESS  FAILED  CANCELLED  UNKNOWN  AVERAGE  P95"]


async def test_groups_are_rows_for_a_spreadsheet(settings: Settings) -> None:
    """Unknown numbers are empty."""
    report = await reported(settings, helper("cancelled", name='a,"b"'))
    (row,) = csv.DictReader(csv_text(report).splitlines())

    assert (row["kind"], row["name"], row["count"], row["success_rate"]) == ("script", 'a,"b"', "1", "")


def called(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(
        cli, ["report", "tools", "--no-config", "--state-dir", str(settings.state_dir), *arguments]
    )


async def test_the_command_prints_each_format(settings: Settings) -> None:
    """A table unless another one is asked for."""
    await journalled(settings, helper("succeeded"))
    table, csv_rows, as_json = (called(settings, "--format", one).output for one in ("table", "csv", "json"))

    assert table.startswith("KIND")
    assert csv_rows.startswith("kind,name,count")
    assert json.loads(as_json)["groups"][0]["count"] == 1


async def test_the_command_ends_well_without_anything(settings: Settings) -> None:
    """Exit status 0, and a word on stderr about why there is nothing."""
    done = called(settings, "--since", "7d", "--by", "agent")

    assert (done.exit_code, done.stdout.splitlines()[0].split()[0]) == (0, "AGENT")
    assert "no journal to read" in done.stderr


def test_the_command_names_a_file_that_cannot_be_read(settings: Settings, tmp_path: Path) -> None:
    """A report that silently lacks a file is wrong."""
    damaged = tmp_path / "2026-11-21T10-00-00-000Z_0199f4a2.jsonl.gz"
    damaged.write_bytes(gzip.compress(LINE.encode())[:20])
    done = called(settings, "--file", str(damaged))

    assert done.exit_code == 1
    assert f"{damaged} is damaged" in done.stderr
