"""However often and in whatever order files are read, the same facts come out once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.process.machine import Machine, ids, totals
from tests.process.writing import SAMPLES, recordings, sessions

pytestmark = pytest.mark.slow


async def test_a_replay_gives_each_id_once(machine: Machine) -> None:
    """Forks, reviews, migrations and archives among the recordings repeat each other; an id may not."""
    found = ids(await machine.replay(*recordings()))

    assert len(found) == len(set(found))


async def test_a_dry_run_counts_what_would_be_delivered(machine: Machine) -> None:
    """Not what files repeat of each other."""
    copies = [SAMPLES / "migrate-before-A", SAMPLES / "migrate-after-A"]
    machine.configure(machine.archive_sink())
    status, said = await machine.said("replay", "--dry-run", *map(str, copies))

    assert status == 0
    assert said.endswith(f", {len(await machine.replay(*copies))} events\n")


async def test_a_second_replay_gives_the_same_ids(machine: Machine) -> None:
    """A destination that knows ids may be sent the same files as often as one likes."""
    first = await machine.replay(*recordings(), state="one")
    second = await machine.replay(*recordings(), state="two")

    assert ids(first) == ids(second)


async def test_a_replay_in_reverse_order_gives_the_same_totals(machine: Machine) -> None:
    """What a child file says first may not change what its parent's file counts for."""
    forward = await machine.replay(*recordings(), state="forward")
    backward = await machine.replay(*reversed(recordings()), state="backward")

    assert set(ids(forward)) == set(ids(backward))
    assert totals(forward) == totals(backward)


async def test_a_migrated_copy_beside_its_original_adds_nothing(machine: Machine) -> None:
    """The copy is read first, by its folder's name; one step of it stands for two of the original."""
    original = await machine.replay(SAMPLES / "migrate-before-A", state="original")
    both = await machine.replay(SAMPLES / "migrate-before-A", SAMPLES / "migrate-after-A", state="both")

    assert totals(both) == totals(original)


async def test_a_running_forwarder_finds_what_a_replay_finds(machine: Machine) -> None:
    """`run` and `replay` are the same rooms: equal ids, equal totals, each id once in the journal."""
    write(sessions(machine.home))
    machine.configure(machine.archive_sink())

    async with machine.running() as process:
        await machine.until(machine.is_read, "everything is read", process=process)

    expected = await machine.replay(machine.home)
    assert sorted(ids(machine.journalled())) == sorted(ids(expected))
    assert totals(machine.archived()) == totals(expected)


async def test_copies_of_files_add_nothing(machine: Machine) -> None:
    """A backup restored beside the originals: the same bytes under other inodes and in another folder."""
    write(sessions(machine.home))
    expected = await machine.replay(machine.home)
    machine.configure(machine.archive_sink())
    async with machine.running() as process:
        await machine.until(machine.is_read, "the originals are read", process=process)
        shutil.copytree(machine.home / "sessions", machine.home / "archived_sessions" / "copies")
        await machine.until(machine.is_read, "the copies are read", process=process)

    assert sorted(ids(machine.journalled())) == sorted(ids(expected))
    assert sorted(ids(machine.archived())) == sorted(ids(expected))


def write(contents: dict[Path, bytes]) -> None:
    """All files at once, as a restored home has them."""
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
