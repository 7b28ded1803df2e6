"""Measures forwarder and prints tables; `benchmarks/README.md` says what each case does.

python benchmarks/run.py                          # everything: about 20 minutes
python benchmarks/run.py throughput --rounds 7    # some of it
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable

from benchmarks.fleet import fleet
from benchmarks.hook import hook
from benchmarks.live import idle, latency
from benchmarks.memory import memory
from benchmarks.posts import posts
from benchmarks.redact import redact
from benchmarks.seen import seen
from benchmarks.start import start
from benchmarks.throughput import throughput
from benchmarks.track import track


def main() -> None:
    """Run the named cases, or all of them, one after the other."""
    parser = argparse.ArgumentParser(description="Measure forwarder on seeded corpora.")
    names = ["throughput", "latency", "idle", "memory", "start", "seen", "hook", "track", "fleet", "redact", "posts"]
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=5, help="of throughput, interleaved (default 5)")
    parser.add_argument("--megabytes", type=int, default=200, help="size of a corpus (default 200)")
    parser.add_argument("--gigabytes", type=float, default=2, help="size of the memory case's replay (default 2)")
    chosen = parser.parse_args()
    if unknown := set(chosen.cases) - set(names):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    cases: dict[str, Callable[[], None]] = {
        "throughput": lambda: throughput(megabytes=chosen.megabytes, rounds=chosen.rounds),
        "latency": latency,
        "idle": idle,
        "memory": lambda: memory(megabytes=chosen.megabytes, gigabytes=chosen.gigabytes),
        "start": start,
        "seen": seen,
        "hook": hook,
        "track": track,
        "redact": lambda: redact(megabytes=min(chosen.megabytes, 10), rounds=chosen.rounds),
        "fleet": fleet,
        "posts": posts,
    }
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {sys.platform}")
    for name in chosen.cases or names:
        cases[name]()


if __name__ == "__main__":
    main()
