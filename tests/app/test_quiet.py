"""Sources hear of files that vanished or stay as they are, from the real follower, committer and journal."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forwarder import Event, Expectation, Notification, Quiet, Record, Session, Source, Vanished
from forwarder.app.committing import Committer
from forwarder.app.intake import Intake
from forwarder.app.problems import Problems
from forwarder.app.quiet import QuietWatch, began, whole_files
from forwarder.app.state_folder import held
from forwarder.journal import Journal
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapper
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.tail.follow import File, Follower
from forwarder.tail.index import StreamIndex
from forwarder.testing import ManualClock


@dataclass
class Told:
    """What the source heard of a file so far."""

    pid: int = 0
    host: str | None = None
    heard: str = ""


@dataclass(frozen=True)
class Pulse(Source[Told]):
    """Files `NAME.pulse` hold `{"pid": .., "host": ..}`; a `pid` of 0 says that nothing is expected any more."""

    def patterns(self) -> list[str]:
        return ["/nowhere/*.pulse"]

    def new_state(self, path: Path) -> Told:
        return Told()

    def is_whole(self, path: Path) -> bool:
        return path.suffix == ".pulse"

    def map(self, record: Record, state: Told) -> Iterator[Event]:
        match record.notice:
            case Vanished():
                said = "gone"
            case Quiet(seconds=seconds, is_alive=is_alive):
                said = f"quiet {seconds:.0f} {is_alive}"
            case None:
                content = record.json()
                state.pid, state.host = content["pid"], content.get("host")
                said = "content"
        state.heard = f"{state.heard},{said}"
        yield Notification(
            key=(state.heard,), time=record.read_at, session=Session(agent="acme", id="s"), kind=said, message=""
        )

    def expects(self, state: Told) -> Expectation | None:
        return Expectation(quiet_seconds=10, pid=state.pid, host=state.host) if state.pid else None


class Living:
    """One life of the pipeline; `began` are the processes that live, with their start times."""

    def __init__(self, journal: Journal, index: StreamIndex, clock: ManualClock) -> None:
        self.journal, self.index, self.clock = journal, index, clock
        self.began: dict[int, float] = {}
        self.follower = Follower(
            index, max_line_bytes=1 << 20, clock=clock, on_problem=Problems().add, is_whole=lambda file: True
        )
        self.quiet = QuietWatch(self.follower, clock, host="here", process_began=self.began.get)
        self.committer = Committer(journal, clock)
        encoder = Encoder(host="here", level=Level.NONE, redactor=Redactor(Rules()), prices=None)
        self.intake = Intake(
            self.follower,
            self.committer,
            journal,
            sources={"pulse": Pulse()},
            make_mapper=lambda name, source, path: self._mapper(name, source, path, encoder),
            quiet=self.quiet,
        )

    def _mapper(self, name: str, source: Source[Any], path: Path, encoder: Encoder) -> Mapper:
        return Mapper(
            source,
            name=name,
            path=path,
            encoder=encoder,
            redactor=Redactor(Rules()),
            level=Level.NONE,
            now=self.clock.now,
        )

    def report(self, path: Path) -> None:
        self.follower.report(File("pulse", path), is_live=True)

    async def heard(self, count: int) -> list[str]:
        """What was told, once it is so much."""
        async with asyncio.timeout(10):
            while self.journal.last < count:
                await self.journal.grown(self.journal.last)
        blocks = await self.journal.events_after(0)
        return [line.partition(b'"kind":"')[2].partition(b'"')[0].decode() for one in blocks for line in one.lines]

    async def pass_time(self, seconds: float) -> None:
        """In the steps in which the quiet files are looked at; what is told meanwhile is taken in."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            await self.clock.skip()
            await self.settle()

    async def settle(self) -> None:
        """Let everything that was told be mapped."""
        await self.clock.asleep()
        async with asyncio.timeout(10):
            while self.follower.waiting or self.committer.has_uncommitted:
                await asyncio.sleep(0)
        await self.clock.asleep()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    with held(tmp_path / "state"):
        yield tmp_path / "state"


@asynccontextmanager
async def living(state: Path, clock: ManualClock) -> AsyncGenerator[Living]:
    journal = Journal(state, sinks=[], max_bytes=1 << 30, keep_seconds=1e9, remember_seconds=1e9, clock=clock)
    async with journal:
        life = Living(journal, StreamIndex(await journal.streams(), journal.new_stream_id), clock)
        tasks = [asyncio.create_task(one.run()) for one in (life.committer, life.intake, life.quiet)]
        try:
            yield life
            await life.committer.finish()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def pulse(folder: Path, content: str = '{"pid": 7}') -> Path:
    path = folder / "a.pulse"
    path.write_text(content)
    return path


async def test_a_file_that_stays_as_it_is_is_told_again_and_again(
    tmp_path: Path, state: Path, clock: ManualClock
) -> None:
    """With the time since its last change, and whether its process lives."""
    async with living(state, clock) as life:
        life.began[7] = 0
        life.report(pulse(tmp_path))
        await life.heard(1)
        await life.pass_time(10)
        del life.began[7]
        await life.pass_time(10)

        assert await life.heard(3) == ["content", "quiet 10 True", "quiet 20 False"]


