"""The archive holds each event once, whatever interrupts it."""

from __future__ import annotations

import errno
import gzip
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from forwarder_jsonl.archive import Archive, Rotation
from forwarder_jsonl.closed import closed_name, compress_segment, recover
from forwarder_jsonl.segment import NotOurs
from forwarder_jsonl.template import PathTemplate

from forwarder import Batch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NEVER = Rotation(max_bytes=0, age_seconds=0, idle_too=False)


def batch(first: int, *, events: int = 6, agents: int = 2) -> Batch:
    return Batch(tuple(event(number, agents=agents) for number in range(first, first + events)))


def event(number: int, *, agents: int = 1) -> bytes:
    head = f'{{"id":"{number:032x}","type":"prompt","time":"2026-11-20T10:00:00.000Z","agent":"a{number % agents}"'
    return head.encode() + b',"text":"' + b"\xc3\xa9" * (number % 50) + b'"}'


def archive(folder: Path, *, rotation: Rotation = NEVER, on_closed: Callable[[str], object] = str) -> Archive:
    template = PathTemplate(f"{folder}/{{agent}}.jsonl")
    return Archive(template, rotation=rotation, fsync="batch", on_closed=on_closed)


def lines(folder: Path) -> list[bytes]:
    """Every line of the archive, compressed segments included; each must be whole."""
    found: list[bytes] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith(".tmp"):
            content = path.read_bytes()
            if path.suffix == ".zst":
                content = zstd.decompress(content)
            elif path.suffix == ".gz":
                content = gzip.decompress(content)
            assert content.endswith(b"\n") or not content
            found += content.splitlines()
    return found


def abandon(dead: Archive) -> None:
    """What the system does with a killed process: its files are closed, nothing else happens."""
    for segment in dead._open.values():  # pyright: ignore[reportPrivateUsage]
        if segment.fd >= 0:
            os.close(segment.fd)


def test_files_and_folders_are_the_owners_alone(tmp_path: Path) -> None:
    """Prompts are nobody else's business."""
    folder = tmp_path / "new" / "archive"
    archive(folder).write(batch(0))

    assert [oct(path.stat().st_mode & 0o777) for path in (folder.parent, folder)] == ["0o700", "0o700"]
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}


def test_a_batch_cut_at_any_byte_is_completed(tmp_path: Path) -> None:
    """After a crash the file may end anywhere in the last batch; when that comes again nothing is lost or doubled."""
    path = tmp_path / "a0.jsonl"
    old, last = batch(0, events=2, agents=1), batch(2, events=3, agents=1)
    for cut in range(len(last.jsonl()) + 1):
        path.write_bytes(old.jsonl() + last.jsonl()[:cut])
        again = archive(tmp_path)
        again.write(last)
        again.close()
        assert path.read_bytes() == old.jsonl() + last.jsonl()


def test_a_last_event_without_its_line_end_is_kept(tmp_path: Path) -> None:
    """Editors take the last line end away; the event before it was acknowledged long ago."""
    path = tmp_path / "a0.jsonl"
    path.write_bytes(batch(0, agents=1).jsonl()[:-1])
    archive(tmp_path).write(batch(6, agents=1))

    assert path.read_bytes() == batch(0, agents=1).jsonl() + batch(6, agents=1).jsonl()


def test_what_a_power_cut_left_is_cut_off(tmp_path: Path) -> None:
    """A file can be longer than what was written to it: NUL bytes up to its end."""
    path = tmp_path / "a0.jsonl"
    path.write_bytes(batch(0, agents=1).jsonl() + b"\0" * 5_000)
    archive(tmp_path).write(batch(6, agents=1))

    assert path.read_bytes() == batch(0, agents=1).jsonl() + batch(6, agents=1).jsonl()


def test_lines_longer_than_any_buffer_are_found_again(tmp_path: Path) -> None:
    """The search for a batch's events has no limit of its own."""
    big = Batch(tuple(event(number)[:-2] + b"x" * 700_000 + b'"}' for number in range(5)))
    archive(tmp_path).write(big)
    archive_after = archive(tmp_path / "other")
    abandoned = (tmp_path / "a0.jsonl").read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a0.jsonl").write_bytes(abandoned[:-10])
    archive_after.write(big)

    assert (tmp_path / "other" / "a0.jsonl").read_bytes() == abandoned


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the archive may see it as an error."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Die at the n-th call that changes a file: before it, after it or, when it writes, in the middle of it."""
    calls, deadline = count(), [1 << 30]

    def wrapped(real: Callable[..., Any], is_write: bool) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            turn = next(calls)
            if turn < deadline[0]:
                return real(*arguments, **options)
            if is_write:
                fd, body = arguments
                real(fd, body[: random.Random(turn).randrange(len(body) + 1)])
            elif turn % 2:
                real(*arguments, **options)
            raise Killed

        return call

    for name in ("write", "rename", "unlink", "fsync", "fdatasync", "ftruncate", "mkdir"):
        monkeypatch.setattr(os, name, wrapped(getattr(os, name), name == "write"))

    def arm(after: int) -> None:
        deadline[0] = next(calls) + 1 + after

    yield arm
    deadline[0] = 1 << 30


