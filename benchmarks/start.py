"""How long the command takes to say something."""

from __future__ import annotations

import sys

from benchmarks.command import FORWARDER, measured, scratch
from benchmarks.table import spread, table


def start(*, times: int = 20) -> None:
    """`forwarder --help`, beside an interpreter that does nothing."""
    rows: list[list[str]] = []
    for name, argv in (("python -c pass", [sys.executable, "-c", "pass"]), ("forwarder --help", [FORWARDER, "--help"])):
        with scratch() as folder:
            costs = [measured(argv, cwd=folder) for _ in range(times)]
        milliseconds = spread([cost.seconds * 1000 for cost in costs])
        rows.append([name, milliseconds, spread([cost.peak_mib for cost in costs])])
    table(f"start, {times} times", ["command", "ms", "peak MiB"], rows)
