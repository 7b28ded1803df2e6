"""Spools are emptied when the journal holds them for good, and not before: real files, follower, committer, journal."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forwarder import Source
from forwarder.app import spools as spools_module
from forwarder.app.committing import Committer
from forwarder.app.intake import Intake
from forwarder.app.problems import Problems
from forwarder.app.spools import QUIET_SECONDS, ROTATE_BYTES, ROTATE_SECONDS, Spools
from forwarder.app.state_folder import held
from forwarder.journal import Journal, StoredLetter, connect_to_read, read_letters
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapper
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.tail.follow import File, Follower
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import skipped
from forwarder.testing import ManualClock
from tests.app.rooms import Counting

LINE = b'"%' + str(ROTATE_BYTES // 4).encode() + b'd"\n'  # five of them are more than a spool may hold


@dataclass(frozen=True)
class Hooks(Counting):
    """Spools in both forms, and files that only look like one. Events tell how many came before in their stream."""

    def is_spool(self, path: Path) -> bool:
        return re.fullmatch(r"hooks(\.\d{19})?\.jsonl|\d+\.json", path.name) is not None

    def is_whole(self, path: Path) -> bool:
        return path.suffix == ".json"


class Life:
    """One life of the pipeline over the journal, with a clock that a test moves."""

    def __init__(self, journal: Journal, index: StreamIndex, clock: ManualClock, folder: Path) -> None:
        self.journal, self.clock, self.folder = journal, clock, folder
        sources: dict[str, Source[Any]] = {"acme": Hooks()}
        self.follower = Follower(
            index,
            max_line_bytes=1 << 20,
            clock=clock,
            on_problem=Problems().add,
            is_whole=lambda file: sources[file.source].is_whole(file.path),
        )
        self.committer = Committer(journal, clock)
        self.spools = Spools(self.follower, journal, sources=sources, clock=clock)
        self.intake = Intake(
            self.follower,
            self.committer,
            journal,
            sources=sources,
            make_mapper=self._mapper,
            on_progress=lambda row, _: self.spools.see(row),
        )

    def _mapper(self, name: str, source: Source[Any], path: Path) -> Mapper:
        redactor = Redactor(Rules())
        encoder = Encoder(host="here", level=Level.NONE, redactor=redactor, prices=None)
        return Mapper(
            source, name=name, path=path, encoder=encoder, redactor=redactor, level=Level.NONE, now=self.clock.now
        )

    def report(self, path: Path) -> None:
        self.follower.report(File("acme", path), is_live=True)

    async def until(self, condition: Callable[[], bool], *, step: float = 0.5) -> None:
        """Let time pass in such steps until the condition holds; the folder is watched meanwhile."""
        async with asyncio.timeout(20):
            while not condition():
                for path in sorted(self.folder.glob("*.json*")):
                    if path.is_file():
                        self.report(path)
                await asyncio.sleep(0.002)
                self.clock.advance(step)

    async def read(self, count: int) -> None:
        """So many events are in the journal, and no time passes meanwhile."""
        await self.until(lambda: self.journal.last >= count and not self.committer.has_uncommitted, step=0)

    async def pass_time(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        await self.until(lambda: self.clock.monotonic() >= end, step=max(0.5, seconds / 100))
        await self.clock.asleep()

    async def texts(self) -> list[str]:
        """Each event as the number of those before it in its stream, and its own number."""
        blocks = await self.journal.events_after(0) if self.journal.last else []
        texts = [json.loads(line)["text"] for block in blocks for line in block.lines]
        return [f"{before}:{text.strip(' []')}" for before, _, text in (one.partition(":") for one in texts)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where hooks write."""
    (tmp_path / "spool").mkdir(mode=0o700)
    return tmp_path / "spool"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    with held(tmp_path / "state"):
        yield tmp_path / "state"


@asynccontextmanager
async def living(state: Path, clock: ManualClock, folder: Path) -> AsyncGenerator[Life]:
    """A life that is killed at the end of the block: nothing is finished."""
    journal = Journal(state, sinks=[], max_bytes=1 << 30, keep_seconds=1e9, remember_seconds=1e9, clock=clock)
    async with journal:
        life = Life(journal, StreamIndex(await journal.streams(), journal.new_stream_id), clock, folder)
        async with life.spools:
            tasks = [asyncio.create_task(one.run()) for one in (life.committer, life.intake, life.spools)]
            try:
                yield life
            finally:
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [one for one in results if isinstance(one, Exception)]
        assert not errors, errors


def append(path: Path, *numbers: int) -> None:
    with path.open("ab", buffering=0) as file:
        for number in numbers:
            file.write(LINE % number)


