"""Spools are emptied: what was written for the forwarder alone is deleted once the journal holds it for good.

A file that grows is renamed when it is large or old; its writers open it for each record, so that all but those at
work go on in a fresh file. That one is held back until the renamed one has been read to its end, and then begins in the
state that the other ended in: to the source they are one stream, in order. Nobody writes to the renamed file for some
time, the journal's commits are brought to the disk, and only then is it deleted. Being killed in between costs nothing:
what is in the folder tells how far it went.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace

from forwarder.app.spool_folder import SpoolFolder
from forwarder.clock import Clock
from forwarder.journal import Changes, Journal, StreamRow
from forwarder.source import Source
from forwarder.tail.follow import File, Follower
from forwarder.tail.stream import begun

STEP_SECONDS = 1.0
BRISK_SECONDS = 0.05  # between two looks while live records wait in a fresh spool
ROTATE_BYTES = 512 << 10  # cheap, and half of the smallest limit at which a writer drops
ROTATE_SECONDS = 3600.0  # what lies in a spool is whole, secrets included: it should not lie there for days
UNREAD_BYTES = 64 << 10  # with more of it unread a spool stays, so that its writer's limit holds while reading waits
QUIET_SECONDS = 10.0  # twice what a writer may take that opened the file before it was renamed
PORTION = 500  # files of one record in one transaction
RETRY_SECONDS = 60.0  # before a folder is tried again that could not be emptied

_ROTATED = re.compile(r"(.+)\.\d{19}")  # the stem; nanoseconds since 1970 have 19 digits from 2001 to 2286
_FULL = {errno.ENOSPC, errno.EDQUOT}

_log = structlog.get_logger(__name__)


@dataclass
class _Rotated:
    """A renamed spool. `since` is when it last grew, by the monotonic clock; `is_followed`: the fresh one is read."""

    main: File
    is_followed: bool
    size: int = -1
    since: float = 0.0


class Spools:
    """Use as ``async with``, before anything is reported to the follower; `see` every checkpoint, `run` as a task."""

    def __init__(
        self, follower: Follower, journal: Journal, *, sources: Mapping[str, Source[Any]], clock: Clock
    ) -> None:
        self._follower = follower
        self._index = follower.index
        self._journal = journal
        self._sources = sources
        self._clock = clock
        self._growing: dict[File, float] = {}  # since when something may lie in it, by the monotonic clock
        self._rotated: dict[File, _Rotated] = {}
        self._single: dict[File, None] = {}  # of one record each
        self._single_due = 0.0
        self._folders: dict[Path, SpoolFolder] = {}
        self._complaints: dict[Path, tuple[str, float]] = {}  # why a folder is left alone, and when it is tried again

    def see(self, row: StreamRow) -> None:
        """A file has been read up to this checkpoint."""
        file = File(row.source, Path(row.path))
        source = self._sources.get(file.source)  # of a source that is configured no more nothing is emptied
        if source is None or not source.is_spool(file.path):
            return
        if source.is_whole(file.path):
            self._single[file] = None
        elif main := _main(file):
            self._rotated.setdefault(file, _Rotated(main, is_followed=True))
        else:
            self._growing.setdefault(file, self._clock.monotonic())

    async def __aenter__(self) -> Spools:
        """Go on with what an earlier life was killed in. A fresh spool waits if its state has still to be made."""
        for row in self._index.rows():
            self.see(row)
        mains = {*self._growing, *(one.main for one in self._rotated.values())}
        for main in sorted(mains):
            folder = await self._folder(main.path.parent)
            older = [
                one for one in await self._names(folder) if _main(File(main.source, main.path.parent / one)) == main
            ]
            if folder and older:
                found = await asyncio.to_thread(folder.stat, main.path.name)
                is_followed = found is not None and self._index.at(main.source, found) is not None
                for name in older:
                    self._rotated[File(main.source, main.path.parent / name)] = _Rotated(main, is_followed=True)
                if not is_followed:
                    self._rotated[File(main.source, main.path.parent / older[-1])].is_followed = False
                    await self._follower.hold(main)
        return self

    async def run(self) -> None:
        """Empty what can be emptied, for ever. Raises `JournalDamaged`."""
        while True:
            is_waited_for = any(not one.is_followed for one in self._rotated.values())
            await self._clock.sleep(BRISK_SECONDS if is_waited_for else STEP_SECONDS)
            for path in {file.path.parent for file in (*self._growing, *self._rotated, *self._single)}:
                if folder := await self._folder(path):
                    try:
                        await self._empty(folder)
                    except (OSError, sqlite3.OperationalError) as error:
                        self._complain(path, error)

    async def __aexit__(self, *_: object) -> None:
        """Leave the folders to another forwarder."""
        for folder in self._folders.values():
            folder.close()
        self._folders.clear()

    async def _folder(self, path: Path) -> SpoolFolder | None:
        """The folder if it may be emptied."""
        known = self._folders.get(path)
        if known and known.is_current:
            return None if self._is_left_alone(path) else known
        if known:
            self._folders.pop(path).close()
        if self._is_left_alone(path):
            return None
        try:
            self._folders[path] = await asyncio.to_thread(SpoolFolder, path)
        except FileNotFoundError:
            self._forget_folder(path)
            return None
        except OSError as error:
            self._complain(path, error)
            return None
        return self._folders[path]

    async def _names(self, folder: SpoolFolder | None) -> list[str]:
        return await asyncio.to_thread(folder.names) if folder else []

    def _is_left_alone(self, path: Path) -> bool:
        return path in self._complaints and self._clock.monotonic() < self._complaints[path][1]

    def _complain(self, path: Path, error: Exception) -> None:
        reason = str(error)
        if self._complaints.get(path, ("", 0.0))[0] != reason:
            _log.warning(
                f"the spools in {path} are read but not emptied: {reason}; it is tried again",
                limited="spools",
            )
        is_waited_for = any(not one.is_followed and file.path.parent == path for file, one in self._rotated.items())
        self._complaints[path] = reason, self._clock.monotonic() + (STEP_SECONDS if is_waited_for else RETRY_SECONDS)

    def _forget_folder(self, path: Path) -> None:
        for files in (self._growing, self._rotated, self._single):
            for file in [one for one in files if one.path.parent == path]:
                del files[file]

    async def _empty(self, folder: SpoolFolder) -> None:
        for file, since in list(self._growing.items()):
            if file.path.parent == folder.path:
                await self._look_at(folder, file, since)
        for file, one in list(self._rotated.items()):
            if file.path.parent == folder.path:
                await self._drain(folder, file, one)
        now = self._clock.monotonic()
        single = [file for file in self._single if file.path.parent == folder.path]
        if single and (now >= self._single_due or len(single) >= PORTION):
            self._single_due = now + QUIET_SECONDS
            for start in range(0, len(single), PORTION):
                await self._take_away(folder, single[start : start + PORTION])

    # Files that grow.

    async def _look_at(self, folder: SpoolFolder, file: File, since: float) -> None:
        """Rename the spool when it is due and has been read, as far as one can say of a file that grows."""
        now, found = self._clock.monotonic(), await asyncio.to_thread(folder.stat, file.path.name)
        if found is None or found.st_size <= 1:
            self._growing[file] = now  # nothing in it but the line that it was begun with
            return
        is_due = found.st_size >= ROTATE_BYTES or now - since >= ROTATE_SECONDS
        if not is_due or any(one.main == file for one in self._rotated.values()):
            return
        row = await self._committed(file, found)
        if row and row.offset and found.st_size - row.offset < UNREAD_BYTES and self._is_only_reader(folder, file):
            await self._rotate(folder, file)

    def _is_only_reader(self, folder: SpoolFolder, file: File) -> bool:
        """Whether no other configured source reads it too, which might be behind."""
        names = [name for name, source in self._sources.items() if source.is_spool(file.path)]
        if names != [file.source]:
            self._complain(folder.path, ValueError(f"the sources {' and '.join(names)} both read them"))
        return names == [file.source]

    async def _rotate(self, folder: SpoolFolder, main: File) -> None:
        nanoseconds = int(self._clock.now().timestamp() * 1000) * 1_000_000
        path = main.path.with_name(f"{main.path.stem}.{nanoseconds}{main.path.suffix}")
        rotated = File(main.source, path)
        await self._follower.hold(main)
        try:
            await asyncio.to_thread(folder.rename, main.path.name, path.name)
        except BaseException:
            self._follower.release(main)
            raise
        del self._growing[main]
        self._rotated[rotated] = _Rotated(main, is_followed=False)
        self._follower.report(rotated, is_live=True)

    async def _drain(self, folder: SpoolFolder, file: File, one: _Rotated) -> None:
        """Delete the renamed spool once it has been read and nobody can write to it any more."""
        found = await asyncio.to_thread(folder.stat, file.path.name)
        if found is None:
            await self._lost(folder, file, one)
            return
        now = self._clock.monotonic()
        if found.st_size != one.size:
            one.size, one.since = found.st_size, now
        row = await self._committed(file, found)
        if row and not one.is_followed and max(row.offset, row.skip_until) >= found.st_size:
            await self._follow(folder, one, await self._journal.stream_state(row.id))
        if now - one.since < QUIET_SECONDS or (row and row.skip_until > row.offset):
            return  # or nobody wanted it, at the first start: then it is not ours to delete
        if row and row.offset == found.st_size:
            await self._remove(folder, {file: (row, found)})
        else:
            # A line that a full disk cut short: with its end it is read like any other, or goes to the dead letters.
            await asyncio.to_thread(folder.end_line, file.path.name)
            self._follower.report(file, is_live=True)

    async def _lost(self, folder: SpoolFolder, file: File, one: _Rotated) -> None:
        """Somebody else has removed the renamed spool."""
        row = self._index.known(file.source, file.path)
        if not one.is_followed:
            await self._follow(folder, one, await self._journal.stream_state(row.id) if row else b"")
        await self._forget([file], [row] if row else [])

    async def _follow(self, folder: SpoolFolder, one: _Rotated, state: bytes) -> None:
        """Let the fresh spool be read, from that state on."""
        main = one.main
        try:
            found, head = await asyncio.to_thread(folder.begin, main.path.name)
        except OSError as error:
            if error.errno in _FULL:
                raise
            self._complain(folder.path, error)  # what stands in its place may not be read: that is the follower's part
        else:
            if self._index.at(main.source, found) is None:
                row = begun(self._index.new(main.source, main.path, found), head)
                await self._journal.commit(Changes(checkpoints={row.id: replace(row, state=state)}))
                self._index.update(row)
            self._growing[main] = self._clock.monotonic()
        one.is_followed = True
        self._follower.release(main)

    # Files of one record.

    async def _take_away(self, folder: SpoolFolder, files: Sequence[File]) -> None:
        """Delete those of the files that were read, together; nobody writes to them twice."""
        found = await asyncio.to_thread(lambda: {file: folder.stat(file.path.name) for file in files})
        rows = {file: row for file in files if (row := self._index.known(file.source, file.path))}
        committed = {row.id: row for row in await self._journal.checkpoints([row.id for row in rows.values()])}
        gone = [file for file, stat in found.items() if stat is None]
        await self._forget(gone, [rows[file] for file in gone if file in rows])
        read: dict[File, tuple[StreamRow, os.stat_result]] = {}
        for file, row in rows.items():
            stat, known = found[file], committed.get(row.id)
            if stat and known and _is_as_read(known, stat) and self._is_only_reader(folder, file):
                read[file] = row, stat
        if read:
            await self._remove(folder, read)

    # Both.

    async def _committed(self, file: File, found: os.stat_result) -> StreamRow | None:
        """The checkpoint of the file in the journal; what is only in memory may yet be lost."""
        row = self._index.at(file.source, found)
        rows = await self._journal.checkpoints([row.id]) if row else []
        return next((one for one in rows if (one.device, one.inode) == (found.st_dev, found.st_ino)), None)

    async def _remove(self, folder: SpoolFolder, files: Mapping[File, tuple[StreamRow, os.stat_result]]) -> None:
        """What the journal holds of the files is on the disk before they go."""
        await self._journal.sync()
        gone = await asyncio.to_thread(folder.remove, {file.path.name: stat for file, (_, stat) in files.items()})
        removed = [file for file in files if file.path.name in set(gone)]
        await self._forget(removed, [files[file][0] for file in removed])

    async def _forget(self, files: Collection[File], rows: Collection[StreamRow]) -> None:
        ids = [row.id for row in rows]
        if ids:
            await self._journal.forget_streams(ids)
            self._index.forget(ids)
        for file in files:
            self._rotated.pop(file, None)
            self._single.pop(file, None)


def _main(file: File) -> File | None:
    """What a renamed spool was called before; None for a file that was not renamed."""
    found = _ROTATED.fullmatch(file.path.stem)
    return File(file.source, file.path.with_name(found[1] + file.path.suffix)) if found else None


def _is_as_read(row: StreamRow, found: os.stat_result) -> bool:
    return (row.device, row.inode, row.offset, row.time) == (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime,
    )
