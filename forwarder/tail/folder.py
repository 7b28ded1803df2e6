"""What a sweep saw in one folder: which names came or went, and which files changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from forwarder.tail.compression import COMPRESSED_SUFFIXES

HOT_SECONDS = 3600.0  # a file touched within this time is looked at in every sweep
SETTLED_SECONDS = 2.0  # the coarsest clock of a file system in use (FAT)

_UNSEEN = (0, -1, 0)


class Folder:
    """Kept small: there may be thousands of files. `folders` and `files` are what is in it, `gone` what was."""

    __slots__ = ("files", "folders", "gone", "gone_files", "mtime", "newest")

    def __init__(self) -> None:
        self.mtime = -1
        self.newest = 0  # modification time of the youngest file: most folders hold only old ones
        self.folders: list[str] = []
        self.gone: set[str] = set()  # paths of folders that were there before the last look
        self.gone_files: set[str] = set()  # names of files that went since somebody took note, who empties it
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
        gone_files = self.files.keys() - names
        self.gone_files = (self.gone_files | gone_files) - names
        changed = {name + suffix for name in gone_files for suffix in COMPRESSED_SUFFIXES}
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
        names = [name for name, seen in self.files.items() if is_turn or now - seen[2] / 1e9 <= HOT_SECONDS]
        yield from self.changed_among(names, path)

    def changed_among(self, names: Iterable[str], path: str) -> Iterator[str]:
        """Paths of those of these files whose inode, size or time changed."""
        for name in names:
            full = f"{path}/{name}"
            try:
                stat = os.stat(full)
            except OSError:
                continue  # gone: the folder's time has changed too, so the next look forgets it
            after = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if after != self.files[name]:
                self.files[name] = after
                self.newest = max(self.newest, after[2])
                yield full
