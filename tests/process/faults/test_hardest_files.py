"""The hardest cases of reading files that other collectors are known to fail, each on a running forwarder.

"Arrives once" means: at two HTTP endpoints and in an archive, as the fault bench counts (home.py).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random

import pytest

from tests.process.faults.home import facts
from tests.process.faults.world import World

pytestmark = pytest.mark.slow

RANDOM = Random(1)
MIB = 1 << 20


def written(bench: World, name: str, number: int = 20, *, head: bytes = b"") -> Path:
    """A session of so many lines below the name."""
    path = bench.home.day("21") / f"rollout-{name}.jsonl"
    append(path, head or bench.home.header(), bench.home.lines(RANDOM, number))
    return path


def append(path: Path, *pieces: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        for piece in pieces:
            file.write(piece)


def truncate(bench: World, path: Path) -> None:
    bench.home.give_up(path)
    os.truncate(path, 0)


async def read(bench: World) -> None:
    """Return when everything that is there has arrived."""
    await bench.start()
    assert await bench.arrived(), bench.tail_of_log()


async def right(bench: World) -> bool:
    """Whether, without a restart, everything owed arrives, nothing twice, and nothing else."""
    has_all = await bench.arrived()
    bench.check(bench.home.owed(), await bench.ended(has_all=has_all))
    return has_all


async def test_rename_with_an_unread_tail_then_a_new_file_at_the_old_path(bench: World) -> None:
    """Every line of both arrives once, however long nobody looks."""
    path = written(bench, "a")
    await read(bench)
    bench.signal(signal.SIGSTOP)
    append(path, bench.home.lines(RANDOM, 500))
    path.rename(path.with_name("rollout-a-1.jsonl"))
    written(bench, "a", 30)
    bench.signal(signal.SIGCONT)

    assert await right(bench)


async def test_three_rotations_between_two_scans(bench: World) -> None:
    """All four generations arrive once."""
    path = written(bench, "a")
    await read(bench)
    bench.signal(signal.SIGSTOP)
    for number in range(3):
        append(path, bench.home.lines(RANDOM, 20))
        path.rename(path.with_name(f"rollout-a-{number}.jsonl"))
        written(bench, "a")
    bench.signal(signal.SIGCONT)

    assert await right(bench)


async def test_copytruncate_while_the_forwarder_is_stopped_and_longer_content_after_it(bench: World) -> None:
    """The new content is already longer than the old offset; it arrives whole, from its byte 0."""
    path = written(bench, "a", 20)
    await read(bench)
    await bench.stop()
    bench.home.copy(path, path.with_name("rollout-a-1.jsonl"))
    truncate(bench, path)
    written(bench, "a", 400)
    await bench.start()

    assert await right(bench)


async def test_rewritten_in_place_with_ten_times_as_much_and_the_same_first_line(bench: World) -> None:
    """No reader of the old generation goes on: each new line arrives once, over and over."""
    head = bench.home.header()
    path = written(bench, "a", 30, head=head)
    await read(bench)
    for _ in range(10):
        truncate(bench, path)
        append(path, head)
        for _ in range(10):
            append(path, bench.home.lines(RANDOM, 30))

    assert await right(bench)


@pytest.mark.parametrize("number", [3, 300], ids=["shorter", "longer"])
async def test_inode_reuse_by_a_shorter_and_by_a_longer_file(bench: World, number: int) -> None:
    """A file is deleted and another gets its inode: it is read from its beginning."""
    path = written(bench, "a", 40)
    await read(bench)
    inode = path.stat().st_ino
    bench.home.give_up(path)
    path.unlink()
    for attempt in range(100):
        if written(bench, f"b{attempt}", number).stat().st_ino == inode:
            break
    else:
        pytest.skip("this file system does not hand out inodes again")

    assert await right(bench)


async def test_same_head_two_files(bench: World) -> None:
    """A fork copies the first megabyte of its parent: both are read to the end, neither at the other's offset."""
    head = bench.home.header()
    while len(head) < MIB:
        head += bench.home.lines(RANDOM, 1000)
    parent = written(bench, "parent", 50, head=head)
    await read(bench)
    fork = written(bench, "fork", 80, head=head)
    append(parent, bench.home.lines(RANDOM, 70))
    append(fork, bench.home.lines(RANDOM, 10))

    assert await right(bench)


