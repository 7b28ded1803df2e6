"""The report on tools for people, and its groups for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from forwarder.app.looking.report_tools import Flaky, Group, ToolReport
from forwarder.app.looking.sessions_text import neutral

WIDEST = 60  # cells of a name, a folder or an error
_HEAD = ("COUNT", "SUCCESS", "FAILED", "CANCELLED", "UNKNOWN", "AVERAGE", "P95")


def text_lines(report: ToolReport) -> Iterator[str]:
    """A table of the groups, then what failed lately and what is flaky; parts that are empty are left out."""
    names = ("KIND", "NAME") if report.by == "name" else (report.by.upper(),)
    rows = [(*_names(one, report), *_numbers(one)) for one in report.groups]
    yield from _table([(*names, *_HEAD), *rows], left=len(names))
    if report.failures:
        yield ""
        yield "Recent failures"
        for one in report.failures:
            code = "" if one.exit_code is None else f"exit {one.exit_code}"
            said = (f"{one.time:%Y-%m-%d %H:%M:%S}", one.kind, one.name, code, one.error or "", one.cwd or "")
            yield "  " + "  ".join(_cut(part) for part in said if part)
    for title, flaky in (("task", report.flaky_by_task), ("folder", report.flaky_by_cwd)):
        if flaky:
            yield ""
            yield f"Flakiest by {title}"
            yield from map(_flaky, flaky)


def csv_text(report: ToolReport) -> str:
    """The groups, one a row; unknown numbers are empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["kind", report.by, *Group.__struct_fields__[2:]])
    for one in report.groups:
        writer.writerow([getattr(one, name) for name in Group.__struct_fields__])
    return out.getvalue()


def _names(group: Group, report: ToolReport) -> tuple[str, ...]:
    value = _cut(group.value or "-")
    return (_cut(group.kind or "-"), value) if report.by == "name" else (value,)


def _numbers(group: Group) -> tuple[str, ...]:
    rate = "-" if group.success_rate is None else f"{group.success_rate:.0%}"
    counts = (group.count, rate, group.failed, group.cancelled, group.unknown)
    return (*map(str, counts), _duration(group.average_ms), _duration(group.p95_ms))


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _flaky(one: Flaky) -> str:
    noun = "change" if one.changes == 1 else "changes"
    times = f"{one.failed} of {one.failed + one.succeeded} failed, {one.changes} {noun}"
    return f"  {_cut(one.kind)}  {_cut(one.name)}  {_cut(one.at)}  {times}"


def _cut(text: str) -> str:
    clean = neutral(text)
    return clean if len(clean) <= WIDEST else clean[: WIDEST - 1] + "…"


def _table(rows: Sequence[tuple[str, ...]], *, left: int) -> Iterator[str]:
    """Columns as wide as their widest cell; the first `left` of them hold words, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