async def test_a_change_begins_the_silence_anew(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """Who writes every second is never quiet."""
    async with living(state, clock) as life:
        life.report(pulse(tmp_path))
        await life.heard(1)
        await life.pass_time(9)
        life.report(pulse(tmp_path, '{"pid": 7, "host": "there"}'))
        await life.heard(2)
        await life.pass_time(9.5)
        await life.pass_time(0.5)

        assert await life.heard(3) == ["content", "content", "quiet 10 None"]


async def test_the_same_content_again_begins_the_silence_anew(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """It is no record, but its writer lived; when that one dies it is told all the same."""
    async with living(state, clock) as life:
        path = pulse(tmp_path)
        life.report(path)
        await life.heard(1)
        await life.pass_time(9)
        os.utime(path, (5, 5))
        life.report(path)
        async with asyncio.timeout(10):
            while [row.time for row in life.index.rows()] != [5]:
                await asyncio.sleep(0)
        await life.pass_time(11.5)

        assert await life.heard(2) == ["content", "quiet 10 False"]


async def test_a_vanished_file_is_told_once(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """Then how long it is gone already; and when it comes back it is a file like any other."""
    async with living(state, clock) as life:
        path = pulse(tmp_path)
        life.report(path)
        await life.heard(1)
        path.unlink()
        life.report(path)
        life.report(path)
        await life.heard(2)
        await life.pass_time(10)
        life.report(pulse(tmp_path, '{"pid": 7 }'))

        assert await life.heard(4) == ["content", "gone", "quiet 10 False", "content"]


async def test_a_file_whose_end_nobody_saw_is_found_missing(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """File events get lost: the silence is looked into before it is told."""
    async with living(state, clock) as life:
        path = pulse(tmp_path)
        life.report(path)
        await life.heard(1)
        path.unlink()
        await life.pass_time(10)

        assert await life.heard(2) == ["content", "gone"]


async def test_a_change_that_nobody_told_of_is_no_silence(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """Also after this process had been stopped: what happened comes before what did not."""
    async with living(state, clock) as life:
        life.report(pulse(tmp_path))
        await life.heard(1)
        pulse(tmp_path, '{"pid": 7, "more": 1}')
        await life.pass_time(10)

        assert await life.heard(2) == ["content", "content"]


async def test_nothing_is_told_where_nothing_is_expected(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """Most files that are one record are written once."""
    async with living(state, clock) as life:
        path = pulse(tmp_path, '{"pid": 0}')
        life.report(path)
        await life.heard(1)
        path.unlink()
        life.report(path)
        await life.pass_time(30)

        assert await life.heard(1) == ["content"]


@pytest.mark.parametrize("is_gone", [True, False])
async def test_a_restart_knows_what_is_expected(tmp_path: Path, state: Path, clock: ManualClock, is_gone: bool) -> None:
    """A file that vanished while nobody looked is told as gone, one that is still there as quiet."""
    path = pulse(tmp_path)
    async with living(state, clock) as life:
        life.report(path)
        await life.heard(1)
    if is_gone:
        path.unlink()
    async with living(state, clock) as life:
        for file in whole_files(life.index.rows(), {"pulse": Pulse()}):
            life.quiet.look_at(file)
        await life.heard(2)
        await life.pass_time(10)

        assert await life.heard(3) == ["content", "quiet 0 None", "gone" if is_gone else "quiet 10 False"]


async def test_a_process_that_only_got_the_number_is_another(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """It began after the file had been written: the writer is dead, and its number is used again."""
    async with living(state, clock) as life:
        path = pulse(tmp_path)
        life.began[7] = path.stat().st_mtime + 60
        life.report(path)
        await life.heard(1)
        await life.pass_time(10)

        assert await life.heard(2) == ["content", "quiet 10 False"]


async def test_nobody_knows_the_processes_of_another_machine(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """Homes are shared over networks; the same number here is somebody else."""
    async with living(state, clock) as life:
        life.began[7] = 0
        life.report(pulse(tmp_path, '{"pid": 7, "host": "there"}'))
        await life.heard(1)
        await life.pass_time(10)

        assert await life.heard(2) == ["content", "quiet 10 None"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began")
def test_the_machine_tells_when_a_process_began(tmp_path: Path) -> None:
    """A process that wrote a file began before the file was written, and later than this one."""
    script = f"import pathlib; pathlib.Path({str(tmp_path / 'f')!r}).touch(); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        while not (tmp_path / "f").exists():
            assert process.poll() is None
        start, own = began(process.pid), began(os.getpid())
        process.kill()

    assert start is not None
    assert own is not None
    assert own <= start <= (tmp_path / "f").stat().st_mtime + 1
    assert began(process.pid) is None
    assert began(1) is not None
