"""Thousands of requests to all receivers of one running forwarder: whether it answers, and how it grows."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.odd_requests import odd_fields, odd_frames, odd_values, targets
from tests.fuzz.posting import TOKEN, Receivers

HEAD = (
    "| receiver | requests | seconds | 2xx | 4xx | 5xx | memory at first and last, MiB | found |\n"
    "|---|---|---|---|---|---|---|---|"
)
EXAMPLES = 100  # of a round, for each operation; then the next seed


async def storm(requests: int, *, seed: int, findings: Path) -> bool:
    """Send so many in all, to all receivers at the same time, then every odd one; whether nothing was found.

    What schemathesis says when it finds something is left in the folder.
    """
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="forwarder-storm-") as folder:
        async with Receivers.running(Path(folder)) as receivers:
            said = list(await asyncio.gather(*(_stormed(receivers, name, requests, seed) for name in receivers.ports)))
            said += [await _oddly(receivers, name) for name in receivers.ports]
    problems = "\n".join(filter(None, said))
    if problems:
        findings.mkdir(exist_ok=True)
        (findings / "storm.txt").write_text(problems)
    return not problems


async def _stormed(receivers: Receivers, name: str, requests: int, seed: int) -> str:
    """What was found. Goes on until all receivers together have answered so often."""
    answers, seconds, problems = Counter[int](), 0.0, list[str]()
    first = 0
    while sum(one.total() for one in (await receivers.answers()).values()) < requests:
        phases = "fuzzing" if seconds else "coverage,fuzzing"  # what the first does is the same every time
        done = await receivers.round(name, examples=EXAMPLES, seed=seed, phases=phases)
        answers += done.answers
        seconds += done.seconds
        problems += [done.problem] if done.problem else []
        first = first or done.resident_bytes
        seed += 1
    print(_row(name, answers, seconds, (first, receivers.resident_bytes()), len(problems)), flush=True)
    return "\n".join(problems)


async def _oddly(receivers: Receivers, name: str) -> str:
    """What was answered otherwise than it should be."""
    before, first, began = (await receivers.answers())[name], receivers.resident_bytes(), time.monotonic()
    found = targets(await receivers.description(name), TOKEN)
    odd = [one for target in found for one in (*odd_values(target), odd_fields(target), *odd_frames(target))]
    wrong = await receivers.misanswered(receivers.ports[name], odd)
    answers = (await receivers.answers())[name]
    answers.subtract(before)
    memory = first, receivers.resident_bytes()
    print(_row(f"{name}, odd", answers, time.monotonic() - began, memory, len(wrong)), flush=True)
    return "\n".join(wrong)


def _row(name: str, answers: Counter[int], seconds: float, resident: tuple[int, int], found: int) -> str:
    kinds = [sum(count for status, count in answers.items() if status // 100 == kind) for kind in (2, 4, 5)]
    memory = ", ".join(str(one >> 20) for one in resident)
    figures = " | ".join(f"{one:,}" for one in kinds)
    return f"| {name} | {answers.total():,} | {seconds:.0f} | {figures} | {memory} | {found} |"