def deliver(folder: Path, batches: list[Batch], *, rotation: Rotation, delivered: list[Batch]) -> None:
    """One life of a forwarder: finish what the last one left, then go on at its cursor."""
    closed = recover(f"{folder}/*.jsonl", suffix=".jsonl")
    running = archive(folder, rotation=rotation, on_closed=closed.append)
    try:
        for one in batches[len(delivered) :]:
            running.write(one)
            delivered.append(one)
            while closed:
                compress_segment(closed.pop(), compress="zstd", is_stopping=lambda: False)
        running.close()
    finally:
        abandon(running)


@pytest.mark.slow
@pytest.mark.parametrize("max_bytes", [0, 900])
@pytest.mark.parametrize("agents", [1, 3])
def test_each_event_is_held_once_after_a_kill_at_every_step(
    tmp_path: Path, kill_at: Callable[[int], None], max_bytes: int, agents: int
) -> None:
    """Writing, syncing, rotating and compressing: die at each step, start again, get the batch in flight again."""
    batches = [batch(first, agents=agents) for first in range(0, 48, 6)]
    wanted = Counter(line for each in batches for line in each.lines)
    rotation = Rotation(max_bytes=max_bytes, age_seconds=0, idle_too=True)
    step = -1
    for step in count():
        folder, delivered = tmp_path / str(step), list[Batch]()
        try:
            kill_at(step)
            deliver(folder, batches, rotation=rotation, delivered=delivered)
            break
        except Killed:
            kill_at(1 << 29)
            deliver(folder, batches, rotation=rotation, delivered=delivered)
        assert Counter(lines(folder)) == wanted, f"killed at step {step}"

    assert step > 2 * len(batches)


def test_a_full_disk_takes_nothing_and_forgets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that still went in is taken back at once; when there is room the batch is written whole."""
    full = archive(tmp_path)
    full.write(batch(0))
    before = lines(tmp_path)
    real, room = os.write, [60]

    def write(fd: int, body: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= (written := real(fd, body[: room[0]]))
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space") as caught:
            full.write(batch(6))
        assert caught.value.filename == f"{tmp_path}/a0.jsonl"
        assert lines(tmp_path) == before
    full.write(batch(6))

    assert sorted(lines(tmp_path)) == sorted(batch(0, events=12).lines)


def test_a_batch_that_failed_halfway_is_not_doubled(tmp_path: Path) -> None:
    """One of its files could be written and the other not: the retry writes only the other."""
    (tmp_path / "a1.jsonl").mkdir()
    halfway = archive(tmp_path)
    with pytest.raises(OSError, match="directory"):
        halfway.write(batch(0))
    (tmp_path / "a1.jsonl").rmdir()
    halfway.write(batch(0))

    assert sorted(lines(tmp_path)) == sorted(batch(0).lines)


def test_a_failed_sync_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel forgets pages that it could not write: to sync a second time would succeed and save nothing."""
    failing = archive(tmp_path)
    failing.write(batch(0, agents=1))

    def fdatasync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fdatasync)
        with pytest.raises(OSError, match="Input/output"):
            failing.write(batch(6, agents=1))
    assert lines(tmp_path) == list(batch(0, agents=1).lines)
    failing.write(batch(6, agents=1))

    assert lines(tmp_path) == list(batch(0, events=12, agents=1).lines)


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    """A template by session names thousands of files; the least used are closed, and repeats are still known."""
    many = archive(tmp_path)
    wide = batch(0, events=600, agents=200)
    many.write(wide)
    many.write(batch(600, events=600, agents=200))
    again = archive(tmp_path)
    many.close()
    again.write(batch(600, events=600, agents=200))

    assert Counter(lines(tmp_path)) == Counter(batch(0, events=1200, agents=200).lines)


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """A person may move or delete an open file; what comes after goes under the old name."""
    moving = archive(tmp_path)
    moving.write(batch(0, agents=1))
    (tmp_path / "a0.jsonl").rename(tmp_path / "mine.jsonl")
    moving.write(batch(6, agents=1))

    assert (tmp_path / "a0.jsonl").read_bytes() == batch(6, agents=1).jsonl()


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    """A path that names a file of another kind is a mistake; nothing in it may be cut or added."""
    (tmp_path / "a0.jsonl").write_text("my notes, without a last line end")
    with pytest.raises(NotOurs, match="choose another path"):
        archive(tmp_path).write(batch(0, agents=1))

    assert (tmp_path / "a0.jsonl").read_text() == "my notes, without a last line end"


def test_two_forwarders_do_not_share_a_file(tmp_path: Path) -> None:
    """Their repairs would cut each other's lines."""
    first = archive(tmp_path)
    first.write(batch(0, agents=1))
    with pytest.raises(NotOurs, match="another process"):
        archive(tmp_path).write(batch(6, agents=1))
    first.close()
    archive(tmp_path).write(batch(6, agents=1))

    assert lines(tmp_path) == list(batch(0, events=12, agents=1).lines)