def names(folder: Path) -> list[str]:
    """What is in the folder; of a renamed spool only that it is one."""
    return sorted(re.sub(r"\.\d{19}\.", ".ns.", path.name) for path in folder.iterdir())


def size(path: Path) -> int:
    """In bytes; -1 while there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def letters(state: Path) -> list[StoredLetter]:
    connection = connect_to_read(state)
    try:
        return list(read_letters(connection))
    finally:
        connection.close()


@pytest.mark.slow
async def test_a_large_spool_is_renamed_drained_and_deleted(folder: Path, state: Path, clock: ManualClock) -> None:
    """Its writers go on in a fresh one."""
    spool = folder / "hooks.jsonl"
    async with living(state, clock, folder) as life:
        append(spool, 0, 1, 2, 3, 4)
        await life.until(lambda: len(names(folder)) == 2)
        assert names(folder) == ["hooks.jsonl", "hooks.ns.jsonl"]
        await life.until(lambda: len(names(folder)) == 1)
        await clock.asleep()

        assert names(folder) == ["hooks.jsonl"]
        assert spool.read_bytes() == b"\n"
        assert await life.texts() == [f"{n}:{n}" for n in range(5)]
        assert [row.path for row in await life.journal.streams()] == [str(spool)]


@pytest.mark.slow
async def test_the_fresh_spool_goes_on_in_the_state_of_the_one_before(
    folder: Path, state: Path, clock: ManualClock
) -> None:
    """A session does not end where a file does: to the source they are one stream."""
    spool = folder / "hooks.jsonl"
    async with living(state, clock, folder) as life:
        append(spool, 0, 1, 2, 3, 4)
        await life.until(lambda: "hooks.ns.jsonl" in names(folder))
        append(spool, 5)
        await life.until(lambda: life.journal.last == 6)
        await life.until(lambda: "hooks.ns.jsonl" not in names(folder))
        append(spool, 6)
        await life.until(lambda: life.journal.last == 7)

        assert await life.texts() == [f"{n}:{n}" for n in range(7)]


@pytest.mark.slow
async def test_an_old_spool_is_renamed_though_it_is_small(folder: Path, state: Path, clock: ManualClock) -> None:
    """What people typed lies in it as they typed it; an empty one stays."""
    spool = folder / "hooks.jsonl"
    async with living(state, clock, folder) as life:
        spool.write_bytes(b"0\n")
        await life.read(1)
        await life.pass_time(ROTATE_SECONDS - 60)
        assert (names(folder), spool.read_bytes()) == (["hooks.jsonl"], b"0\n")
        await life.until(lambda: names(folder) == ["hooks.jsonl"] and size(spool) == 1)
        inode = spool.stat().st_ino
        await life.pass_time(ROTATE_SECONDS * 1.5)

        assert names(folder) == ["hooks.jsonl"]
        assert spool.stat().st_ino == inode


@pytest.mark.slow
async def test_a_writer_that_was_at_work_is_waited_for(folder: Path, state: Path, clock: ManualClock) -> None:
    """It opened the file before it was renamed, and writes after that: the file stays for some time after each line."""
    spool = folder / "hooks.jsonl"
    async with living(state, clock, folder) as life:
        append(spool, 0, 1, 2, 3, 4)
        with spool.open("ab", buffering=0) as late:
            await life.until(lambda: "hooks.ns.jsonl" in names(folder))
            await life.pass_time(QUIET_SECONDS - 2)
            late.write(b"5\n")
            await life.pass_time(QUIET_SECONDS - 2)
            assert "hooks.ns.jsonl" in names(folder)
        await life.until(lambda: "hooks.ns.jsonl" not in names(folder))

        assert await life.texts() == [f"{n}:{n}" for n in range(6)]


@pytest.mark.slow
async def test_what_the_journal_has_not_got_is_not_deleted(
    folder: Path, state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk is full nothing is committed, and nothing goes; a spool with much unread is not even renamed."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    spool, single = folder / "hooks.jsonl", folder / "1.json"
    async with living(state, clock, folder) as life:
        with monkeypatch.context() as broken:
            broken.setattr("forwarder.journal.file.letters.bury", full)
            append(spool, 0, 1, 2, 3, 4)
            single.write_bytes(b"[5]")
            await life.pass_time(100)
            assert names(folder) == ["1.json", "hooks.jsonl"]
        await life.until(lambda: names(folder) == ["hooks.jsonl"] and size(spool) == 1)

        assert life.journal.last == 6


@pytest.mark.slow
async def test_a_disk_that_is_full_when_it_comes_to_deleting_keeps_the_files(
    folder: Path, state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commits that are not on the disk yet may be undone by a power cut."""

    async def full(_: Journal) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    single = folder / "1.json"
    async with living(state, clock, folder) as life:
        with monkeypatch.context() as broken:
            broken.setattr(Journal, "sync", full)
            append(folder / "hooks.jsonl", 0, 1, 2, 3, 4)
            single.write_bytes(b"[5]")
            await life.pass_time(200)
            assert names(folder) == ["1.json", "hooks.jsonl", "hooks.ns.jsonl"]
        await life.until(lambda: names(folder) == ["hooks.jsonl"])

    assert capsys.readouterr().out.count("database or disk is full") == 1


