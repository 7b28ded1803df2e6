"""Which files match the sources' patterns, and which of them grew, appeared or went.

File events say so within milliseconds, and get lost: queues overflow without a word, watches run out, network mounts
have none. A sweep therefore looks at the folders every few seconds. It compares folders by their modification time and
the files touched lately by size and time; of the others it looks at a share each time, so that thousands of finished
sessions cost nothing. Without events it looks at everything.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path

import structlog
from watchfiles import Change, awatch  # pyright: ignore[reportUnknownVariableType] - its signature names a type of trio

from forwarder.clock import Clock
from forwarder.tail.compression import COMPRESSED_SUFFIXES, plain_sibling
from forwarder.tail.folder import Folder
from forwarder.tail.follow import File
from forwarder.tail.links import leads_out
from forwarder.tail.patterns import compile_pattern

# watchfiles looks for events this often, also when there are none: every 10 ms takes 0.5 % of a core, every 50 ms
# 0.14 %. So it looks often while something happens, and seldom once nothing did for some time.
BUSY_STEP_MS = 10
QUIET_STEP_MS = 50
QUIET_AFTER_SECONDS = 20.0
GATHER_MS = 20  # for so long events are gathered while more keep coming
SHARES = 12  # of the other folders, one in so many
ROOTS_SECONDS = 2.0  # how long a folder that appears may wait for its watch
POLL_SECONDS = 1.0  # between looks into folders of steady files
POLL_TURNS = 5  # of the steady files, one in so many is looked at each time
POLLED_FILES = 32  # steady files in a folder; fewer take 0.5 % of a core when each event is answered
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
        """`steady` are files that change all the time and say nothing new.

        A folder of many of them gets no file events, which would cost more than everything else: it is looked into
        every second, at a fifth of the steady files each time.
        """
        self._patterns = [(source, compile_pattern(one)) for source, texts in patterns.items() for one in texts]
        self._clock = clock
        self._sweep_seconds = sweep_seconds
        self._folders: dict[str, Folder] = {}
        self._turn = 0
        self._sweeping = asyncio.Lock()
        self._is_busy = True
        self._steady = steady
        self._polled: set[str] = set()
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
            tasks.create_task(self._poll_for_ever(report))

    async def _sweep_for_ever(self, report: Callable[[File], bool]) -> None:
        while True:
            await self._clock.sleep(BLIND_SWEEP_SECONDS if self.fallback else self._sweep_seconds)
            for file in await self.sweep(is_full=self.fallback is not None):
                report(file)

    async def _watch_for_ever(self, report: Callable[[File], bool]) -> None:
        while True:
            roots, changed = self._watched(), asyncio.Event()
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
                    news = [report(file) for file in await asyncio.to_thread(self._told, changes)]
                    if any(news):
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

    async def _poll_for_ever(self, report: Callable[[File], bool]) -> None:
        turn = 0
        while True:
            await self._clock.sleep(POLL_SECONDS)
            steady = {str(path) for _, path in self._steady()}
            counts = Counter(path.rpartition("/")[0] for path in steady)
            many = {folder for folder, count in counts.items() if count > POLLED_FILES}
            self._polled = many & self._roots().keys() if many else many
            if self._polled:
                turn += 1
                async with self._sweeping:
                    files = await asyncio.to_thread(self._poll, steady, turn)
                for file in files:
                    report(file)

    def _poll(self, steady: set[str], turn: int) -> list[File]:
        found: list[File] = []
        for path in self._polled:
            folder = self._folders.setdefault(path, Folder())
            try:
                folder.look(path, now=self._clock.now().timestamp())
            except OSError:
                continue  # it went; the roots are looked at anyway
            is_turn = {name for name in folder.files if hash(name) % POLL_TURNS == turn % POLL_TURNS}
            names = [name for name in folder.files if name in is_turn or f"{path}/{name}" not in steady]
            gone, folder.gone_files = [f"{path}/{name}" for name in folder.gone_files], set()
            for changed in (*gone, *folder.changed_among(names, path)):
                found.extend(self._wanted(changed))
        return found

    async def _set_when_roots_change(self, roots: dict[str, int], changed: asyncio.Event) -> None:
        while not changed.is_set() and self._watched() == roots:
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

    def _watched(self) -> dict[str, int]:
        return {root: inode for root, inode in self._roots().items() if root not in self._polled}

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
        return sorted(files)

    def _there(self, paths: Iterable[str]) -> Iterator[File]:
        return (file for path in paths for file in self._wanted(path) if os.path.isfile(path))

    def _wanted(self, path: str) -> Iterator[File]:
        for source, pattern in self._patterns:
            if not pattern.matches(path) or _is_superseded(path):
                continue
            if leads_out(pattern.root, path):
                _log.warning(
                    f"{source}: {path} is a link out of {pattern.root}, not read", limited=f"links of {source}"
                )
            else:
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
            folder = self._folders.setdefault(path, Folder())
            try:
                names_changed = folder.look(path, now=now)
            except OSError:
                self._folders.pop(path)
                continue
            for gone in folder.gone:
                self._folders.pop(gone, None)
            folders += folder.folders
            is_turn = is_full or names_changed or hash(path) % SHARES == self._turn % SHARES
            if path not in self._polled:
                folder.gone_files.clear()
                yield from folder.changed_files(path, now=now, is_turn=is_turn)


def _is_superseded(path: str) -> bool:
    """A compressed file beside its plain form: the plain one is the one that grows."""
    plain = plain_sibling(Path(path))
    return plain is not None and plain.exists()
