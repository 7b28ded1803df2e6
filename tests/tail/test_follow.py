"""Which file is read next, and what it costs when one cannot be read."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from itertools import count
from pathlib import Path

import pytest
from backports import zstd

from forwarder.tail import follow, reader
from forwarder.tail.follow import File, Follower
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import Chunk
from forwarder.testing import ManualClock


class Following:
    """A follower, what it complained about, and the lines of its chunks by file name."""

    def __init__(self) -> None:
        self.problems: list[tuple[File, Exception]] = []
        self.has_problem = asyncio.Event()
        numbers = count(1)
        self.clock = ManualClock()
        self.index = StreamIndex([], lambda: next(numbers))
        self.follower = Follower(
            self.index,
            max_line_bytes=1 << 20,
            clock=self.clock,
            on_problem=self.complain,
            is_whole=lambda file: file.path.suffix == ".state",
        )

    def complain(self, file: File, error: Exception) -> None:
        self.problems.append((file, error))
        self.has_problem.set()

    def report(self, *paths: Path, is_live: bool = True) -> None:
        for path in paths:
            self.follower.report(File("acme", path), is_live=is_live)

    async def until_end(self) -> list[tuple[str, bytes]]:
        """File name and line of all records, once everything that was reported is read."""
        self.follower.end()
        async with aclosing(self.follower.chunks()) as chunks:
            return [one async for chunk in chunks for one in named(chunk)]


def named(chunk: Chunk) -> list[tuple[str, bytes]]:
    return [(Path(chunk.row.path).name, record.line) for record in chunk.records]


@pytest.fixture
def following() -> Following:
    return Following()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read takes 64 bytes, so that small files take several turns."""
    monkeypatch.setattr(reader, "CHUNK_BYTES", 64)


def numbered(letter: str, amount: int) -> bytes:
    return b"".join(b'{"%b":%06d}\n' % (letter.encode(), number) for number in range(amount))


async def next_of(chunks: AsyncGenerator[Chunk]) -> list[tuple[str, bytes]]:
    async with asyncio.timeout(10):
        return named(await anext(chunks))


async def test_everything_reported_is_read_to_its_end(following: Following, tmp_path: Path) -> None:
    """The last line counts although no newline ends it: nobody will write there any more."""
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_bytes(b'{"n":1}\n{"n":2}\n')
    other.write_bytes(b'{"n":3}\n{"n":4}')
    following.report(one, other, is_live=False)

    assert await following.until_end() == [
        ("one.jsonl", b'{"n":1}'),
        ("one.jsonl", b'{"n":2}'),
        ("other.jsonl", b'{"n":3}'),
        ("other.jsonl", b'{"n":4}'),
    ]


