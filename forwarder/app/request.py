"""What a replay is asked to do, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class ReplayRequest:
    """`paths` are files and folders; empty `sources` means that all configured ones are asked whose a file is.

    Events before `since` or at and after `until` (both with a time zone), of another session or another project are
    left out. `to` is ``stdout`` or the name of a configured sink. `speed` is how many times faster than it happened,
    None for as fast as possible. A dry run delivers nothing. `period` is `since` and `until` as they were
    typed: "7d" asks for the same when an interrupted replay is started again a minute later.
    """

    paths: tuple[Path, ...]
    sources: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    session: str | None = None
    project: str | None = None
    to: str = "stdout"
    speed: float | None = None
    dry_run: bool = False
    period: tuple[str | None, str | None] = (None, None)


@dataclass
class Progress:
    """How much of a replay is done; bytes count in the files as they lie on disk."""

    files_total: int = 0
    files_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    events: int = 0
