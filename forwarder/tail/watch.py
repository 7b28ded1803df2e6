"""Which files match the sources' patterns, and which of them grew, appeared or went.

File events say so within milliseconds, and get lost: queues overflow without a word, watches run out, network mounts
have none. A sweep therefore looks at the folders every few seconds. It compares folders by their modification time and
the files touched lately by size and time; of the others it looks at a share each time, so that thousands of finished
sessions cost nothing. Without events it looks at everything.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path

import structlog
from watchfiles import Change, awatch  # pyright: ignore[reportUnknownVariableType] - its signature names a type of trio

from forwarder.clock import Clock
from forwarder.tail.compression import COMPRESSED_SUFFIXES, plain_sibling
from forwarder.tail.follow import File
from forwarder.tail.patterns import compile_pattern

# watchfiles looks for events this often, also when there are none: every 10 ms takes 0.5 % of a core, every 50 ms
# 0.14 %. So it looks often while something happens, and seldom once nothing did for some time.
BUSY_STEP_MS = 10
QUIET_STEP_MS = 50
QUIET_AFTER_SECONDS = 20.0
GATHER_MS = 20  # for so long events are gathered while more keep coming
HOT_SECONDS = 3600.0  # a file touched within this time is looked at in every sweep
SHARES = 12  # of the other folders, one in so many
SETTLED_SECONDS = 2.0  # the coarsest clock of a file system in use (FAT)
ROOTS_SECONDS = 2.0  # how long a folder that appears may wait for its watch
STEADY_STEP_SECONDS = 1.0  # between looks at the files whose events are passed over
UNWANTED_KEPT = 2_000  # names of files that match no pattern; a folder that takes such a name is found by a sweep
BLIND_SWEEP_SECONDS = 1.0  # between sweeps while there are no file events
RETRY_SECONDS = 60.0  # before file events are tried again

_log = structlog.get_logger(__name__)


class Watch:
    """The files of all sources, by their patterns."""

    def __init__(
        self,
        patterns: Mapping[str, Iterable[str]],
        *,
        clock: Clock,
        sweep_seconds: float,
        steady: Callable[[], Iterable[tuple[str, Path]]] = tuple,
    ) -> None:
        """`steady` are files that change all the time and say nothing new: events about them are passed over."""
        self._patterns = [(source, compile_pattern(one)) for source, texts in patterns.items() for one in texts]
        self._clock = clock
        self._sweep_seconds = sweep_seconds
        self._folders: dict[str, _Folder] = {}
        self._turn = 0
        self._sweeping = asyncio.Lock()
        self._is_busy = True
        self._steady = steady
        self._passed_over: set[str] = set()
        self._unwanted: set[str] = set()
        self._last_news = clock.monotonic()
        # Asked to pass over folders that nobody may look into, watchfiles keeps silent about missing watches as well.
        self._has_closed_folders = False
        self.fallback: str | None = None  # why there are no file events, if there are none

    async def sweep(self, *, is_full: bool = False) -> list[File]:
        """Files that are new or changed since the last sweep; a full one looks at every file. Runs in a thread."""
        async with self._sweeping:
            return await asyncio.to_thread(self._sweep, is_full)

    async def run(self, report: Callable[[File], bool]) -> None:
        """Report each file that changed, as events and sweeps tell of it, for ever.

        `report` returns whether the change may be news; while none is, events are asked for less often.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep_for_ever(report))
            tasks.create_task(self._watch_for_ever(report))
            tasks.create_task(self._look_at_steady(report))

    async def _sweep_for_ever(self, report: Callable[[File], bool]) -> None:
        while True:
            await self._clock.sleep(BLIND_SWEEP_SECONDS if self.fallback else self._sweep_seconds)
            for file in await self.sweep(is_full=self.fallback is not None):
                report(file)

    async def _watch_for_ever(self, report: Callable[[File], bool]) -> None:
        while True:
            roots, changed = self._roots(), asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._set_when_roots_change(roots, changed))
                await self._watch_roots(list(roots), changed, report)
                changed.set()
            # Between two watches, and before a folder had one, something may have grown unseen: look at everything.
            for file in await self.sweep(is_full=True):
                report(file)

    async def _watch_roots(self, roots: list[str], stop: asyncio.Event, report: Callable[[File], bool]) -> None:
        if not roots:
            await stop.wait()
            return
        events = awatch(
            *roots,
            step=BUSY_STEP_MS if self._is_busy else QUIET_STEP_MS,
            debounce=GATHER_MS,
            rust_timeout=int(QUIET_AFTER_SECONDS * 1000),
            yield_on_timeout=True,
            stop_event=stop,
            watch_filter=None,
            ignore_permission_denied=self._has_closed_folders,
        )
        try:
            async with aclosing(events):
                async for changes in events:
                    self.fallback = None
                    if await self._report(changes, report):
                        self._last_news = self._clock.monotonic()
                    is_busy = self._clock.monotonic() - self._last_news < QUIET_AFTER_SECONDS
                    if is_busy is not self._is_busy:
                        self._is_busy = is_busy
                        return  # to be called again with the other step
        except PermissionError:
            self._has_closed_folders = True  # called again, it passes over them
        except (OSError, RuntimeError) as error:
            fallback = f"no file events, looking every {BLIND_SWEEP_SECONDS:g} s instead: {error}"
            if fallback != self.fallback:
                _log.warning(fallback)
            self.fallback = fallback
            for file in await self.sweep(is_full=True):
                report(file)
            await self._clock.sleep(RETRY_SECONDS)

    async def _report(self, changes: Iterable[tuple[Change, str]], report: Callable[[File], bool]) -> bool:
        """Report what events told of; return whether any of it may be news."""
        passed_over, unwanted = self._passed_over, self._unwanted
        left = [one for one in changes if one[1] not in unwanted and not (one[1] in passed_over and one[0] != _DELETED)]
        if not left:
            return False
        news = [report(file) for file in await asyncio.to_thread(self._told, left)]
        return any(news)

    async def _look_at_steady(self, report: Callable[[File], bool]) -> None:
        while True:
            await self._clock.sleep(STEADY_STEP_SECONDS)
            steady = [File(source, path) for source, path in self._steady()]
            self._passed_over = {str(file.path) for file in steady}
            for file in steady:
                report(file)

    async def _set_when_roots_change(self, roots: dict[str, int], changed: asyncio.Event) -> None:
        while not changed.is_set() and self._roots() == roots:
            await self._clock.sleep(ROOTS_SECONDS)
        changed.set()

    def _roots(self) -> dict[str, int]:
        """The folders to watch that exist, with their inodes: one that went and came back has to be watched anew."""
        found: dict[str, int] = {}
        for _, pattern in self._patterns:
            try:
                found[pattern.root] = os.stat(pattern.root).st_ino
            except OSError:
                continue  # it may appear later
        return {root: inode for root, inode in found.items() if not any(root.startswith(f"{one}/") for one in found)}

    def _told(self, changes: Iterable[tuple[Change, str]]) -> list[File]:
        """The files that the events are about, also those that came before their new folder was watched.

        One that was deleted is among them: whoever waits for its next change hears so when it cannot be read.
        """
        files: set[File] = set()
        for change, path in changes:
            wanted = list(self._wanted(path))
            if wanted and (change is Change.deleted or os.path.isfile(path)):
                files.update(wanted)
            if change is Change.deleted:
                files.update(self._there(path + suffix for suffix in COMPRESSED_SUFFIXES))  # what stands in for it now
            elif change is Change.added and not wanted and os.path.isdir(path):
                files.update(self._there(f"{folder}/{name}" for folder, _, names in os.walk(path) for name in names))
            elif not wanted:
                self._pass_over(path)
        return sorted(files)

    def _pass_over(self, path: str) -> None:
        """Nobody wants this file; temporary names come again with each heartbeat."""
        if len(self._unwanted) >= UNWANTED_KEPT:
            self._unwanted = set()
        self._unwanted.add(path)

    def _there(self, paths: Iterable[str]) -> Iterator[File]:
        return (file for path in paths for file in self._wanted(path) if os.path.isfile(path))

    def _wanted(self, path: str) -> Iterator[File]:
        for source, pattern in self._patterns:
            if pattern.matches(path) and not _is_superseded(path):
                yield File(source, Path(path))

    def _sweep(self, is_full: bool) -> list[File]:
        self._turn += 1
        found: list[File] = []
        for root in self._roots():
            for path in self._changed_below(root, is_full):
                found.extend(self._wanted(path))
        return found

    def _changed_below(self, root: str, is_full: bool) -> Iterator[str]:
        now = self._clock.now().timestamp()
        folders = [root]
        while folders:
            path = folders.pop()
            folder = self._folders.setdefault(path, _Folder())
            try:
                names_changed = folder.look(path, now=now)
            except OSError:
                self._folders.pop(path)
                continue
            for gone in folder.gone:
                self._folders.pop(gone, None)
            folders += folder.folders
            is_turn = is_full or names_changed or hash(path) % SHARES == self._turn % SHARES
            yield from folder.changed_files(path, now=now, is_turn=is_turn)