@pytest.mark.slow
async def test_a_line_that_was_never_ended_is_told(folder: Path, state: Path, clock: ManualClock) -> None:
    """Half of it is in the dead letters before the file is gone; one that lacks nothing but its end is an event."""
    spool = folder / "hooks.jsonl"
    async with living(state, clock, folder) as life:
        append(spool, 0, 1, 2, 3, 4)
        with spool.open("ab") as file:
            file.write(b'{"half":')
        await life.until(lambda: names(folder) == ["hooks.jsonl"] and size(spool) == 1)
        assert [one.letter.body for one in letters(state)] == [b'{"half":']
        append(spool, 5, 6, 7, 8)
        with spool.open("ab") as file:
            file.write(b"9")
        await life.until(lambda: len(names(folder)) == 2)
        await life.until(lambda: names(folder) == ["hooks.jsonl"])

        assert await life.texts() == [f"{n}:{n}" for n in range(10)]


@pytest.mark.slow
async def test_a_kill_between_rename_and_delete_costs_nothing(folder: Path, state: Path, clock: ManualClock) -> None:
    """The next life goes on: the fresh spool waits for the rest of the other, and its state."""
    spool = folder / "hooks.jsonl"
    async with living(state, clock, folder) as life:
        append(spool, 0, 1, 2)
        await life.read(3)
    append(spool, 3, 4)
    spool.rename(folder / "hooks.1767225600000000000.jsonl")
    append(spool, 5)
    async with living(state, clock, folder) as life:
        await life.until(lambda: names(folder) == ["hooks.jsonl"])
        append(spool, 6)
        await life.until(lambda: life.journal.last == 7)

        assert await life.texts() == [f"{n}:{n}" for n in range(7)]


async def test_a_kill_before_any_hook_ran_again_keeps_the_state(folder: Path, state: Path, clock: ManualClock) -> None:
    """Renamed, and there is no fresh spool yet."""
    spool = folder / "hooks.jsonl"
    async with living(state, clock, folder) as life:
        append(spool, 0, 1, 2)
        await life.read(3)
    spool.rename(folder / "hooks.1767225600000000000.jsonl")
    async with living(state, clock, folder) as life:
        await life.until(lambda: names(folder) == ["hooks.jsonl"])
        append(spool, 3)
        await life.until(lambda: life.journal.last == 4)

        assert await life.texts() == [f"{n}:{n}" for n in range(4)]


@pytest.mark.slow
async def test_a_kill_between_delete_and_forgetting_leaves_nothing_behind(
    folder: Path, state: Path, clock: ManualClock
) -> None:
    """The streams of files that are gone go too."""
    spool, single = folder / "hooks.jsonl", folder / "1.json"
    renamed = folder / "hooks.1767225600000000000.jsonl"
    async with living(state, clock, folder) as life:
        single.write_bytes(b"[5]")
        append(renamed, 0, 1)
        append(spool, 2)
        await life.read(4)
    single.unlink(missing_ok=True)
    renamed.unlink()
    async with living(state, clock, folder) as life:
        await life.pass_time(QUIET_SECONDS * 2)

        assert [Path(row.path).name for row in await life.journal.streams()] == ["hooks.jsonl"]


