"""Files that appear, grow and go: by events within milliseconds, by sweeps in any case."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from watchfiles import Change

from forwarder import SystemClock
from forwarder.tail import watch as watch_module
from forwarder.tail.folder import HOT_SECONDS
from forwarder.tail.follow import File
from forwarder.tail.watch import SHARES, Watch
from forwarder.testing import ManualClock

SETTLED = 10.0  # seconds after which a folder's own time tells whether its names changed


class Watching:
    """A running watch over `root`, and what it reported."""

    def __init__(self, root: Path, clock: ManualClock | SystemClock, *, sweep_seconds: float = 3600.0) -> None:
        self.steady: set[Path] = set()
        self.watch = Watch(
            {"acme": [f"{root}/**/*.jsonl"]},
            clock=clock,
            sweep_seconds=sweep_seconds,
            steady=lambda: [("acme", path) for path in self.steady],
        )
        self.seen: set[str] = set()
        self._changed = asyncio.Event()

    def report(self, file: File) -> bool:
        self.seen.add(file.path.name)
        self._changed.set()
        return True

    async def until_seen(self, *names: str) -> None:
        async with asyncio.timeout(10):
            while not self.seen.issuperset(names):
                self._changed.clear()
                await self._changed.wait()

    async def until_polled(self, clock: ManualClock, *names: str) -> None:
        """Let time pass until these were reported."""
        async with asyncio.timeout(10):
            while not self.seen.issuperset(names):
                await clock.skip()
                self._changed.clear()
                await asyncio.wait([asyncio.create_task(self._changed.wait())], timeout=0.01)

    async def until_watched(self, folder: Path) -> None:
        """Events arrive from here on: a file is touched until one does."""
        probe = folder / "probe.jsonl"
        async with asyncio.timeout(10):
            while "probe.jsonl" not in self.seen:
                probe.write_bytes(b"{}\n")
                self._changed.clear()
                await asyncio.wait([asyncio.create_task(self._changed.wait())], timeout=0.02)


@pytest.fixture
def clock() -> ManualClock:
    """Stands at the machine's time, since files have that."""
    return ManualClock(datetime.now(UTC))


@pytest.fixture
async def watching(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[Watching]:
    """Events only: the clock stands, so there are no sweeps."""
    watching = Watching(tmp_path / "root", clock)
    (tmp_path / "root").mkdir()
    task = asyncio.create_task(watching.watch.run(watching.report))
    await watching.until_watched(tmp_path / "root")
    yield watching
    task.cancel()
    await asyncio.wait([task])


async def test_a_file_that_appears_and_one_that_grows_are_reported(watching: Watching, tmp_path: Path) -> None:
    """By file events, without any sweep."""
    path = tmp_path / "root" / "a.jsonl"
    path.write_bytes(b"{}\n")
    await watching.until_seen("a.jsonl")
    watching.seen.clear()
    with path.open("ab") as file:
        file.write(b"{}\n")

    await watching.until_seen("a.jsonl")


async def test_files_in_folders_made_in_a_burst_are_reported(watching: Watching, tmp_path: Path) -> None:
    """The first file of a day is written before its folder can be watched."""
    for number in range(30):
        folder = tmp_path / "root" / "2026" / str(number) / "deep"
        folder.mkdir(parents=True)
        (folder / f"{number}.jsonl").write_bytes(b"{}\n")

    await watching.until_seen(*(f"{number}.jsonl" for number in range(30)))


async def test_a_folder_that_was_moved_into_place_is_looked_into(watching: Watching, tmp_path: Path) -> None:
    """There is one event for the folder and none for the files in it."""
    ready = tmp_path / "ready" / "sub"
    ready.mkdir(parents=True)
    (ready / "a.jsonl").write_bytes(b"{}\n")
    ready.parent.rename(tmp_path / "root" / "ready")

    await watching.until_seen("a.jsonl")


async def test_other_names_are_not_reported(watching: Watching, tmp_path: Path) -> None:
    """Only what a pattern matches."""
    (tmp_path / "root" / "state.sqlite").write_bytes(b"x")
    (tmp_path / "root" / "a.jsonl").write_bytes(b"{}\n")
    await watching.until_seen("a.jsonl")

    assert watching.seen == {"probe.jsonl", "a.jsonl"}


async def test_the_compressed_form_is_reported_when_the_plain_one_goes(tmp_path: Path, clock: ManualClock) -> None:
    """While both are there the plain one counts; afterwards what was not read of it is in the other."""
    watching = Watching(tmp_path, clock)
    watching.watch = Watch(
        {"acme": [f"{tmp_path}/*.jsonl", f"{tmp_path}/*.jsonl.zst"]}, clock=clock, sweep_seconds=3600
    )
    task = asyncio.create_task(watching.watch.run(watching.report))
    await watching.until_watched(tmp_path)
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.zst"
    plain.write_bytes(b"{}\n")
    packed.write_bytes(b"packed")
    await watching.until_seen("a.jsonl")
    before = set(watching.seen)
    plain.unlink()
    await watching.until_seen("a.jsonl.zst")
    task.cancel()
    await asyncio.wait([task])

    assert "a.jsonl.zst" not in before


async def test_a_folder_that_appears_later_is_watched(tmp_path: Path, clock: ManualClock) -> None:
    """An agent may be installed after the forwarder."""
    watching = Watching(tmp_path / "later", clock)
    task = asyncio.create_task(watching.watch.run(watching.report))
    await clock.asleep()
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "before.jsonl").write_bytes(b"{}\n")
    clock.advance(watch_module.ROOTS_SECONDS)
    await watching.until_seen("before.jsonl")
    await watching.until_watched(tmp_path / "later")
    task.cancel()
    await asyncio.wait([task])

    assert watching.watch.fallback is None


