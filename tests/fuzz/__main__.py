"""Fuzzes what reads files of others: ``python -m tests.fuzz --seconds 600 --target codex --seed 7``.

Inputs are mutations of recordings. The same seed tries the same inputs in the same order. Ends with status 1 when
something was found; the shortest input of each kind is then in the folder `.fuzz`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path

import structlog

from tests.fuzz import guided

ENGINES = ("own", "atheris")
HEAD = "| target | engine | seconds | inputs | slowest, s | memory grown, MiB | found |\n|---|---|---|---|---|---|---|"


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Fuzz the mappers and readers.")
    parser.add_argument("--seconds", type=float, default=600, help="in total (default %(default)s)")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", default="1", help="any text (default 1)")
    parser.add_argument("--engine", choices=ENGINES, default="own", help="atheris must be installed (default own)")
    parser.add_argument("--endure", type=int, metavar="RECORDS", help="give so many to each source's state instead")
    parser.add_argument("--requests", type=int, metavar="NUMBER", help="post so many to a running forwarder instead")
    parser.add_argument("--findings", type=Path, default=Path(".fuzz"), help="where inputs go (default %(default)s)")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if chosen.engine == "atheris" and len(chosen.target or ()) == 1:
        guided.run(chosen.target[0], seconds=chosen.seconds, seed=chosen.seed, folder=chosen.findings)
    if chosen.requests:
        sys.exit(_storm(chosen))
    sys.exit(_endure(chosen) if chosen.endure else _all(chosen, parser))


def _all(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from tests.fuzz.targets import targets

    known = targets()
    names: list[str] = chosen.target or list(known)
    if unknown := set(names) - known.keys():
        parser.error(f"no target {min(unknown)}; there are {', '.join(known)}")
    print(HEAD, flush=True)
    seconds, status = chosen.seconds / len(names), 0
    for name in names:
        if chosen.engine == "atheris":
            status |= _guided(name, seconds, chosen)
            continue
        from tests.fuzz.running import run

        tally = run(known[name], seconds=seconds, seed=chosen.seed)
        print(tally.row(), *tally.save(chosen.findings), sep="\n", flush=True)
        status |= bool(tally.found)
    return status


def _endure(chosen: argparse.Namespace) -> int:
    from tests.fuzz.enduring import endure
    from tests.fuzz.mappers import mapper_targets
    from tests.fuzz.watchdog import resident_bytes

    print("| target | records | seconds | largest state, bytes | resident, MiB |\n|---|---|---|---|---|", flush=True)
    for target in mapper_targets():
        if target.name in (chosen.target or [target.name]):
            began = time.monotonic()
            most = endure(target, number=chosen.endure, seed=chosen.seed)
            seconds, resident = time.monotonic() - began, resident_bytes() >> 20
            print(f"| {target.name} | {chosen.endure:,} | {seconds:.0f} | {most:,} | {resident} |", flush=True)
    return 0


def _storm(chosen: argparse.Namespace) -> int:
    from tests.fuzz.storming import storm

    return 0 if asyncio.run(storm(chosen.requests, seed=int(chosen.seed), findings=chosen.findings)) else 1


def _guided(name: str, seconds: float, chosen: argparse.Namespace) -> int:
    """A process each: libFuzzer ends its own."""
    options = ["--seconds", str(seconds), "--seed", chosen.seed, "--findings", str(chosen.findings)]
    command = [sys.executable, "-m", "tests.fuzz", "--engine", "atheris", "--target", name, *options]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    main()
