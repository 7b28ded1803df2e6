"""What became of the calls of tools and helpers, in numbers. Only reads, also beside a running forwarder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec

from forwarder.app.assembly import make_encoder, make_redactor, make_sources, mapper_maker
from forwarder.app.config import Settings
from forwarder.app.looking.invocations import Invocation, decoded, invocations
from forwarder.app.remapping import portions
from forwarder.clock import SystemClock
from forwarder.errors import ConfigError, JournalDamaged, JournalTooNew, StateError
from forwarder.journal import reading
from forwarder.source import Source

By = Literal["name", "task", "cwd", "scope", "agent"]

FAILURES = 10  # of the newest
FLAKIEST = 10


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Invocations that have something in common. `success_rate` is that of those that succeeded or failed, 0 to 1;
    `average_ms` and `p95_ms` are of those whose duration is known. None: there are none."""

    kind: str | None
    value: str | None
    count: int
    succeeded: int
    failed: int
    cancelled: int
    unknown: int
    success_rate: float | None
    average_ms: float | None
    p95_ms: int | None


class Flaky(msgspec.Struct, frozen=True, kw_only=True):
    """A helper that both succeeded and failed at the same `task_id` or in the same `cwd`; `changes` between the two."""

    kind: str
    name: str
    at: str
    succeeded: int
    failed: int
    changes: int


class ToolReport(msgspec.Struct, frozen=True, kw_only=True):
    """`failures` are the newest, newest first. `notes` say what could not be looked at."""

    by: By
    since: datetime | None
    groups: list[Group]
    failures: list[Invocation]
    flaky_by_task: list[Flaky]
    flaky_by_cwd: list[Flaky]
    notes: list[str]


def tool_report(settings: Settings, *, files: Sequence[Path], since: datetime | None, by: By) -> ToolReport:
    """From the journal, and from the `files` that a source recognises; what both tell counts once.

    A file or a journal that does not exist holds nothing. Raises `ConfigError`, `OSError`, and `StateError` for a
    journal that cannot be read.
    """
    notes: list[str] = []
    told = [*decoded(_journalled(settings, notes)), *decoded(_mapped(settings, files, notes))]
    found = [one for one in invocations(told) if since is None or one.time >= since]
    failures = [one for one in reversed(found) if one.result == "failed"]
    return ToolReport(
        by=by,
        since=since,
        groups=_groups(found, by),
        failures=failures[:FAILURES],
        flaky_by_task=_flakiest(found, lambda one: one.task_id),
        flaky_by_cwd=_flakiest(found, lambda one: one.cwd),
        notes=notes,
    )


def _journalled(settings: Settings, notes: list[str]) -> Iterator[bytes]:
    try:
        with reading(settings.state_dir) as connection:
            for (body,) in connection.execute("SELECT body FROM batches ORDER BY first"):
                yield from body.split(b"\n")
    except (JournalDamaged, JournalTooNew):
        raise
    except StateError as error:
        notes.append(str(error))


def _mapped(settings: Settings, files: Sequence[Path], notes: list[str]) -> Iterator[bytes]:
    """The events of the files, with the ids that they have in the journal."""
    if not files:
        return
    sources, redactor = make_sources(settings), make_redactor(settings)
    encoder = make_encoder(settings, redactor)
    make = mapper_maker(settings, redactor, encoder, clock=SystemClock(), is_replay=True)
    for path in files:
        if not path.exists():
            notes.append(f"{path} does not exist")
            continue
        mapper = make(*_source_of(path, sources), path)
        bad = 0
        for records in portions(path, max_line_bytes=settings.max_line_bytes):
            mapped = mapper.map(records)
            bad += len(mapped.dead_letters)
            yield from mapped.lines
        if bad:
            notes.append(f"{path} has {bad} bad {'line' if bad == 1 else 'lines'}")


def _source_of(path: Path, sources: dict[str, Source[Any]]) -> tuple[str, Source[Any]]:
    for name, source in sources.items():
        if source.recognises(path):
            return name, source
    raise ConfigError(f"no source recognises {path}: `forwarder plugins` lists them, a table [sources.NAME] its files")


_KEYS: dict[By, Callable[[Invocation], tuple[str | None, str | None]]] = {
    "name": lambda one: (one.kind, one.name),
    "task": lambda one: (None, one.task_id),
    "cwd": lambda one: (None, one.cwd),
    "scope": lambda one: (None, one.scope),
    "agent": lambda one: (None, one.agent),
}


def _groups(found: Iterable[Invocation], by: By) -> list[Group]:
    """The largest first, those of one size by name."""
    grouped: defaultdict[tuple[str | None, str | None], list[Invocation]] = defaultdict(list)
    for one in found:
        grouped[_KEYS[by](one)].append(one)
    groups = [_group(kind, value, members) for (kind, value), members in grouped.items()]
    return sorted(groups, key=lambda one: (-one.count, one.value or "", one.kind or ""))


def _group(kind: str | None, value: str | None, members: Sequence[Invocation]) -> Group:
    results = [one.result for one in members]
    durations = sorted(one.duration_ms for one in members if one.duration_ms is not None)
    succeeded, failed = results.count("succeeded"), results.count("failed")
    return Group(
        kind=kind,
        value=value,
        count=len(members),
        succeeded=succeeded,
        failed=failed,
        cancelled=results.count("cancelled"),
        unknown=results.count("unknown"),
        success_rate=round(succeeded / (succeeded + failed), 4) if succeeded + failed else None,
        average_ms=round(sum(durations) / len(durations), 1) if durations else None,
        p95_ms=durations[-(-len(durations) * 95 // 100) - 1] if durations else None,  # the nearest rank
    )


def _flakiest(found: Iterable[Invocation], place: Callable[[Invocation], str | None]) -> list[Flaky]:
    """Those whose results change most often, of these the ones that fail most."""
    grouped: defaultdict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for one in found:
        at = place(one)
        if at is not None and one.result in ("succeeded", "failed"):
            grouped[one.kind, one.name, at].append(one.result == "succeeded")
    flaky = [
        Flaky(
            kind=kind,
            name=name,
            at=at,
            succeeded=sum(results),
            failed=len(results) - sum(results),
            changes=sum(before != after for before, after in pairwise(results)),
        )
        for (kind, name, at), results in grouped.items()
        if len(set(results)) == 2
    ]
    return sorted(flaky, key=lambda one: (-one.changes, -one.failed, one.name, one.at))[:FLAKIEST]
