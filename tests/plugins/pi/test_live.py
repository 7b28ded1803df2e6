"""The installed command follows sessions that grow, are forked and are rewritten in place: each fact arrives once."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.process.machine import Event, Machine, ids
from tests.process.writing import Pieces

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    source = f'[sources.pi]\nhome = "{made.home}"\n'
    made.config.write_text("\n".join(['start = "all"\nsweep_seconds = "500ms"\n', source, made.archive_sink()]))
    return made


def contents(machine: Machine, scenario: str, folder: str = "sessions") -> dict[Path, bytes]:
    """The recorded session files, as they would lie in the machine's home."""
    root = SAMPLES / scenario / folder
    return {machine.home / "sessions" / path.relative_to(root): path.read_bytes() for path in root.rglob("*.jsonl")}


def unique_usage(scenario: str) -> dict[str, Any]:
    expected = json.loads((SAMPLES / scenario / "expected.json").read_text())
    found: dict[str, Any] = expected["usage_unique_entries_over_all_sessions"]
    return found


def spent(events: list[Event]) -> tuple[int, int, Decimal]:
    """Uncached input, output and dollars of all usage."""
    used = [event for event in events if event["type"] == "token_usage"]
    fresh = sum(e["input_tokens"] - e["cached_input_tokens"] - e["cache_write_tokens"] for e in used)
    return fresh, sum(e["output_tokens"] for e in used), sum((Decimal(str(e["cost_usd"])) for e in used), Decimal(0))


def wanted(usage: dict[str, Any]) -> tuple[int, int, Decimal]:
    return usage["input"], usage["output"], Decimal(str(usage["cost"]))


def has_read(machine: Machine, least: int) -> bool:
    """Whether so many events have been journalled."""
    return len(machine.journalled()) >= least


def answers(machine: Machine) -> int:
    """How many have been journalled."""
    return len([event for event in machine.journalled() if event["type"] == "response"])


async def test_a_session_rewritten_in_place_is_counted_once(machine: Machine) -> None:
    """A newer pi truncates the file and writes it again with new ids, and longer, in the same inode."""
    [(path, before)] = contents(machine, "legacy-0.27.9", "sessions-before-migration").items()
    [after] = contents(machine, "legacy-0.27.9").values()
    usage = unique_usage("legacy-0.27.9")
    path.parent.mkdir(parents=True)
    path.write_bytes(before)
    async with machine.running() as process:
        await machine.until(lambda: answers(machine) == 4, "the old file has been read", process=process)
        path.write_bytes(after)
        await machine.until(lambda: answers(machine) == 5, "what came after is there", process=process)

    events = machine.archived()
    assert len(ids(events)) == len(set(ids(events)))
    assert spent(events) == wanted(usage)


async def test_forks_that_grow_together_are_counted_once_through_kills(machine: Machine) -> None:
    """In pieces that end anywhere, the forks before or after their parent, with three kills in the middle."""
    pieces = Pieces(contents(machine, "rpc-main-0.87.1"), Random(3), largest=3_000)
    for least in (4, 8, 12):
        process = await machine.started()
        pieces.write(8)
        await machine.until(partial(has_read, machine, least), "some is read", process=process)
        process.kill()
        await process.wait()
    while not pieces.is_done:
        pieces.write(10)
    usage = unique_usage("rpc-main-0.87.1")
    async with machine.running() as process:
        await machine.until(lambda: spent(machine.journalled()) == wanted(usage), "all is read", process=process)

    events = machine.archived()
    assert len(ids(events)) == len(set(ids(events)))
    assert spent(events) == wanted(usage)
