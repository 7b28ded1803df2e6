"""The sink `jsonl` as the engine uses it, and as a process that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from forwarder_jsonl import Jsonl

from forwarder import Batch, MissingExtra, Unavailable
from forwarder.testing import Destination, check_sink

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Folder(Destination):
    """An archive, and a way to make it unwritable: a folder where its file should be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for path in self.path.rglob("*.jsonl") for line in path.read_bytes().splitlines()]

    @asynccontextmanager
    async def unavailable(self) -> AsyncGenerator[None]:
        file = self.path / "check-sink.jsonl"
        file.rename(self.path / "aside")
        file.mkdir()
        yield
        file.rmdir()
        (self.path / "aside").rename(file)


def batch(number: int, *, events: int = 3) -> Batch:
    head = '"type":"prompt","time":"2026-11-20T10:00:00.000Z","agent":"codex"'
    return Batch(tuple(f'{{"id":"{number:016x}{index:016x}",{head}}}'.encode() for index in range(events)))


async def test_it_keeps_the_promises_of_a_sink(tmp_path: Path) -> None:
    """The checks that every sink must pass; repeats are held once."""
    await check_sink(lambda: Jsonl(path=f"{tmp_path}/{{agent}}.jsonl"), Folder(tmp_path), is_idempotent=True)

    assert (tmp_path / "check-sink.jsonl").stat().st_size > 900_000


async def test_a_cancelled_batch_is_not_doubled(tmp_path: Path) -> None:
    """Its thread still writes it; when the batch comes again it is there already."""
    sink = Jsonl(path=f"{tmp_path}/all.jsonl")
    async with sink.lifespan():
        for number in range(20):
            sending = asyncio.create_task(sink.send(batch(number, events=200)))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await sink.send(batch(number, events=200))

    wanted = b"".join(batch(number, events=200).jsonl() for number in range(20))
    assert (tmp_path / "all.jsonl").read_bytes() == wanted


async def test_trouble_with_the_disk_says_where_and_what_to_do(tmp_path: Path) -> None:
    """The batch comes again; the message names the file."""
    (tmp_path / "plain").write_text("")
    sink = Jsonl(path=f"{tmp_path}/plain/{{agent}}.jsonl")
    async with sink.lifespan():
        with pytest.raises(Unavailable, match=f"cannot write {tmp_path}/plain/codex.jsonl: Not a directory"):
            await sink.send(batch(1))


async def test_a_strangers_file_waits_for_a_person(tmp_path: Path) -> None:
    """To try again at the usual pace is pointless until the path is changed."""
    (tmp_path / "notes").write_text("mine")
    sink = Jsonl(path=f"{tmp_path}/notes")
    async with sink.lifespan():
        with pytest.raises(Unavailable, match="choose another path") as caught:
            await sink.send(batch(1))

    assert caught.value.is_refused


async def test_closed_segments_end_up_compressed(tmp_path: Path) -> None:
    """Rotation and compression together, with what an earlier run left plain."""
    left = tmp_path / "codex.20261120T100000.000000Z.jsonl"
    left.write_bytes(batch(0).jsonl())
    sink = Jsonl(path=f"{tmp_path}/{{agent}}.jsonl", rotate_bytes=1, compress="zstd")
    async with sink.lifespan():
        for number in (1, 2, 3):
            await sink.send(batch(number))
        while len(list(tmp_path.glob("*.jsonl"))) > 1 or list(tmp_path.glob(".*")):
            await asyncio.sleep(0)

    packed = b"".join(zstd.decompress(path.read_bytes()) for path in sorted(tmp_path.glob("*.zst")))
    assert packed == batch(0).jsonl() + batch(1).jsonl() + batch(2).jsonl()
    assert (tmp_path / "codex.jsonl").read_bytes() == batch(3).jsonl()


def test_a_missing_library_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first rotation, days later."""
    monkeypatch.setitem(sys.modules, "backports", None)
    monkeypatch.setitem(sys.modules, "compression", None)
    with pytest.raises(MissingExtra, match=r"agent-forwarder\[zstd\]"):
        Jsonl(compress="zstd")


CHILD = """
import asyncio, os, sys
from pathlib import Path
from forwarder import Batch
from forwarder_jsonl import Jsonl

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
cursor = folder / "cursor"

def batch(number):
    return Batch(tuple(
        b'{"id":"%016x%016x","type":"prompt","time":"2026-11-20T10:00:00.000Z","agent":"a%d"}'
        % (number, index, index % 3)
        for index in range(40)
    ))

async def main():
    sink = Jsonl(path=f"{folder}/archive/{{agent}}.jsonl", rotate_bytes=20_000, compress="zstd")
    async with sink.lifespan():
        print("ready", flush=True)
        for number in range(int(cursor.read_text() or 0) if cursor.exists() else 0, rounds):
            await sink.send(batch(number))
            (folder / "next").write_text(str(number + 1))
            os.replace(folder / "next", cursor)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_killed_process_leaves_each_event_once(tmp_path: Path) -> None:
    """SIGKILL at random moments while batches are written, rotated and compressed; then one run to the end."""
    rounds, chance = 400, random.Random(7)
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(rounds)]
    for _ in range(12):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            try:
                child.wait(timeout=chance.uniform(0, 0.05))
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    held: Counter[str] = Counter()
    for path in (tmp_path / "archive").iterdir():
        content = zstd.decompress(path.read_bytes()) if path.suffix == ".zst" else path.read_bytes()
        held.update(json.loads(line)["id"] for line in content.splitlines())
    assert held == Counter(f"{number:016x}{index:016x}" for number in range(rounds) for index in range(40))
