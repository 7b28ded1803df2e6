"""What the redaction rules find in a file: by rule, with counts and lines. The values are never shown."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO

import msgspec

from forwarder.app.assembly import make_redactor
from forwarder.app.config import Settings
from forwarder.pipeline.redaction import Level, Redactor

CHUNK_BYTES = 8 << 20  # looked at as one text, to its last newline: a key of many lines is one secret
LINES_SHOWN = 10  # line numbers for each rule in the readable form

KEPT = {
    Level.FULL: 'redaction "full": no text that people or models wrote is kept; from names the following is removed',
    Level.PREVIEW: 'redaction "preview": the following is removed, then texts are cut to 50 characters',
    Level.NONE: 'redaction "none": texts are kept whole; the following is removed',
    Level.RAW: "scrub = false: nothing is removed; with scrubbing it would be the following",
}


class RuleFindings(msgspec.Struct, kw_only=True):
    """How many secrets a rule found, and on which lines (from 1); a line with two of them is named twice."""

    rule: str
    count: int = 0
    lines: list[int] = []


class Examination(msgspec.Struct, kw_only=True):
    """All findings, the most frequent rule first; `problems` are rules that are not in use, with the reason."""

    level: str
    rules: list[RuleFindings]
    problems: list[str]


def examine(file: BinaryIO, settings: Settings) -> Examination:
    """Read the file to its end. Raises `ConfigError` when the rules cannot be loaded."""
    redactor = make_redactor(settings)
    found: dict[str, RuleFindings] = {}
    for rule, line in find_secrets(file, redactor):
        entry = found.setdefault(rule, RuleFindings(rule=rule))
        entry.count += 1
        entry.lines.append(line)
    return Examination(
        level=settings.redaction.name.lower(),
        rules=sorted(found.values(), key=lambda one: (-one.count, one.rule)),
        problems=[f"{one.origin}: rule {one.rule} is not in use: {one.reason}" for one in redactor.problems],
    )


def find_secrets(file: BinaryIO, redactor: Redactor) -> Iterator[tuple[str, int]]:
    """Rule and line of every secret, in the file's order."""
    line = 1
    for chunk in _chunks(file):
        text = chunk.decode("utf-8", "replace")
        lines = text.split("\n")
        starts = [0, *accumulate(len(one) + 1 for one in lines)]
        for finding in redactor.findings(text):
            yield finding.rule, line + bisect_right(starts, finding.start) - 1
        line += len(lines) - 1


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while data := file.read(CHUNK_BYTES):
        whole, newline, rest = (rest + data).rpartition(b"\n")
        if newline:
            yield whole + newline
    if rest:
        yield rest


def report_lines(report: Examination) -> Iterator[str]:
    """The findings for people."""
    yield KEPT[Level[report.level.upper()]]
    for one in report.rules:
        places = ", ".join(map(str, one.lines[:LINES_SHOWN])) + (" …" if one.count > LINES_SHOWN else "")
        yield f"{one.count:>6}  {one.rule}  line{'' if one.count == 1 else 's'} {places}"
    yield f"{sum(one.count for one in report.rules):>6}  in all"
    yield from report.problems
