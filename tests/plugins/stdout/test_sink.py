"""The sink `stdout` on pipes, files and terminals."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from forwarder_stdout import Stdout

from forwarder import Batch, SinkClosed, Unavailable
from forwarder.testing import Destination, check_sink


def batch(number: int = 1, *, events: int = 3, text: str = "hello") -> Batch:
    head = {"type": "prompt", "time": "2026-11-20T10:00:00.000Z", "agent": "codex", "text": text}
    return Batch(
        tuple(json.dumps({"id": f"{number:016x}{index:016x}"} | head).encode() for index in range(events)),
    )


def onto(descriptor: int, **options: Any) -> Stdout:
    """The sink with another descriptor in place of the process's standard output."""

    class Elsewhere(Stdout):
        fd = descriptor

    return Elsewhere(**options)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's reading and writing end; a test may close either."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        with suppress(OSError):
            os.close(fd)


async def test_it_keeps_the_promises_of_a_sink(tmp_path: Path) -> None:
    """The checks that every sink must pass, here with standard output sent to a file."""

    class File(Destination):
        async def events(self) -> list[dict[str, Any]]:
            return [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]

    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    await check_sink(lambda: onto(fd), File())
    os.close(fd)

    assert (tmp_path / "out").stat().st_size > 900_000


async def test_json_is_the_bytes_of_the_batch(pipe: tuple[int, int]) -> None:
    """Elsewhere than on a terminal the automatic form is JSON, as it was encoded."""
    sink = onto(pipe[1])
    async with sink.lifespan():
        await sink.send(batch())

    assert os.read(pipe[0], 1 << 16) == batch().jsonl()


async def test_a_slow_reader_blocks_neither_the_loop_nor_a_cancellation(pipe: tuple[int, int]) -> None:
    """A full pipe waits in a thread; the batch that was cancelled is neither torn nor repeated when it comes again."""
    big, after = batch(1, events=5_000), batch(2)
    sink = onto(pipe[1])
    async with sink.lifespan():
        sending = asyncio.create_task(sink.send(big))
        got = await asyncio.to_thread(os.read, pipe[0], 100)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

        again = asyncio.create_task(sink.send(big))
        while len(got) < len(big.jsonl()):
            got += await asyncio.to_thread(os.read, pipe[0], 1 << 16)
        await again
        await sink.send(after)
        got += os.read(pipe[0], 1 << 16)

    assert got == big.jsonl() + after.jsonl()


async def test_a_torn_line_is_finished_before_another_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up in the middle of a line, and a batch that does not come again."""
    real, room = os.write, [70]
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)

    def write(to: int, body: bytes) -> int:
        if to != fd or room[0] < 0:
            return real(to, body)
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= (written := real(to, body[: room[0]]))
        return written

    monkeypatch.setattr(os, "write", write)
    sink = onto(fd)
    async with sink.lifespan():
        with pytest.raises(Unavailable, match="No space left"):
            await sink.send(batch(1))
        room[0] = -1
        await sink.send(batch(2))
    os.close(fd)

    assert (tmp_path / "out").read_bytes() == batch(1).jsonl() + batch(2).jsonl()


async def test_a_descriptor_that_others_made_non_blocking_is_waited_for(pipe: tuple[int, int]) -> None:
    """The flag belongs to the pipe, not to the process: whoever shares it may have set it."""
    os.set_blocking(pipe[1], False)
    big, got = batch(events=5_000), bytearray()

    def read() -> None:
        while len(got) < len(big.jsonl()):
            got.extend(os.read(pipe[0], 1 << 16))

    reader = Thread(target=read)
    reader.start()
    sink = onto(pipe[1])
    async with sink.lifespan():
        await sink.send(big)
    reader.join()

    assert bytes(got) == big.jsonl()


async def test_a_closed_pipe_ends_it_quietly(pipe: tuple[int, int]) -> None:
    """`forwarder run | head` is no error."""
    os.close(pipe[0])
    sink = onto(pipe[1])
    async with sink.lifespan():
        with pytest.raises(SinkClosed):
            await sink.send(batch())


CHILD = """
import asyncio, sys
from forwarder import Batch
from forwarder_stdout import Stdout

async def main():
    sink = Stdout()
    async with sink.lifespan():
        try:
            async with asyncio.timeout(0.05):
                await sink.send(Batch((b"x" * 100,) * 10_000))
        except TimeoutError:
            print("late", file=sys.stderr, flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_stuck_reader_cannot_keep_the_process_alive() -> None:
    """At the drain deadline the process ends although its thread still waits for room in the pipe."""
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        status = child.wait(timeout=20)
        assert child.stderr
        said = child.stderr.read()

    assert (status, said) == (0, b"late\n")