def test_a_segment_is_closed_before_it_grows_too_large(tmp_path: Path) -> None:
    """No segment exceeds the limit, unless one batch alone does."""
    closed: list[str] = []
    size = len(batch(24, agents=1).jsonl())
    small = archive(
        tmp_path, rotation=Rotation(max_bytes=2 * size, age_seconds=0, idle_too=False), on_closed=closed.append
    )
    for first in range(0, 30, 6):
        small.write(batch(first, agents=1))

    assert len(closed) >= 2
    assert all(path.stat().st_size <= 2 * size for path in tmp_path.iterdir())
    assert sorted(lines(tmp_path)) == sorted(batch(0, events=30, agents=1).lines)


def test_a_segment_is_closed_when_its_time_is_over(tmp_path: Path) -> None:
    """Judged by the file's own time, so that it also counts across restarts."""
    closed: list[str] = []
    hourly = Rotation(max_bytes=0, age_seconds=3600, idle_too=False)
    first = archive(tmp_path, rotation=hourly)
    first.write(batch(0, agents=1))
    first.close()
    os.utime(tmp_path / "a0.jsonl", (1_000_000, 1_000_000))
    later = archive(tmp_path, rotation=hourly, on_closed=closed.append)
    later.write(batch(6, agents=1))

    assert Path(closed[0]).read_bytes() == batch(0, agents=1).jsonl()
    assert (tmp_path / "a0.jsonl").read_bytes() == batch(6, agents=1).jsonl()


def test_the_batch_in_doubt_keeps_its_segment_open(tmp_path: Path) -> None:
    """Else its events would be looked for in a new, empty file, and written twice."""
    closed: list[str] = []
    hourly = Rotation(max_bytes=1, age_seconds=3600, idle_too=True)
    before = archive(tmp_path, rotation=hourly)
    before.write(batch(0, agents=1))
    before.close()
    os.utime(tmp_path / "a0.jsonl", (1_000_000, 1_000_000))
    after = archive(tmp_path, rotation=hourly, on_closed=closed.append)
    after.write(batch(0, agents=1))
    assert closed == []
    after.write(batch(6, agents=1))

    assert len(closed) == 1
    assert sorted(lines(tmp_path)) == sorted(batch(0, events=12, agents=1).lines)


def test_idle_segments_are_closed_too(tmp_path: Path) -> None:
    """Yesterday's file is compressed although nothing is written to it any more; strangers' files are not touched."""
    closed: list[str] = []
    (tmp_path / "notes.jsonl").write_text("mine")
    first = archive(tmp_path)
    first.write(batch(0, agents=2))
    first.close()
    for name in ("a0.jsonl", "a1.jsonl", "notes.jsonl"):
        os.utime(tmp_path / name, (1_000_000, 1_000_000))
    idle = Rotation(max_bytes=0, age_seconds=3600, idle_too=True)
    sweeping = archive(tmp_path, rotation=idle, on_closed=closed.append)
    for number in (100, 101):
        sweeping.write(Batch((event(number, agents=1).replace(b'"a0"', b'"a7"'),)))

    assert sorted(Path(path).name[:3] for path in closed) == ["a0.", "a1."]
    assert (tmp_path / "notes.jsonl").exists()


def test_a_closed_name_never_comes_twice(tmp_path: Path) -> None:
    """A clock that is set back may not overwrite an older segment."""
    now = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    first = closed_name(f"{tmp_path}/a.jsonl", now, suffix=".jsonl")
    Path(first + ".zst").touch()
    second = closed_name(f"{tmp_path}/a.jsonl", now, suffix=".jsonl")

    assert Path(first).name == "a.20261120T100000.000000Z.jsonl"
    assert Path(second).name == "a.20261120T100000.000001Z.jsonl"


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_a_closed_segment_is_compressed_and_private(tmp_path: Path, compress: Any) -> None:
    """The same bytes, for the owner alone, and nothing left beside them."""
    path = tmp_path / "a0.20261120T100000.000000Z.jsonl"
    path.write_bytes(batch(0).jsonl())
    compress_segment(str(path), compress=compress, is_stopping=lambda: False)

    (only,) = tmp_path.iterdir()
    assert oct(only.stat().st_mode & 0o777) == "0o600"
    assert lines(tmp_path) == list(batch(0).lines)


def test_compression_gives_way_to_the_end_of_the_program(tmp_path: Path) -> None:
    """A large segment may not delay the exit; it is done at the next start."""
    path = tmp_path / "a0.20261120T100000.000000Z.jsonl"
    path.write_bytes(batch(0).jsonl())
    compress_segment(str(path), compress="gzip", is_stopping=lambda: True)

    assert list(tmp_path.iterdir()) == [path]
    assert recover(f"{tmp_path}/*.jsonl", suffix=".jsonl") == [str(path)]
