"""Peak resident memory where it must not grow: a large replay, and a sink that is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from benchmarks.command import resident_mib, running, scratch
from benchmarks.corpus import MEGABYTE, corpus, variants
from benchmarks.live import run_command, until
from benchmarks.peer import Tally, serving
from benchmarks.table import table
from benchmarks.throughput import replay


def memory(*, megabytes: int, gigabytes: float) -> None:
    """Replay that much; then let a running forwarder journal a million events that nobody takes."""
    rows: list[list[str]] = []
    for kind in ("real", "short"):
        with scratch() as folder:
            files = variants(corpus(kind, megabytes), folder / "files", round(gigabytes * 1000 / megabytes))
            size = sum(path.stat().st_size for path in files) / MEGABYTE
            archive = f'[sinks.bench]\nuse = "jsonl"\npath = "{folder}/archive/{{date}}.jsonl"\n'
            cost = replay(folder / "files", folder, archive)
            rows.append([f"replay of {len(files)} files, {kind} lines", f"{size:,.0f}", f"{cost.peak_mib:.0f}"])
    table("peak resident memory of a replay", ["case", "MB read", "peak MiB"], rows)
    asyncio.run(sink_down(megabytes=megabytes))


async def sink_down(*, megabytes: int, files: int = 4) -> None:
    """Every request is answered 503 while short lines are read and journalled; then the endpoint takes all."""
    tally = Tally(status=503)
    with scratch() as folder:
        day = folder / "home" / "sessions" / "2026" / "11" / "21"
        variants(corpus("short", megabytes), day, files)
        async with serving(tally) as port:
            with running(run_command(folder, port, journal_bytes="8GiB"), cwd=folder) as process:
                await rests(lambda: journal_bytes(folder / "state") // MEGABYTE)
                down = resident_mib(process.pid, "VmHWM")
                journalled = journal_bytes(folder / "state") / MEGABYTE
                tally.status = 200
                await rests(lambda: tally.events)
                after = resident_mib(process.pid, "VmHWM")
    row = [f"{tally.events:,}", f"{journalled:,.0f}", f"{tally.refused:,}", f"{down:.0f}", f"{after:.0f}"]
    head = ["events", "journal MB", "refused requests", "peak MiB while down", "peak MiB after catching up"]
    table("memory while a sink is down", head, [row])


async def rests(amount: Callable[[], int]) -> None:
    """Return when an amount has grown, and then not for three seconds."""
    await until(lambda: amount() > 0)
    before = -1
    while before != (before := amount()):
        await asyncio.sleep(3)


def journal_bytes(state: Path) -> int:
    """The journal's files together."""
    return sum(path.stat().st_size for path in state.rglob("journal.sqlite3*"))
