"""Which file is which: nothing is read twice, nothing is taken for something else."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from forwarder.journal import StreamRow
from forwarder.tail.stream import HEAD_BYTES, begun, open_stream, skipped
from tests.tail.conftest import Tail

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd.compress}

Lines = Iterator[bytes]


def joined(lines: Lines, count: int) -> bytes:
    return b"".join(islice(lines, count))


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_a_file_is_read_on_from_its_offset(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """What was read is not read again, also after a restart."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(joined(lines, 3))
    tail.chunks(path)
    tail.restart()
    append(path, b'{"new":1}\n')

    assert tail.lines(path) == [b'{"new":1}']


def test_a_renamed_file_keeps_its_offset(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """Archiving a session moves its file; a checkpoint with the new path follows although nothing was written."""
    path, archived = tmp_path / "s.jsonl", tmp_path / "archived.jsonl"
    path.write_bytes(joined(lines, 3))
    [chunk] = tail.chunks(path)
    path.rename(archived)
    [moved] = tail.chunks(archived)

    assert (moved.records, moved.row.id, moved.row.offset) == ([], chunk.row.id, chunk.row.offset)
    assert (moved.row.path, tail.chunks(archived)) == (str(archived), [])


def test_a_renamed_file_with_an_unread_end_and_its_successor_are_both_read(
    tail: Tail, tmp_path: Path, lines: Lines
) -> None:
    """The new file at the old path is another stream, whichever of the two is read first."""
    path, rotated = tmp_path / "s.jsonl", tmp_path / "s.1.jsonl"
    path.write_bytes(joined(lines, 50))
    tail.chunks(path)
    append(path, b'{"unread":1}\n')
    path.rename(rotated)
    path.write_bytes(b'{"successor":1}\n')
    found = [*tail.lines(path), *tail.lines(rotated)]
    append(path, b'{"successor":2}\n')

    assert found == [b'{"successor":1}', b'{"unread":1}']
    assert [*tail.lines(path), *tail.lines(rotated)] == [b'{"successor":2}']


@pytest.mark.parametrize("head", [b"\n", b'{"n":0}\n', b'{"n":', b'{"n":"' + b"x" * HEAD_BYTES])
def test_a_file_that_was_begun_is_told_from_one_that_gets_its_inode(tail: Tail, tmp_path: Path, head: bytes) -> None:
    """What is known of it, such as a state, is not another's."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(head)
    row = begun(tail.index.new("acme", path, path.stat()), head[:HEAD_BYTES])
    tail.index.update(row)
    append(path, b'"}\n')
    [chunk] = tail.chunks(path)
    path.write_bytes(b'{"other":1}\n')
    [other] = tail.chunks(path)

    assert (chunk.row.id, chunk.is_restarted, len(chunk.records)) == (row.id, False, 2 if head == b'{"n":0}\n' else 1)
    assert other.is_restarted


def test_three_rotations_between_two_looks_lose_nothing(tail: Tail, tmp_path: Path) -> None:
    """Every generation arrives once, in whatever order the files are looked at."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"n":0}\n')
    found = tail.lines(path)
    for number in range(1, 4):
        for old in (2, 1, 0):
            name = tmp_path / (f"s.{old}.jsonl" if old else "s.jsonl")
            if name.exists():
                name.rename(tmp_path / f"s.{old + 1}.jsonl")
        path.write_bytes(b'{"n":%d}\n' % number)
    for _ in range(2):
        found += [line for file in sorted(tmp_path.iterdir(), reverse=True) for line in tail.lines(file)]

    assert sorted(found) == [b'{"n":0}', b'{"n":1}', b'{"n":2}', b'{"n":3}']


def test_a_truncated_file_begins_a_new_generation(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """Shorter than the offset: what is there now is new."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(joined(lines, 20))
    [before] = tail.chunks(path)
    path.write_bytes(b'{"after":1}\n')
    [after] = tail.chunks(path)

    assert (after.row.id, after.row.generation, after.is_restarted) == (before.row.id, 1, True)
    assert [record.line for record in after.records] == [b'{"after":1}']


def test_a_longer_content_in_place_of_the_old_is_read_from_its_beginning(
    tail: Tail, tmp_path: Path, lines: Lines
) -> None:
    """copytruncate while nobody looked: the size alone would say that the file has grown."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(joined(lines, 5))
    tail.chunks(path)
    content = joined(lines, 50)
    path.write_bytes(content)

    assert tail.lines(path) == content.splitlines()


def test_the_same_head_with_another_tail_is_another_content(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """Rewritten in place with the same first lines: the bytes before the offset tell."""
    path = tmp_path / "s.jsonl"
    head = b"".join(b'{"head":%d}\n' % number for number in range(HEAD_BYTES // 10))
    path.write_bytes(head + joined(lines, 30))
    tail.chunks(path)
    content = head + joined(lines, 100)
    path.write_bytes(content)

    assert tail.lines(path) == content.splitlines()


def test_a_file_rewritten_while_it_is_open_is_not_read_on(tail: Tail, tmp_path: Path) -> None:
    """No reader of the old generation goes on in the middle of the new one."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"old":1}\n' * 10)
    opened = open_stream(path, tail.index.find("acme", path, os.stat(path)), max_line_bytes=1 << 20)
    chunk = opened.read()
    assert chunk
    tail.index.update(chunk.row)
    path.write_bytes(b'{"new":1}\n' * 100)
    stale = opened.read()
    opened.close()

    assert (stale, opened.is_stale) == (None, True)
    assert tail.lines(path) == [b'{"new":1}'] * 100


@pytest.mark.parametrize("count", [2, 200])
def test_a_file_that_got_an_old_inode_is_read_from_its_beginning(
    tail: Tail, tmp_path: Path, lines: Lines, count: int
) -> None:
    """File systems hand out the inodes of deleted files again, for shorter files and for longer ones."""
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    path.write_bytes(joined(lines, 20))
    tail.chunks(path)
    content = joined(lines, count)
    path.write_bytes(content)  # keeps the inode, as a lucky delete and create would
    path.rename(other)

    assert tail.lines(other) == content.splitlines()


def test_two_files_with_the_same_head_are_both_read_to_their_ends(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """A forked session copies the first megabyte of its parent: content alone is never the key."""
    head = joined(lines, 200)
    parent, fork = tmp_path / "parent.jsonl", tmp_path / "fork.jsonl"
    parent.write_bytes(head + b'{"parent":1}\n')
    tail.chunks(parent)
    fork.write_bytes(head + b'{"fork":1}\n')

    assert len(tail.lines(fork)) == 201
    append(parent, b'{"parent":2}\n')
    assert tail.lines(parent) == [b'{"parent":2}']


def test_another_device_number_changes_nothing(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """After a reboot or a remount the devices are numbered anew."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(joined(lines, 20))
    [chunk] = tail.chunks(path)
    tail.index.update(_elsewhere(chunk.row))
    append(path, b'{"new":1}\n')

    assert tail.lines(path) == [b'{"new":1}']
    assert [row.id for row in tail.rows()] == [chunk.row.id]


def test_a_stale_inode_leads_to_nothing(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """A stream that was restored under another inode is no longer found by its old one."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(joined(lines, 20))
    stat = os.stat(path)
    [chunk] = tail.chunks(path)
    tail.index.update(_elsewhere(chunk.row))

    assert tail.index.at("acme", stat) is None


def test_a_hard_link_is_the_same_stream(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """Two names of one file give each line once."""
    path, link = tmp_path / "s.jsonl", tmp_path / "link.jsonl"
    path.write_bytes(joined(lines, 3))
    tail.chunks(path)
    link.hardlink_to(path)

    assert tail.lines(link) == []


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_file_that_was_compressed_is_not_read_again(tail: Tail, tmp_path: Path, lines: Lines, suffix: str) -> None:
    """The compressed form of a known file is the same stream, at the same offset, also where it holds more."""
    path, packed = tmp_path / "s.jsonl", tmp_path / f"s.jsonl{suffix}"
    content = joined(lines, 100)
    path.write_bytes(content)
    tail.chunks(path)
    path.unlink()
    packed.write_bytes(COMPRESSORS[suffix](content + b'{"unread":1}\n'))

    assert tail.lines(packed) == [b'{"unread":1}']
    assert [(row.id, row.path, row.time) for row in tail.rows()] == [(1, str(packed), packed.stat().st_mtime)]


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_compressed_file_that_was_resumed_goes_on(tail: Tail, tmp_path: Path, lines: Lines, suffix: str) -> None:
    """The plain file comes back with a new inode, while the compressed one is still there, and grows."""
    path, packed = tmp_path / "s.jsonl", tmp_path / f"s.jsonl{suffix}"
    content = joined(lines, 100)
    packed.write_bytes(COMPRESSORS[suffix](content))
    assert tail.lines(packed) == content.splitlines()
    path.write_bytes(content + b'{"resumed":1}\n')
    found = tail.lines(path)
    packed.unlink()
    append(path, b'{"resumed":2}\n')

    assert [*found, *tail.lines(path)] == [b'{"resumed":1}', b'{"resumed":2}']


def test_a_compressed_file_counts_as_read_only_at_its_end(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """Interrupted in the middle, it must not look finished: its size cannot tell."""
    packed = tmp_path / "s.jsonl.zst"
    packed.write_bytes(zstd.compress(joined(lines, 20_000)))
    chunks = tail.chunks(packed)

    assert {chunk.row.time for chunk in chunks[:-1]} == {0.0}
    assert (chunks[-1].records, chunks[-1].row.time) == ([], packed.stat().st_mtime)


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_plain_content_with_a_compressed_name_is_read_as_it_is(tail: Tail, tmp_path: Path, suffix: str) -> None:
    """The first bytes decide, not the name."""
    path = tmp_path / f"s.jsonl{suffix}"
    path.write_bytes(b'{"plain":1}\n')

    assert tail.lines(path) == [b'{"plain":1}']


def test_a_skipped_stream_knows_its_content_again(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """History that nobody asked for is marked up to its end."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(joined(lines, 20))
    row = skipped(tail.index.new("acme", path, os.stat(path)))
    tail.index.update(row)
    append(path, b'{"new":1}\n')
    [chunk] = tail.chunks(path)

    assert (chunk.row.id, chunk.is_restarted, chunk.records[-1].offset) == (row.id, False, row.skip_until)


def test_another_file_under_the_inode_of_a_skipped_one_is_wanted(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """Its first lines are new, however much of the deleted file was to be skipped."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(joined(lines, 20))
    tail.index.update(skipped(tail.index.new("acme", path, os.stat(path))))
    path.write_bytes(joined(lines, 40))
    [chunk] = tail.chunks(path)

    assert (chunk.row.skip_until, chunk.is_restarted, len(chunk.records)) == (0, True, 40)


def test_a_skipped_file_that_shrank_is_wanted(tail: Tail, tmp_path: Path) -> None:
    """The same head, but shorter than what was to be skipped."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"n":1}\n' * 1000)
    tail.index.update(skipped(tail.index.new("acme", path, os.stat(path))))
    path.write_bytes(b'{"n":1}\n' * 200)
    [chunk] = tail.chunks(path)

    assert (chunk.row.skip_until, chunk.is_restarted) == (0, True)


def test_a_forgotten_stream_is_found_no_more(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """Neither by name nor by inode."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(joined(lines, 3))
    [chunk] = tail.chunks(path)
    tail.index.forget([chunk.row.id])

    assert [row.id for row in tail.index.find("acme", path, os.stat(path))] == [2]


def test_a_file_that_cannot_be_opened_leaves_none_open(tail: Tail, tmp_path: Path, lines: Lines) -> None:
    """The second candidate fails after the first was opened: warnings about open files are errors here."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(joined(lines, 30))
    [chunk] = tail.chunks(path)
    path.write_bytes(joined(lines, 60))

    def candidates() -> Iterator[StreamRow]:
        yield chunk.row
        raise FileNotFoundError(path)

    with pytest.raises(FileNotFoundError):
        open_stream(path, candidates(), max_line_bytes=1 << 20)


def test_an_empty_files_inode_is_no_proof(tail: Tail, tmp_path: Path) -> None:
    """The empty file was deleted, and its inode now holds the compressed form of a file that was read."""
    empty, path, packed = tmp_path / "empty.jsonl.zst", tmp_path / "s.jsonl", tmp_path / "s.jsonl.zst"
    empty.write_bytes(zstd.compress(b""))
    tail.chunks(empty)
    path.write_bytes(b'{"n":1}\n{"half')
    tail.chunks(path)
    empty.write_bytes(zstd.compress(path.read_bytes()))
    path.unlink()
    empty.rename(packed)

    assert tail.lines(packed) == []


ACTIONS = st.sampled_from(
    ["append", "half", "read", "read", "rename", "compress", "resume", "truncate", "new", "restart"]
)


@pytest.mark.slow
@given(actions=st.lists(ACTIONS, max_size=25))
@settings(max_examples=150, deadline=None)
def test_whatever_happens_to_a_file_each_line_is_read_once(actions: list[str]) -> None:
    """Every line that was there when somebody looked arrives, and none of them twice."""
    with TemporaryDirectory() as folder:
        life = Life(Path(folder))
        for action in [*actions, "read"]:
            getattr(life, action)()

    assert Counter(life.found) == Counter(life.wanted)


class Life:
    """One session's file through what agents and people do to files. All lines are different."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "s.jsonl"
        self.path.touch()
        self.tail = Tail()
        self.numbers = count()
        self.unread: list[bytes] = []
        self.wanted: list[bytes] = []
        self.found: list[bytes] = []
        self.rest = b""

    def append(self) -> None:
        self.resume()
        lines = [b'{"n":%d}' % next(self.numbers) for _ in range(1 + next(self.numbers) % 40)]
        append(self.path, b"\n".join(lines) + b"\n")
        self.unread += [self.rest + lines[0], *lines[1:]]
        self.rest = b""

    def half(self) -> None:
        self.resume()
        append(self.path, piece := b'{"half":%d,' % next(self.numbers))
        self.rest += piece

    def read(self) -> None:
        self.found += self.tail.lines(self.path)
        self.wanted += self.unread
        self.unread = []

    def restart(self) -> None:
        self.tail.restart()

    def rename(self) -> None:
        folder = self.folder / str(next(self.numbers))
        folder.mkdir()
        self.path = self.path.rename(folder / self.path.name)

    def compress(self) -> None:
        if self.path.suffix == ".jsonl":
            packed = self.path.with_name(f"{self.path.name}.zst")
            packed.write_bytes(zstd.compress(self.path.read_bytes()))
            self.path.unlink()
            self.path = packed

    def resume(self) -> None:
        if self.path.suffix == ".zst":
            plain = self.path.with_suffix("")
            plain.write_bytes(zstd.decompress(self.path.read_bytes()))
            self.path.unlink()
            self.path = plain

    def truncate(self) -> None:
        self.resume()
        self.path.write_bytes(b"")
        self.unread, self.rest = [], b""
        self.append()

    def new(self) -> None:
        self.path.unlink()
        self.path = self.folder / f"s{next(self.numbers)}.jsonl"
        self.unread, self.rest = [], b""
        self.append()


def _elsewhere(row: StreamRow) -> StreamRow:
    return replace(row, device=row.device + 1, inode=7)