_DELETED = Change.deleted
_UNSEEN = (0, -1, 0)


class _Folder:
    """What the last sweep saw in one folder. Kept small: there may be thousands of files."""

    __slots__ = ("files", "folders", "gone", "mtime", "newest")

    def __init__(self) -> None:
        self.mtime = -1
        self.newest = 0  # modification time of the youngest file: most folders hold only old ones
        self.folders: list[str] = []
        self.gone: set[str] = set()  # folders that were there before
        self.files: dict[str, tuple[int, int, int]] = {}  # name: inode, size, modification time in ns

    def look(self, path: str, *, now: float) -> bool:
        """Read the names again if the folder's own time changed; return whether it did."""
        mtime = os.stat(path).st_mtime_ns
        self.gone = set()
        if mtime == self.mtime:
            return False
        with os.scandir(path) as entries:
            found = list(entries)
        folders = [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
        names = {entry.name for entry in found if not entry.is_dir()}
        changed = {name + suffix for name in self.files.keys() - names for suffix in COMPRESSED_SUFFIXES}
        self.files = {name: _UNSEEN if name in changed else self.files.get(name, _UNSEEN) for name in names}
        self.gone.update(set(self.folders).difference(folders))
        self.folders = folders
        # Within a tick of the file system's clock another name may come without changing the time: look again.
        self.mtime = mtime if now - mtime / 1e9 > SETTLED_SECONDS else -1
        return True

    def changed_files(self, path: str, *, now: float, is_turn: bool) -> Iterator[str]:
        """Paths of files whose inode, size or time changed; without a turn only of those touched lately."""
        if not is_turn and now - self.newest / 1e9 > HOT_SECONDS:
            return
        for name, before in self.files.items():
            if not is_turn and now - before[2] / 1e9 > HOT_SECONDS:
                continue
            full = f"{path}/{name}"
            try:
                stat = os.stat(full)
            except OSError:
                continue  # gone: the folder's time has changed too, so the next sweep forgets it
            after = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if after != before:
                self.files[name] = after
                self.newest = max(self.newest, after[2])
                yield full


def _is_superseded(path: str) -> bool:
    """A compressed file beside its plain form: the plain one is the one that grows."""
    plain = plain_sibling(Path(path))
    return plain is not None and plain.exists()