@pytest.mark.slow
async def test_files_of_one_event_are_deleted_in_portions(
    folder: Path, state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once it has been read; a half-written one, and one that is no spool, stay."""
    monkeypatch.setattr(spools_module, "PORTION", 7)
    for number in range(20):
        (folder / f"{number}.json").write_text(f"{number}")
        (folder / f"{number}.json").write_text(f"[{number}]")
    (folder / "20.json").write_bytes(b'{"half":')
    (folder / "other.json").write_bytes(b"[99]")
    async with living(state, clock, folder) as life:
        await life.until(lambda: len(names(folder)) == 2)
        await life.pass_time(QUIET_SECONDS * 3)

        assert names(folder) == ["20.json", "other.json"]
        assert life.journal.last == 21
        assert [Path(row.path).name for row in await life.journal.streams()] == ["other.json"]


async def test_a_file_of_one_event_that_cannot_be_mapped_is_told_before_it_goes(
    folder: Path, state: Path, clock: ManualClock
) -> None:
    """Its dead letter is in the same commit as its checkpoint."""
    (folder / "1.json").write_bytes(b"{broken}")
    async with living(state, clock, folder) as life:
        await life.until(lambda: names(folder) == [])

        assert [one.letter.body for one in letters(state)] == [b"{broken}"]


@pytest.mark.slow
async def test_a_symlink_is_neither_renamed_nor_deleted(folder: Path, state: Path, clock: ManualClock) -> None:
    """What it points to is somebody's, whatever the link is called."""
    for name, content in (("hooks.jsonl", LINE * 5 % (0, 1, 2, 3, 4)), ("1.json", b"[5]")):
        (folder.parent / name).write_bytes(content)
        (folder / name).symlink_to(folder.parent / name)
    async with living(state, clock, folder) as life:
        await life.read(6)
        await life.pass_time(200)

    assert names(folder) == ["1.json", "hooks.jsonl"]
    assert all((folder / name).is_symlink() and (folder.parent / name).exists() for name in names(folder))


@pytest.mark.slow
async def test_a_link_in_place_of_the_fresh_spool_is_not_written_to(
    folder: Path, state: Path, clock: ManualClock
) -> None:
    """The renamed one is drained all the same."""
    spool, target = folder / "hooks.jsonl", folder.parent / "target"
    async with living(state, clock, folder) as life:
        append(spool, 0, 1, 2)
        await life.read(3)
    spool.rename(folder / "hooks.1767225600000000000.jsonl")
    spool.symlink_to(target)
    async with living(state, clock, folder) as life:
        await life.until(lambda: names(folder) == ["hooks.jsonl"])

    assert not target.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.slow
async def test_a_folder_of_another_user_is_only_read(
    folder: Path, state: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once, with the reason."""
    os.chown(folder, 12345, -1)
    (folder / "1.json").write_bytes(b"[5]")
    async with living(state, clock, folder) as life:
        append(folder / "hooks.jsonl", 0, 1, 2, 3, 4)
        await life.pass_time(300)

        assert life.journal.last == 6
    assert names(folder) == ["1.json", "hooks.jsonl"]
    assert capsys.readouterr().out.count("belongs to another user") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.slow
async def test_a_folder_that_cannot_be_written_is_only_read(
    folder: Path, state: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once, with the reason."""
    append(folder / "hooks.jsonl", 0, 1, 2, 3, 4)
    folder.chmod(0o500)
    async with living(state, clock, folder) as life:
        await life.pass_time(300)
    folder.chmod(0o700)

    assert names(folder) == ["hooks.jsonl"]
    assert capsys.readouterr().out.count("the folder cannot be written") == 1


@pytest.mark.slow
async def test_only_one_of_two_forwarders_empties_a_spool(
    folder: Path, state: Path, tmp_path: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """With state folders of their own; the second takes over when the first has ended."""
    spool = folder / "hooks.jsonl"
    with held(tmp_path / "other"):
        async with living(tmp_path / "other", clock, folder) as second:
            async with living(state, clock, folder) as first:
                spool.write_bytes(b"0\n")
                await first.read(1)
                await first.pass_time(5)
                await second.read(1)
                append(spool, 1, 2, 3, 4, 5)
                await second.read(6)
                await first.until(lambda: first.journal.last == 6)
                await first.until(lambda: names(folder) == ["hooks.jsonl"] and size(spool) == 1)
            append(spool, 6, 7, 8, 9, 10)
            await second.until(lambda: len(names(folder)) == 2)
            await second.until(lambda: names(folder) == ["hooks.jsonl"])

            assert second.journal.last == 11
    assert "another forwarder empties it" in capsys.readouterr().out


async def test_what_was_not_wanted_at_the_first_start_is_not_deleted(
    folder: Path, state: Path, clock: ManualClock
) -> None:
    """`start = "none"` passes old files over: a user may still replay them."""
    spool = folder / "hooks.jsonl"
    append(spool, 0, 1, 2, 3, 4)
    async with living(state, clock, folder) as life:
        found = spool.stat()
        row = life.follower.index.new("acme", spool, found)
        life.follower.index.update(skipped(row))
        life.spools.see(row)
        end = clock.monotonic() + 100
        while clock.monotonic() < end:
            await clock.skip()

    assert names(folder) == ["hooks.jsonl"]