@pytest.mark.usefixtures("small_chunks")
async def test_a_live_line_does_not_wait_for_history(
    following: Following, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most the chunk under way and the one read ahead come before it."""
    monkeypatch.setattr(follow, "LIVE_BACKLOG_BYTES", 0)
    history, live = tmp_path / "history.jsonl", tmp_path / "live.jsonl"
    history.write_bytes(numbered("h", 1000))
    live.write_bytes(numbered("l", 1))
    following.report(history, is_live=False)
    names: list[str] = []
    async with aclosing(following.follower.chunks()) as chunks:
        names.append((await next_of(chunks))[0][0])
        following.report(live)
        while names[-1] != "live.jsonl":
            names.append((await next_of(chunks))[0][0])

    assert len(names) <= 3


@pytest.mark.usefixtures("small_chunks")
async def test_live_files_take_turns(following: Following, tmp_path: Path) -> None:
    """A busy session does not hold up its neighbours."""
    paths = [tmp_path / f"{letter}.jsonl" for letter in "abc"]
    for path in paths:
        path.write_bytes(numbered(path.stem, 40))
    following.report(*paths)
    async with aclosing(following.follower.chunks()) as chunks:
        names = [(await next_of(chunks))[0][0] for _ in range(6)]

    assert names == ["a.jsonl", "b.jsonl", "c.jsonl"] * 2


@pytest.mark.usefixtures("small_chunks")
async def test_files_reported_while_they_are_read_lose_and_repeat_nothing(following: Following, tmp_path: Path) -> None:
    """A report may come at any time: before, between and after the turns of a file that goes on growing."""
    path = tmp_path / "s.jsonl"
    found: list[bytes] = []
    async with aclosing(following.follower.chunks()) as chunks:
        for number in range(50):
            with path.open("ab") as file:
                file.write(numbered("n", 1 + number % 7))
            following.report(path, is_live=number % 3 > 0)
            if number % 2:
                found += [line for _, line in await next_of(chunks)]
        total = sum(1 + number % 7 for number in range(50))
        while len(found) < total:
            found += [line for _, line in await next_of(chunks)]

    assert b"\n".join(found) + b"\n" == path.read_bytes()
    assert following.follower.waiting <= 1


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux to count the bytes that were read")
async def test_what_was_read_is_not_read_again(following: Following, tmp_path: Path) -> None:
    """A large file that grows by a line costs a line, not the file."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(numbered("a", 50_000))
    following.report(path)
    async with aclosing(following.follower.chunks()) as chunks:
        lines = 0
        while lines < 50_000:
            lines += len(await next_of(chunks))
        before = bytes_read()
        with path.open("ab") as file:
            file.write(b'{"b":1}\n')
        following.report(path)
        last = await next_of(chunks)

    assert last == [("s.jsonl", b'{"b":1}')]
    assert bytes_read() - before < path.stat().st_size / 4


def bytes_read() -> int:
    """By this process, from anything."""
    return int(Path("/proc/self/io").read_text().split()[1])


async def test_a_line_waits_for_its_newline(following: Following, tmp_path: Path) -> None:
    """Half a line, cut inside a character, gives nothing until the rest is there."""
    path, text = tmp_path / "s.jsonl", '{"text":"é"}\n'.encode()
    path.write_bytes(text[:10])
    async with aclosing(following.follower.chunks()) as chunks:
        following.report(path)
        waiting = asyncio.ensure_future(anext(chunks))
        while following.follower.waiting:
            await asyncio.sleep(0)
        with path.open("ab") as file:
            file.write(text[10:])
        following.report(path)

        assert named(await waiting) == [("s.jsonl", text[:-1])]


async def test_a_file_that_went_is_no_problem(following: Following, tmp_path: Path) -> None:
    """Between the report and the read a session may be deleted."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"{}\n")
    following.report(path, tmp_path / "gone.jsonl")

    assert await following.until_end() == [("s.jsonl", b"{}")]
    assert following.problems == []


BROKEN = {
    "garbage.jsonl.gz": b"\x1f\x8b\x08\x00 garbage",
    "torn.jsonl.gz": gzip.compress(os.urandom(5000))[:3000],
    "garbage.jsonl.zst": b"\x28\xb5\x2f\xfd\xff\xff garbage",
    "torn.jsonl.zst": zstd.compress(os.urandom(5000))[:3000],
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_compressed_file_costs_only_itself(following: Following, tmp_path: Path, name: str) -> None:
    """It is named with the reason; the next file is read."""
    broken, whole = tmp_path / name, tmp_path / "whole.jsonl"
    broken.write_bytes(BROKEN[name])
    whole.write_bytes(b"{}\n")
    following.report(broken, whole)

    assert await following.until_end() == [("whole.jsonl", b"{}")]
    [(file, error)] = following.problems
    assert (file.path, type(error)) == (broken, OSError)
    assert f"{broken} is damaged or cut off" in str(error)


async def test_a_known_file_that_became_a_broken_compressed_one_costs_only_itself(
    following: Following, tmp_path: Path
) -> None:
    """Proving that it is the known content already fails; that too is the problem of this file alone."""
    plain, packed = tmp_path / "s.jsonl", tmp_path / "s.jsonl.gz"
    content = numbered("n", 100)
    plain.write_bytes(content)
    following.report(plain)
    async with aclosing(following.follower.chunks()) as chunks:
        await next_of(chunks)
        plain.unlink()
        packed.write_bytes(gzip.compress(content)[:-40])
        following.report(packed)
        waiting = asyncio.create_task(next_of(chunks))
        await following.has_problem.wait()
        waiting.cancel()
        await asyncio.wait([waiting])

    assert "damaged or cut off" in str(following.problems[0][1])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_an_unreadable_file_is_a_problem(following: Following, tmp_path: Path) -> None:
    """Said, and tried again when it is reported again."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"{}\n")
    path.chmod(0)
    following.report(path)

    assert await following.until_end() == []
    assert [type(error) for _, error in following.problems] == [PermissionError]


async def test_what_is_no_file_is_a_problem_and_does_not_hang(following: Following, tmp_path: Path) -> None:
    """Opening a named pipe would wait for a writer for ever."""
    pipe, folder = tmp_path / "pipe.jsonl", tmp_path / "folder.jsonl"
    os.mkfifo(pipe)
    folder.mkdir()
    following.report(pipe, folder)

    assert await following.until_end() == []
    assert [str(error) for _, error in following.problems] == [
        f"{pipe} is not a regular file",
        f"{folder} is not a regular file",
    ]


async def test_a_name_that_is_not_utf_8_is_a_problem_of_that_file(following: Following, tmp_path: Path) -> None:
    """The journal could not hold its checkpoint."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl"))
    path.write_bytes(b"{}\n")
    following.report(path)

    assert await following.until_end() == []
    assert [str(error) for _, error in following.problems] == ["its name is not UTF-8; rename it"]


@pytest.mark.usefixtures("small_chunks")
async def test_leaving_while_a_read_is_under_way_closes_every_file(following: Following, tmp_path: Path) -> None:
    """Only the reading thread knows a file that it has just opened; open files are warnings, warnings are errors."""
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_bytes(numbered(name, 50))
    following.report(*tmp_path.iterdir())
    chunks = following.follower.chunks()
    await next_of(chunks)
    await chunks.aclose()

    assert open_files(tmp_path) == 0


@pytest.mark.usefixtures("small_chunks")
async def test_a_cancelled_reader_closes_every_file(following: Following, tmp_path: Path) -> None:
    """The same when the task that reads is cancelled, at whatever point it stands."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(numbered("n", 1000))

    async def read_all() -> None:
        async with aclosing(following.follower.chunks()) as chunks:
            async for _ in chunks:
                read.set()

    for _ in range(20):
        read = asyncio.Event()
        following = Following()
        following.report(path)
        task = asyncio.create_task(read_all())
        await read.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert open_files(tmp_path) == 0


@pytest.mark.usefixtures("small_chunks")
async def test_many_live_files_are_not_all_open_at_once(following: Following, tmp_path: Path) -> None:
    """A sweep may find thousands that grew; a process may open about a thousand files."""
    for number in range(100):
        (tmp_path / f"{number}.jsonl").write_bytes(numbered("n", 20))
    following.report(*tmp_path.iterdir())
    most, lines = 0, 0
    async with aclosing(following.follower.chunks()) as chunks:
        while lines < 2000:
            lines += len(await next_of(chunks))
            most = max(most, open_files(tmp_path))

    assert most <= follow.MAX_OPEN + 2


def open_files(folder: Path) -> int:
    """How many files of the folder this process holds open; those of other tests do not count."""
    descriptors = Path("/proc/self/fd")
    held = 0
    for one in descriptors.iterdir() if descriptors.is_dir() else ():
        with suppress(OSError):  # the one that lists the folder is closed by now
            held += one.readlink().is_relative_to(folder)
    return held