async def test_a_folder_that_was_removed_and_made_again_is_watched(
    watching: Watching, tmp_path: Path, clock: ManualClock
) -> None:
    """The old watch goes with the old folder."""
    shutil.rmtree(tmp_path / "root")
    (tmp_path / "elsewhere").mkdir()  # takes the old inode, where inodes are given out again at once
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "new.jsonl").write_bytes(b"{}\n")
    clock.advance(watch_module.ROOTS_SECONDS)
    await watching.until_seen("new.jsonl")
    watching.seen.clear()

    await watching.until_watched(tmp_path / "root")


async def no_watches(*_: object, **__: object) -> AsyncGenerator[set[tuple[Change, str]]]:
    """Stands for watchfiles on a machine where other programs have taken all watches."""
    raise OSError(errno.ENOSPC, "OS file watch limit reached")
    yield set()


async def test_without_events_sweeps_find_everything_soon(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No watches left: it is said why, and every file is looked at every second."""
    monkeypatch.setattr(watch_module, "awatch", no_watches)
    watching = Watching(tmp_path, clock, sweep_seconds=5)
    (tmp_path / "there.jsonl").write_bytes(b"{}\n")
    task = asyncio.create_task(watching.watch.run(watching.report))
    await watching.until_seen("there.jsonl")
    await clock.skip()  # the first sweep was planned before the watches ran out
    (tmp_path / "later.jsonl").write_bytes(b"{}\n")
    waited = 0.0
    while "later.jsonl" not in watching.seen:
        waited += await clock.skip()
        await asyncio.to_thread(time.sleep, 0)  # a sweep runs in a thread
    task.cancel()
    await asyncio.wait([task])

    assert "OS file watch limit reached" in str(watching.watch.fallback)
    assert waited < watch_module.RETRY_SECONDS


def names(files: list[File]) -> list[str]:
    return sorted(file.path.name for file in files)


@pytest.fixture
def watch(tmp_path: Path, clock: ManualClock) -> Watch:
    """Not running: the test sweeps."""
    patterns = {"acme": [f"{tmp_path}/**/*.jsonl", f"{tmp_path}/**/*.jsonl.zst"]}
    return Watch(patterns, clock=clock, sweep_seconds=5)


async def test_a_sweep_finds_what_is_new_or_changed_and_nothing_else(watch: Watch, tmp_path: Path) -> None:
    """What no event told of is found by size, time or inode."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jsonl").write_bytes(b"{}\n")
    found = [names(await watch.sweep()), names(await watch.sweep())]
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b"{}\n")
    replacement = tmp_path / "new"
    replacement.write_bytes(b"{}\n")
    os.utime(replacement, ns=(0, os.stat(tmp_path / "b.jsonl").st_mtime_ns))
    replacement.rename(tmp_path / "b.jsonl")
    found.append(names(await watch.sweep()))

    assert found == [["a.jsonl", "b.jsonl", "c.jsonl"], [], ["a.jsonl", "b.jsonl"]]


