"""Files that say the same over and over: the first and the last of equal contents are handed out."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from hashlib import blake2b
from itertools import count
from pathlib import Path

import pytest

from forwarder.source import Quiet, Record, Vanished
from forwarder.tail import beats
from forwarder.tail.follow import File, Follower
from forwarder.tail.index import StreamIndex
from forwarder.testing import ManualClock


class Said:
    """A follower at work on a file that holds `{"n": .., "says": ..}`; `heard` is what was handed out."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "7.json"
        self.clock = ManualClock()
        self.file = File("acme", self.path)
        self.heard: list[str] = []
        self.problems: list[Exception] = []
        self._numbers = count(1)
        ids = count(1)
        self.follower = Follower(
            StreamIndex([], lambda: next(ids)),
            max_line_bytes=200,
            clock=self.clock,
            on_problem=lambda _, error: self.problems.append(error),
            is_whole=lambda _: True,
            gist=lambda _, record: gist(record),
        )

    async def listen(self) -> None:
        """Hear everything, for ever."""
        async with aclosing(self.follower.chunks()) as chunks:
            async for chunk in chunks:
                self.heard += [named(record) for record in chunk.records]

    async def say(self, *texts: str, path: Path | None = None) -> None:
        """Each text with the next number, written under another name and renamed; returns when it was read."""
        for text in texts:
            await self.put(json.dumps({"n": next(self._numbers), "says": text}).encode(), path=path)

    async def put(self, content: bytes, *, path: Path | None = None) -> None:
        file = File("acme", path or self.path)
        file.path.with_suffix(".tmp").write_bytes(content)
        file.path.with_suffix(".tmp").rename(file.path)
        self.follower.report(file, is_live=True)
        found, digest = os.stat(file.path), blake2b(content, digest_size=16).digest()
        await self.until(
            lambda: (
                self.follower.beats.has_read(file, found)
                or ((row := self.follower.index.known(*file)) is not None and row.head == digest)
            )
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.0005)

    async def until_heard(self, *names: str) -> None:
        """Returns when exactly this has been handed out."""
        await self.until(lambda: len(self.heard) >= len(names))
        assert self.heard == list(names)


@pytest.fixture
async def said(tmp_path: Path) -> AsyncGenerator[Said]:
    said = Said(tmp_path)
    task = asyncio.create_task(said.listen())
    yield said
    task.cancel()
    await asyncio.wait([task])


def gist(record: Record) -> object:
    return record.json()["says"]


def named(record: Record) -> str:
    match record.notice:
        case Vanished():
            return "vanished"
        case Quiet():
            return "quiet"
        case None:
            content = record.json()
            return f"{content['n']} {content.get('says', 'nothing')}"


async def test_of_equal_contents_the_first_and_the_last_are_handed_out(said: Said) -> None:
    """The last one comes as soon as another is said: whoever maps them knows when the file said something last."""
    await said.say("idle", "idle", "idle", "busy")

    await said.until_heard("1 idle", "3 idle", "4 busy")


async def test_each_content_that_differs_is_handed_out(said: Said) -> None:
    """Nothing is held back where there is nothing to hold back."""
    await said.say("idle", "busy", "idle")

    await said.until_heard("1 idle", "2 busy", "3 idle")


async def test_a_notice_comes_behind_the_last_content(said: Said) -> None:
    """That a file is quiet means: since what it said last."""
    await said.say("idle", "idle", "idle")
    said.follower.tell(said.file, Quiet(10))
    await said.until_heard("1 idle", "3 idle", "quiet")
    said.follower.tell(said.file, Quiet(20))

    await said.until_heard("1 idle", "3 idle", "quiet", "quiet")


async def test_the_first_content_behind_a_notice_is_handed_out(said: Said) -> None:
    """Who was quiet, and says the same as before, is back."""
    await said.say("idle", "idle")
    said.follower.tell(said.file, Quiet(10))
    await said.until_heard("1 idle", "2 idle", "quiet")
    await said.say("idle", "idle", "busy")

    await said.until_heard("1 idle", "2 idle", "quiet", "3 idle", "4 idle", "5 busy")


async def test_the_end_comes_behind_the_last_content(said: Said) -> None:
    """And a file that comes back begins anew."""
    await said.say("idle", "idle")
    said.path.unlink()
    said.follower.report(said.file, is_live=True)
    await said.until_heard("1 idle", "2 idle", "vanished")
    await said.say("idle")

    await said.until_heard("1 idle", "2 idle", "vanished", "3 idle")


async def test_a_content_without_a_gist_is_handed_out(said: Said) -> None:
    """`map` says what is wrong with it; the mistake costs this record."""
    await said.say("idle", "idle")
    await said.put(b'{"n": 3}')
    await said.say("idle")

    await said.until_heard("1 idle", "2 idle", "3 nothing", "3 idle")


async def test_a_half_written_content_waits(said: Said) -> None:
    """It is no news, and what was said before stays said."""
    await said.say("idle", "idle")
    said.path.write_bytes(b'{"n": 3, "says": "bu')
    said.follower.report(said.file, is_live=True)
    await said.say("idle", path=said.path.with_name("8.json"))
    await said.put(b'{"n": 4, "says": "busy"}')

    await said.until_heard("1 idle", "3 idle", "2 idle", "4 busy")


async def test_many_files_are_read_together(said: Said, tmp_path: Path) -> None:
    """Each is handed out; a thread's turn costs more than a file."""
    paths = [tmp_path / f"{number}.json" for number in range(200)]
    for path in paths:
        path.write_bytes(json.dumps({"n": int(path.stem), "says": "idle"}).encode())
        said.follower.report(File("acme", path), is_live=True)

    await said.until_heard(*[f"{number} idle" for number in range(200)])


async def test_a_steady_file_said_nothing_new_for_some_time(said: Said) -> None:
    """One that just spoke may speak again."""
    await said.say("idle")
    young = said.follower.beats.steady()
    said.clock.advance(beats.STEADY_SECONDS)
    old = said.follower.beats.steady()
    await said.say("busy")

    assert (young, old) == ([], [said.file])
    assert said.follower.beats.steady() == []


async def test_a_beat_tells_when_it_was_read(said: Said) -> None:
    """Its file is not quiet."""
    await said.say("idle")
    said.clock.advance(5)
    await said.say("idle")

    assert said.follower.beats.last(said.file) == 5
    assert said.follower.beats.last(File("acme", said.path.with_name("8.json"))) == float("-inf")
