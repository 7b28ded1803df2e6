"""What `forwarder track` adds to a command."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.command import FORWARDER, scratch
from benchmarks.table import quantile, spread, table


def track(*, times: int = 100) -> None:
    """`forwarder track -- true`, beside `true` and an interpreter that does nothing; one after the other, in turn."""
    with scratch() as folder:
        log = folder / "usage" / "events.jsonl"
        commands = {
            "true": ["true"],
            "python -c pass": [sys.executable, "-c", "pass"],
            "forwarder track -- true": [FORWARDER, "track", "--file", str(log), "--", "true"],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(times):
            for name, argv in commands.items():
                taken[name].append(_milliseconds(argv, folder))
        lines = len(log.read_bytes().splitlines())
    rows = [[name, spread(ones, digits=1), f"{quantile(ones, 0.99):.1f}"] for name, ones in taken.items()]
    table(f"track, {times} times, {lines} lines written", ["command", "ms", "p99"], rows)


def _milliseconds(argv: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(argv, cwd=folder, check=True)
    return (time.perf_counter() - start) * 1000
