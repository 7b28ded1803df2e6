"""Bytes into whole records, however the bytes arrive."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forwarder import Record
from forwarder.tail import reader as reader_module
from forwarder.tail.reader import HEAD_KEPT, TAIL_BYTES, LineReader

LIMIT = 1 << 20

# Small pieces that meet at every boundary: characters of two to four bytes, both line ends, NUL, BOM, long runs.
PIECES = [b"a", b"{}", b"\n", b"\r\n", b"\n\n", b"\0", b"\0\0\0", "é€😀".encode(), b"\xef\xbb\xbf", b"\r", b"x" * 30]
CONTENT = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)


def read_all(content: bytes, *, max_line_bytes: int = LIMIT) -> list[Record]:
    """The records of a file that is all there, also its last line."""
    reader = LineReader(io.BytesIO(content), offset=0, max_line_bytes=max_line_bytes)
    records: list[Record] = []
    while not reader.is_at_end:
        records += reader.read()
    return records + reader.read_last()


def wanted(content: bytes) -> list[tuple[bytes, int]]:
    """What `bytes.split` says: the cleaned lines, and where each begins."""
    found: list[tuple[bytes, int]] = []
    offset = 0
    for line in content.split(b"\n"):
        text = line.lstrip(b"\0")
        start = offset + len(line) - len(text)
        if start == 0 and text.startswith(b"\xef\xbb\xbf"):
            text, start = text[3:], 3
        text = text.removesuffix(b"\r")
        if text:
            found.append((text, start))
        offset += len(line) + 1
    return found


@pytest.fixture
def chunks_of(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """For tests that set the size of a read."""
    return monkeypatch


@given(content=CONTENT, chunk=st.integers(1, 64))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_reads_of_any_size_give_the_lines_of_split(chunks_of: pytest.MonkeyPatch, content: bytes, chunk: int) -> None:
    """No boundary of a read, in a character, a line end or a run of NUL bytes, changes a record or its offset."""
    chunks_of.setattr(reader_module, "CHUNK_BYTES", chunk)

    assert [(record.line, record.offset) for record in read_all(content)] == wanted(content)


@given(content=CONTENT, chunk=st.integers(1, 64), limit=st.integers(1, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_long_lines_are_the_same_for_reads_of_any_size(
    chunks_of: pytest.MonkeyPatch, content: bytes, chunk: int, limit: int
) -> None:
    """Which lines are too long, what is kept of them and their keys do not depend on how they arrived."""
    chunks_of.setattr(reader_module, "CHUNK_BYTES", 1 << 16)
    at_once = read_all(content, max_line_bytes=limit)
    chunks_of.setattr(reader_module, "CHUNK_BYTES", chunk)

    assert read_all(content, max_line_bytes=limit) == at_once


@given(content=CONTENT, cuts=st.lists(st.integers(0, 200), max_size=6), limit=st.sampled_from([8, LIMIT]))
@settings(max_examples=100)
def test_a_growing_file_gives_what_the_grown_file_gives(content: bytes, cuts: list[int], limit: int) -> None:
    """A half-written line waits, in the same reader, until its newline arrives."""
    file = io.BytesIO()
    reader = LineReader(file, offset=0, max_line_bytes=limit)
    records: list[Record] = []
    for end in [*sorted(cuts), len(content)]:
        position = file.tell()
        file.seek(0)
        file.write(content[:end])
        file.seek(position)
        while found := reader.read():
            records += found

    assert records + reader.read_last() == read_all(content, max_line_bytes=limit)


@given(content=CONTENT, cuts=st.lists(st.integers(0, 200), max_size=6), limit=st.sampled_from([8, LIMIT]))
@settings(max_examples=100)
def test_another_reader_goes_on_where_one_stopped(content: bytes, cuts: list[int], limit: int) -> None:
    """Offset, tail and first line are all that a later reader needs; the tail is what stands before the offset."""
    records: list[Record] = []
    offset, tail, first_line = 0, b"", b""
    last: list[Record] = []
    for end in [*sorted(cuts), len(content)]:
        file = io.BytesIO(content[:end])
        reader = LineReader(file, offset=offset, tail=tail, first_line=first_line, max_line_bytes=limit)
        while not reader.is_at_end:
            records += reader.read()
        offset, tail, first_line = reader.offset, reader.tail, reader.first_line
        assert tail == content[:offset][-len(tail) or offset :]
        assert len(tail) == min(offset, TAIL_BYTES)
        last = reader.read_last()

    assert records + last == read_all(content, max_line_bytes=limit)


def test_an_offset_stands_behind_a_newline_only() -> None:
    """What was read of a half-written line is read again after a restart."""
    reader = LineReader(io.BytesIO(b'{"a":1}\n{"b"'), offset=0, max_line_bytes=LIMIT)

    assert [record.line for record in reader.read()] == [b'{"a":1}']
    assert (reader.read(), reader.offset, reader.has_rest) == ([], 8, True)


def test_the_last_line_needs_no_newline_at_the_end() -> None:
    """A file that nobody will write to again keeps nothing back."""
    assert [record.line for record in read_all(b'{"a":1}\n{"b":2}')] == [b'{"a":1}', b'{"b":2}']


def test_nothing_but_nul_bytes_at_the_end_is_no_line() -> None:
    """A power cut leaves NUL bytes where the tail of the file was."""
    reader = LineReader(io.BytesIO(b"{}\n" + bytes(500)), offset=0, max_line_bytes=LIMIT)
    lines = reader.read()

    assert ([record.line for record in lines], reader.read(), reader.has_rest) == ([b"{}"], [], False)


@pytest.mark.parametrize("chunk", [64, 1 << 18])
def test_a_line_over_the_limit_costs_only_itself(chunks_of: pytest.MonkeyPatch, chunk: int) -> None:
    """The lines before and after it arrive; of itself its head, its place and its size."""
    chunks_of.setattr(reader_module, "CHUNK_BYTES", chunk)
    long = b'{"type":"compacted",' + b"x" * 9000
    before, middle, after = read_all(b"{}\n" + long + b'\n{"after":1}\n', max_line_bytes=8000)

    assert (before.line, before.is_whole) == (b"{}", True)
    assert (middle.line, middle.offset, middle.size, middle.is_whole) == (long[:HEAD_KEPT], 3, len(long), False)
    assert (after.line, after.offset, after.is_whole) == (b'{"after":1}', 3 + len(long) + 1, True)


def test_a_line_of_just_the_limit_is_whole() -> None:
    """The limit is the longest line that is read, not the first that is not."""
    at, over = read_all(b"x" * 100 + b"\n" + b"x" * 101 + b"\n", max_line_bytes=100)

    assert (at.is_whole, over.is_whole) == (True, False)


def test_an_unfinished_line_over_the_limit_is_given_at_the_end() -> None:
    """At the end of a replay a torn, over-long line is reported, not lost in silence."""
    first, last = read_all(b"{}\n" + b"x" * 5000, max_line_bytes=1000)

    assert (first.line, last.size, last.is_whole) == (b"{}", 5000, False)


def test_a_copy_of_a_file_gives_the_same_keys() -> None:
    """Keys are made of content only: a replayed copy adds no new facts."""
    content = b'{"session":"s1"}\n{"n":1}\n{"n":1}\n'
    keys = [record.key for record in read_all(content)]

    assert keys == [record.key for record in read_all(bytes(bytearray(content)))]
    assert len(set(keys)) == 3


def test_files_with_other_first_lines_share_no_keys() -> None:
    """The same line at the same place of another session is another fact."""
    [_, one] = read_all(b'{"session":"s1"}\n{"n":1}\n')
    [_, other] = read_all(b'{"session":"s2"}\n{"n":1}\n')

    assert one.key != other.key


MEASURED = """
import resource, sys
from forwarder.tail.reader import LineReader
reader = LineReader(open(sys.argv[1], "rb", buffering=0), offset=0, max_line_bytes=1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
records = []
while not reader.is_at_end:
    records += reader.read()
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print([(len(r.line), r.offset, r.size) for r in records], used < 8 << 10)
"""


def measured(path: Path) -> str:
    """Lines, offsets and sizes of the records, and whether reading took less than 8 MiB of memory."""
    run = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.slow
def test_a_hundred_megabytes_of_nul_bytes_take_no_memory(tmp_path: Path) -> None:
    """A stale writer goes on at its old offset after a truncation: its line arrives, the hole is not held."""
    path = tmp_path / "sparse.jsonl"
    with path.open("wb") as file:
        file.write(b"{}\n")
        file.seek(100 << 20)
        file.write(b'{"late":1}\n')

    assert measured(path) == f"[(2, 0, 2), (10, {100 << 20}, 10)] True"


class Counted(io.FileIO):
    """A file that knows how often it was read."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(-1 if size is None else size)


@pytest.mark.parametrize("end", [b"", b'{"late":1}\n'])
def test_a_hole_of_ten_gigabytes_is_passed_over(tmp_path: Path, end: bytes) -> None:
    """Reading it would keep every other file waiting for as long as that takes."""
    path = tmp_path / "sparse.jsonl"
    with path.open("wb") as file:
        file.write(b"{}\n")
        file.truncate(10 << 30)
        file.seek(10 << 30)
        file.write(end)
    with Counted(path) as counted:
        reader = LineReader(counted, offset=0, max_line_bytes=1 << 20)
        records = [record for _ in range(3) for record in reader.read()]

    assert [record.line for record in records] == [b"{}", *end.splitlines()]
    assert counted.reads < 10


@pytest.mark.slow
def test_a_line_of_a_hundred_megabytes_is_not_held(tmp_path: Path) -> None:
    """Agents write whole histories with images as one line."""
    path, piece = tmp_path / "long.jsonl", b"x" * (1 << 20)
    with path.open("wb") as file:
        file.write(b"{}\n")
        for _ in range(100):
            file.write(piece)
        file.write(b"\n{}\n")

    assert measured(path) == f"[(2, 0, 2), (4096, 3, {100 << 20}), (2, {3 + (100 << 20) + 1}, 2)] True"