async def test_a_file_made_in_the_same_tick_as_the_sweep_is_found(watch: Watch, tmp_path: Path) -> None:
    """The folder's time need not change when another name comes: file systems' clocks are coarse."""
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    stat = os.stat(tmp_path)
    await watch.sweep()
    (tmp_path / "b.jsonl").write_bytes(b"{}\n")
    os.utime(tmp_path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert names(await watch.sweep()) == ["b.jsonl"]


async def test_old_files_are_looked_at_in_turns(watch: Watch, tmp_path: Path, clock: ManualClock) -> None:
    """Thousands of finished sessions cost an eighth each time, and a change is still found."""
    old = time.time() - 2 * HOT_SECONDS
    folders = [tmp_path / str(number) for number in range(40)]
    for folder in folders:
        folder.mkdir()
        (folder / f"{folder.name}.jsonl").write_bytes(b"{}\n")
        os.utime(folder / f"{folder.name}.jsonl", (old, old))
    clock.advance(SETTLED)
    await watch.sweep(is_full=True)
    for folder in folders:
        with (folder / f"{folder.name}.jsonl").open("ab") as file:
            file.write(b"{}\n")
    found = [names(await watch.sweep()) for _ in range(SHARES)]

    assert max(map(len, found)) < len(folders)
    assert sorted(name for some in found for name in some) == sorted(f"{folder.name}.jsonl" for folder in folders)


async def test_a_full_sweep_looks_at_every_file(watch: Watch, tmp_path: Path, clock: ManualClock) -> None:
    """As without events."""
    path, old = tmp_path / "a.jsonl", time.time() - 2 * HOT_SECONDS
    path.write_bytes(b"{}\n")
    os.utime(path, (old, old))
    clock.advance(SETTLED)
    await watch.sweep(is_full=True)
    with path.open("ab") as file:
        file.write(b"{}\n")

    assert names(await watch.sweep(is_full=True)) == ["a.jsonl"]


async def test_a_compressed_file_beside_its_plain_form_waits(watch: Watch, tmp_path: Path) -> None:
    """The plain one is the one that grows; when it is gone, the other one counts."""
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    (tmp_path / "a.jsonl.zst").write_bytes(b"packed")
    found = [names(await watch.sweep())]
    (tmp_path / "a.jsonl").unlink()
    found += [names(await watch.sweep()), names(await watch.sweep())]

    assert found == [["a.jsonl"], ["a.jsonl.zst"], []]


async def test_a_file_that_came_back_is_new(watch: Watch, tmp_path: Path) -> None:
    """Deleted files and folders are forgotten, also when the same bytes return later."""
    path = tmp_path / "sub" / "a.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"{}\n")
    stat = os.stat(path)
    await watch.sweep()
    shutil.rmtree(path.parent)
    gone = await watch.sweep()
    path.parent.mkdir()
    path.write_bytes(b"{}\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert (gone, names(await watch.sweep())) == ([], ["a.jsonl"])


async def test_a_missing_or_unreadable_folder_is_no_error(clock: ManualClock, tmp_path: Path) -> None:
    """It may appear, or be opened up, later."""
    watch = Watch({"acme": [f"{tmp_path}/none/*.jsonl"]}, clock=clock, sweep_seconds=5)

    assert await watch.sweep() == []


async def test_links_to_folders_are_not_followed(watch: Watch, tmp_path: Path) -> None:
    """A link to a parent would never end."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "sub" / "a.jsonl").write_bytes(b"{}\n")

    assert names(await watch.sweep()) == ["a.jsonl"]


async def test_links_out_of_the_watched_folder_are_not_followed(watch: Watch, tmp_path: Path) -> None:
    """Whoever can make an agent link to another file must not have it delivered."""
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    outside.mkdir()
    (outside / "private.jsonl").write_bytes(b"{}\n")
    (tmp_path / "file.jsonl").symlink_to(outside / "private.jsonl")
    (tmp_path / "folder").symlink_to(outside)
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    with capture_logs() as logs:
        swept = await watch.sweep()

    assert names(swept) == ["a.jsonl"]
    assert "is a link out of" in logs[0]["event"]


async def test_what_happens_behind_a_link_is_not_told(tmp_path: Path, watching: Watching) -> None:
    """Events come from behind links, too."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "private.jsonl").symlink_to(outside / "private.jsonl")
    (outside / "private.jsonl").write_bytes(b"{}\n")
    (root / "last.jsonl").write_bytes(b"{}\n")
    await watching.until_seen("last.jsonl")

    assert "private.jsonl" not in watching.seen


async def test_a_watched_folder_may_itself_be_a_link(clock: ManualClock, tmp_path: Path) -> None:
    """As homes on another disk are; and links inside of it may lead to its other files."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.jsonl").write_bytes(b"{}\n")
    (tmp_path / "disk" / "b.jsonl").symlink_to("a.jsonl")
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    watch = Watch({"acme": [f"{tmp_path}/home/*.jsonl"]}, clock=clock, sweep_seconds=5)

    assert names(await watch.sweep()) == ["a.jsonl", "b.jsonl"]


async def test_two_sources_may_want_the_same_file(clock: ManualClock, tmp_path: Path) -> None:
    """Each gets its own stream."""
    watch = Watch({"a": [f"{tmp_path}/*.jsonl"], "b": [f"{tmp_path}/x*"]}, clock=clock, sweep_seconds=5)
    (tmp_path / "x.jsonl").write_bytes(b"{}\n")

    assert sorted(file.source for file in await watch.sweep()) == ["a", "b"]


@pytest.fixture
async def polled(watching: Watching, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A steady file, whose folder is looked into by the clock; file events about it have ended."""
    monkeypatch.setattr(watch_module, "POLLED_FILES", 0)
    steady = tmp_path / "root" / "steady.jsonl"
    steady.write_bytes(b"{}")
    await watching.until_seen("steady.jsonl")
    watching.steady.add(steady)
    for _ in range(10):
        await clock.skip()
    return steady


async def test_a_folder_of_steady_files_is_looked_into_by_the_clock(
    watching: Watching, polled: Path, clock: ManualClock
) -> None:
    """Each of them within a few seconds, and what else is in the folder within one."""
    watching.seen.clear()
    polled.write_bytes(b"{ }")
    polled.with_name("other.jsonl").write_bytes(b"{}")

    await watching.until_polled(clock, "steady.jsonl", "other.jsonl")


async def test_a_steady_file_that_goes_is_told(watching: Watching, polled: Path, clock: ManualClock) -> None:
    """Whoever waits for its next change has to hear so."""
    watching.seen.clear()
    polled.unlink()

    await watching.until_polled(clock, "steady.jsonl")


async def test_a_folder_that_is_steady_no_more_gets_events_again(
    watching: Watching, polled: Path, clock: ManualClock, tmp_path: Path
) -> None:
    """The clock stands: only a file event can tell."""
    watching.steady.clear()
    for _ in range(10):
        await clock.skip()
    watching.seen.discard("probe.jsonl")

    await watching.until_watched(tmp_path / "root")
