"""The known streams, found by the inode or the name of a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock

from msgspec.structs import replace

from forwarder.journal import StreamRow
from forwarder.tail.compression import plain_name, plain_sibling
from forwarder.tail.stream import is_proof_needed


class StreamIndex:
    """The known streams of all sources, found by inode or by name. Reading threads may call `find` and `new`."""

    def __init__(self, rows: Iterable[StreamRow], new_id: Callable[[], int]) -> None:
        self._new_id = new_id
        self._numbering = Lock()
        self._by_id: dict[int, StreamRow] = {}
        # Keyed by hashes, and what is found is compared: the keys themselves took 7 of 11 MB over 15,000 files.
        self._by_inode: dict[int, int] = {}
        self._by_name: dict[int, tuple[int, ...]] = {}
        for row in rows:
            self.update(row)

    def update(self, row: StreamRow) -> None:
        """Take over a checkpoint (its state is not kept here)."""
        old = self._by_id.get(row.id)
        if old is not None:
            self._drop(old)
        name = hash((row.source, plain_name(Path(row.path))))
        self._by_id[row.id] = replace(row, state=b"") if row.state else row
        self._by_inode[hash((row.source, row.device, row.inode))] = row.id
        self._by_name[name] = (*self._by_name.get(name, ()), row.id)

    def saw(self, row: StreamRow) -> None:
        """How large the file of a known stream is, read or not. Reading threads may call this too."""
        if (known := self._by_id.get(row.id)) and known.offset == row.offset:
            self._by_id[row.id] = replace(known, seen=row.seen)

    def at(self, source: str, stat: os.stat_result) -> StreamRow | None:
        """The stream that was last seen under this device and inode."""
        return self._at(source, stat.st_dev, stat.st_ino)

    def by_path(self, source: str, path: Path, stat: os.stat_result) -> StreamRow:
        """The stream of a file that is known by its path, or a new one. Reading threads may call this too."""
        return self.known(source, path) or self.new(source, path, stat)

    def known(self, source: str, path: Path) -> StreamRow | None:
        """The stream that was last seen under exactly this path."""
        return next((row for row in self._named(source, path) if row.path == str(path)), None)

    def is_known(self, row: StreamRow) -> bool:
        """Whether there is a stream under the row's device and inode."""
        return self._at(row.source, row.device, row.inode) is not None

    def find(self, source: str, path: Path, stat: os.stat_result) -> Iterator[StreamRow]:
        """Streams that the file at `path` may be, best guess first; the last one is new. Their content decides."""
        known = self.at(source, stat)
        # Of an empty file nothing is known but the inode, which another file may have by now: its name knows better.
        is_proof = known is not None and is_proof_needed(known)
        if known is not None and is_proof:
            yield known
        for row in self._named(source, path):
            if row is not known and _may_have_become(row, path):
                yield row
        yield self.new(source, path, stat) if known is None or is_proof else known

    def new(self, source: str, path: Path, stat: os.stat_result) -> StreamRow:
        """A stream that nobody has read from yet."""
        with self._numbering:
            number = self._new_id()
        return StreamRow(id=number, source=source, path=str(path), device=stat.st_dev, inode=stat.st_ino)

    def rows(self) -> Iterable[StreamRow]:
        """All known streams."""
        return self._by_id.values()

    def forget(self, ids: Iterable[int]) -> None:
        """Drop streams whose files are gone for good."""
        for one in ids:
            if row := self._by_id.pop(one, None):
                self._drop(row)

    def _at(self, source: str, device: int, inode: int) -> StreamRow | None:
        row = self._by_id.get(self._by_inode.get(hash((source, device, inode)), -1))
        return row if row and (row.source, row.device, row.inode) == (source, device, inode) else None

    def _named(self, source: str, path: Path) -> list[StreamRow]:
        name = plain_name(path)
        rows = [self._by_id[one] for one in self._by_name.get(hash((source, name)), ())]
        return [row for row in rows if row.source == source and plain_name(Path(row.path)) == name]

    def _drop(self, row: StreamRow) -> None:
        inode, name = hash((row.source, row.device, row.inode)), hash((row.source, plain_name(Path(row.path))))
        if self._by_inode.get(inode) == row.id:
            del self._by_inode[inode]
        if left := tuple(one for one in self._by_name.pop(name, ()) if one != row.id):
            self._by_name[name] = left


def _may_have_become(row: StreamRow, path: Path) -> bool:
    """The file at `path`, of the same name, may hold the stream: it replaced the old file, or that one is gone."""
    known = Path(row.path)
    return known == path or plain_sibling(known) == path or not known.exists()