async def test_a_line_written_in_two_writes_with_a_restart_between(bench: World) -> None:
    """Cut inside a string and inside a character: one event, no torn one."""
    path = written(bench, "a")
    line = bench.home.lines(RANDOM, 1)
    middle = line.index("京".encode()) + 1
    append(path, line[:middle])
    await read(bench)
    await bench.kill()
    await bench.start()
    append(path, line[middle:])

    assert await right(bench)


async def test_a_50_mb_line_in_the_middle_and_a_line_of_1_mb(bench: World) -> None:
    """The lines before and after arrive, memory stays far below the line, and a stub tells of it."""
    path = written(bench, "a")
    with path.open("ab") as file:
        file.write(b'{"timestamp":"2026-11-21T01:12:22.418Z","type":"event_msg","payload":{"type":"x","text":"')
        for _ in range(50):
            file.write(b"x" * MIB)
        file.write(b'"}}\n')
    later = bench.home.lines(RANDOM, 1).replace(b'"source"', b'"filler": "' + b"y" * MIB + b'", "source"')
    append(path, later)
    after = bench.home.lines(RANDOM, 20)
    append(path, after)
    await bench.start()
    assert bench.process
    process = bench.process
    while not facts(later + after) <= bench.lines.facts.keys():
        await bench.machine.until(lambda: facts(later + after) <= bench.lines.facts.keys(), "after", process=process)
    peak = Path(f"/proc/{process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]

    assert int(peak) < 150_000  # KiB, of which an idle forwarder takes a third
    assert bench.lines.types["gap"] == 1


async def test_a_stale_writer_after_truncation_leaves_100_mb_of_nul_bytes(bench: World) -> None:
    """Its next line arrives, and the first that another writer had put there."""
    path = written(bench, "a")
    await read(bench)
    truncate(bench, path)
    os.truncate(path, 100 * MIB)
    line = bench.home.header() + bench.home.lines(RANDOM, 3)
    append(path, line)
    assert bench.process
    await bench.machine.until(lambda: facts(line) <= bench.lines.facts.keys(), "behind it", process=bench.process)
    peak = Path(f"/proc/{bench.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]

    assert int(peak) < 150_000  # KiB


async def test_a_sparse_file_of_10_gb(bench: World) -> None:
    """Passed over in bounded memory while other files go on; the line behind it arrives."""
    path = written(bench, "a")
    other = written(bench, "b")
    await read(bench)
    bench.home.give_up(path)
    os.truncate(path, 10 << 30)
    append(path, line := b"\n" + bench.home.lines(RANDOM, 1))
    append(other, beside := bench.home.lines(RANDOM, 1))
    assert bench.process
    await bench.machine.until(lambda: facts(beside) <= bench.lines.facts.keys(), "another", process=bench.process)
    await bench.machine.until(lambda: facts(line[1:]) <= bench.lines.facts.keys(), "behind", process=bench.process)
    peak = Path(f"/proc/{bench.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]

    assert int(peak) < 150_000  # KiB


@pytest.mark.parametrize(("end", "is_whole"), [(1, True), (30, False)])
async def test_a_last_line_without_a_newline(bench: World, end: int, is_whole: bool) -> None:
    """Of a file that nobody writes to any more, read by `replay`: an event if it is whole, else it is named."""
    path = bench.home.new_name(RANDOM)
    last = bench.home.lines(RANDOM, 1)
    append(path, bench.home.header(), bench.home.lines(RANDOM, 3), last[:-end])
    process = await bench.machine.started("replay", "--to", "archive", path)
    status = await process.wait()
    begin = path.stat().st_size - len(last) + end

    assert len(bench.archived()) == 4 + is_whole
    assert status == (0 if is_whole else 1)
    assert (f"{path.name}, bytes {begin}" in bench.tail_of_log()) is not is_whole
