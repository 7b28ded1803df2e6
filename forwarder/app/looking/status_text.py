"""The status report for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from math import inf

from forwarder.app.looking.status import FileStatus, Report, SinkStatus
from forwarder.app.units import show_bytes, show_seconds

FILES_SHOWN = 10
FRESH_SECONDS = 3600.0  # a file that was read to its end longer ago than that is of no interest


def report_lines(report: Report) -> Iterator[str]:
    """The report, line by line; files that lag come first, of the others only those that grew lately."""
    yield f"forwarder  {_life(report)}"
    if report.watching:
        yield f"watching   {report.watching}"
    journal = report.journal
    yield (
        f"journal    {show_bytes(journal.bytes)} of {show_bytes(journal.max_bytes)}"
        f" ({journal.bytes / journal.max_bytes:.0%}), newest event {journal.last}, in {report.state_dir}"
    )
    for sink in report.sinks:
        yield f"sink       {sink.name}: {_sink(sink)}"
    yield f"sessions   {report.live_sessions} live, {report.waiting_sessions} waiting"
    yield from _files(report.files)
    if report.unread_letters:
        words = "1 record" if report.unread_letters == 1 else f"{report.unread_letters} records"
        yield f"letters    {words} could not be used"
    for problem in report.problems:
        yield f"problem    {problem}"


def _life(report: Report) -> str:
    if report.is_running and report.started:
        age = (datetime.now(UTC) - report.started).total_seconds()
        return f"running as process {report.pid} for {show_seconds(age)}"
    return "not running"


def _sink(sink: SinkStatus) -> str:
    parts = [sink.state, f"{sink.behind} behind", f"at event {sink.acked}", f"{sink.events_per_second:g} events/s"]
    if sink.dead_letters:
        parts.append("1 dead letter" if sink.dead_letters == 1 else f"{sink.dead_letters} dead letters")
    if sink.last_error and sink.last_error_time:
        parts.append(f"last error {sink.last_error_time:%Y-%m-%d %H:%M:%S} UTC: {sink.last_error}")
    return ", ".join(parts)


def _files(files: list[FileStatus]) -> Iterator[str]:
    lagging = [one for one in files if one.is_unread]
    lag = sum(one.lag_bytes or 0 for one in lagging)
    gone = sum(one.is_gone for one in files)
    unread = f"{len(lagging)} with {show_bytes(lag)} unread" if lagging else "all read"
    yield f"files      {len(files)} known" + (f", {unread}" if files else "") + (f", {gone} gone" if gone else "")
    fresh = [one for one in files if not one.is_unread and _age(one) < FRESH_SECONDS]
    for one in (*lagging, *fresh[: max(0, FILES_SHOWN - len(lagging))]):
        yield f"  {one.source}: {_lag(one)}: {one.path}"


def _age(file: FileStatus) -> float:
    return inf if file.age_seconds is None else file.age_seconds


def _lag(file: FileStatus) -> str:
    if not file.is_unread:
        return f"all read, written {show_seconds(round(_age(file)))} ago"
    size = "changed" if file.lag_bytes is None else f"{show_bytes(file.lag_bytes)} unread"
    return f"{size} for {show_seconds(file.lag_seconds or 0.0)}"
