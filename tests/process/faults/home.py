"""The agent's files under test, what was written to them, and what of it is owed.

Each line carries one fact, a word that occurs nowhere else. At the end a destination owes

* every fact in a complete line of a file that is there, and
* every fact whose line was destroyed after the forwarder had committed it to its journal (`secured`).

Facts whose line was destroyed before that may arrive or not (`destroyed`): nobody can read what is gone. Nothing else
may arrive, and nothing twice.
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import blake2b
from itertools import count
from pathlib import Path
from random import Random

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DAYS = ("19", "20", "21")
PACK: dict[str, Callable[[bytes], bytes]] = {".zst": zstd.compress}
UNPACK: dict[str, Callable[[bytes], bytes]] = {".zst": zstd.decompress, ".gz": gzip.decompress}


class Home:
    """Writes like an agent and destroys like a person. `journal` is the forwarder's, looked at before destroying."""

    def __init__(self, folder: Path, journal: Path) -> None:
        self.folder = folder
        self.secured: set[str] = set()
        self.destroyed: set[str] = set()
        self.written = 0  # facts
        self._journal = journal
        self._numbers = count(1)
        self._pending: dict[int, bytes] = {}  # by inode: what the agent still has to write of its last line
        for day in DAYS:
            self.day(day).mkdir(parents=True)

    def day(self, day: str) -> Path:
        return self.folder / "sessions" / "2026" / "11" / day

    # Paths and contents.

    def files(self, suffix: str = "") -> list[Path]:
        """Those that the forwarder may see, oldest name first; `suffix` selects."""
        found = [path for root in ("sessions", "archived_sessions") for path in _below(self.folder / root)]
        return sorted(path for path in found if path.name.endswith(suffix))

    def new_name(self, random: Random) -> Path:
        """A path that was never used."""
        folder = random.choice([*map(self.day, DAYS), self.folder / "archived_sessions"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"rollout-2026-11-21T01-12-22-{_uuid(next(self._numbers))}.jsonl"

    def header(self) -> bytes:
        """The first line of a new session; its id is a fact."""
        self.written += 1
        session = _uuid(next(self._numbers))
        return _line("session_meta", {"id": session, "timestamp": _time(0), "cwd": "/home/dev", "source": "cli"})

    def lines(self, random: Random, number: int) -> bytes:
        """So many lines, most of them short."""
        self.written += number
        return b"".join(_command(next(self._numbers), random) for _ in range(number))

    # What an agent does.

    def append(self, path: Path, content: bytes, random: Random) -> None:
        """Write what is pending and this, in pieces cut anywhere; the last piece may have to wait for the next call."""
        rest = self._pending.pop(os.stat(path).st_ino, b"") + content
        waits = random.randrange(len(rest) + 1) if random.random() < 0.4 else 0
        with path.open("ab", buffering=0) as file:
            inode = os.fstat(file.fileno()).st_ino
            while len(rest) > waits:
                size = min(random.randint(1, 4000), len(rest) - waits)
                file.write(rest[:size])
                rest = rest[size:]
        if rest:
            self._pending[inode] = rest

    def finish(self) -> None:
        """Complete every half-written line of the files that are still there."""
        for path in self.files(".jsonl"):
            if rest := self._pending.pop(os.stat(path).st_ino, b""):
                with path.open("ab") as file:
                    file.write(rest)

    def put_in_place(self, path: Path, content: bytes) -> None:
        """Replace the file at `path` in one step, as editors and careful programs do."""
        other = self.folder / "beside"
        other.write_bytes(content)
        self.let_go(path)
        other.replace(path)

    def copy(self, path: Path, to: Path) -> None:
        """The bytes that are there; a half-written line can be completed in the copy as well."""
        to.write_bytes(path.read_bytes())
        self._keep_pending(to, self._pending.get(os.stat(path).st_ino, b""))

    def pack(self, path: Path, *, suffix: str, in_pieces: bool) -> None:
        """Replace a plain file by its compressed form. What is pending stays pending."""
        pending = self._pending.pop(os.stat(path).st_ino, b"")
        packed = self._other_form(path.with_name(path.name + suffix), PACK[suffix](path.read_bytes()), in_pieces)
        path.unlink()
        self._keep_pending(packed, pending)

    def unpack(self, path: Path, *, in_pieces: bool) -> None:
        """The way back."""
        pending = self._pending.pop(os.stat(path).st_ino, b"")
        plain = self._other_form(path.with_suffix(""), UNPACK[path.suffix](path.read_bytes()), in_pieces)
        path.unlink()
        self._keep_pending(plain, pending)

    def put_aside(self, day: str) -> None:
        """Take a folder out of everybody's sight, unless one of its name is there already."""
        aside = self.folder / "aside"
        aside.mkdir(exist_ok=True)
        if self.day(day).exists() and not (aside / day).exists():
            self.day(day).rename(aside / day)

    def bring_back(self) -> None:
        """Put all folders back; into those that were made anew meanwhile, file by file."""
        for folder in sorted((self.folder / "aside").glob("*")):
            target = self.day(folder.name)
            if target.exists():
                for path in sorted(folder.iterdir()):
                    path.rename(target / path.name)
                folder.rmdir()
            else:
                folder.rename(target)

    def _other_form(self, path: Path, content: bytes, in_pieces: bool) -> Path:
        if in_pieces:
            with path.open("wb", buffering=0) as file:
                for start in range(0, len(content), 3000):
                    file.write(content[start : start + 3000])
        else:
            (self.folder / "beside").write_bytes(content)
            (self.folder / "beside").replace(path)
        return path

    def _keep_pending(self, path: Path, pending: bytes) -> None:
        if pending:
            self._pending[os.stat(path).st_ino] = pending

    # What is owed.

    def give_up(self, path: Path, *, behind: int = 0) -> None:
        """Call right before the bytes of `path` from `behind` on are destroyed."""
        content = contents(path)
        committed = self.committed(path, content)
        self.secured |= facts(content[behind:committed])
        self.destroyed |= facts(content[max(behind, committed) :])
        self._pending.pop(os.stat(path).st_ino, None)

    def let_go(self, path: Path) -> None:
        """Call right before the name `path` goes; its bytes go with their last name."""
        if os.stat(path).st_nlink == 1:
            self.give_up(path)

    def is_committed(self, path: Path) -> bool:
        """Everything whole in the file is in the journal."""
        content = contents(path)
        return self.committed(path, content) > content.rfind(b"\n")

    def committed(self, path: Path, content: bytes) -> int:
        """How many bytes of the file the journal has, proven by the bytes before its checkpoint."""
        stat = os.stat(path)
        query = "SELECT offset, tail_size, tail FROM streams WHERE path = ? OR (device = ? AND inode = ?)"
        found = 0
        for offset, size, tail in read_only(self._journal, query, (str(path), stat.st_dev, stat.st_ino)):
            if size and blake2b(content[offset - size : offset], digest_size=16).digest() == tail:
                found = max(found, offset)
        return found

    def owed(self) -> set[str]:
        """The facts that every destination must have."""
        return self.secured.union(*(facts(contents(path)) for path in self.files()))


def contents(path: Path) -> bytes:
    """The bytes of a file, decompressed."""
    content = path.read_bytes()
    return UNPACK[path.suffix](content) if path.suffix in UNPACK else content


def facts(content: bytes) -> set[str]:
    """The facts in the complete lines of `content`."""
    found: set[str] = set()
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        payload = json.loads(line)["payload"]
        found.add(payload["id"] if "id" in payload else payload["item"]["id"])
    return found


def read_only(journal: Path, query: str, values: tuple[object, ...] = ()) -> list[tuple[int, int, bytes]]:
    """Rows of the journal, without ever changing it: a look may not do what recovery after a kill has to do."""
    if not journal.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError:
        return []  # not made yet, or the disk is too full even to look


def _below(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names if name.startswith("rollout-"))


def _uuid(number: int) -> str:
    return f"0beec0de-70a0-77a3-bf05-{number:012x}"


def _time(number: int) -> str:
    return f"2026-11-{19 + number % 3}T01:12:22.418Z"


def _command(number: int, random: Random) -> bytes:
    """A command that a person typed; its text repeats the fact, so that no two stretches of a file are equal."""
    repeats = random.choice([1, 2, 3, 5, 8]) if random.random() < 0.97 else random.randint(50, 4000)
    text = " ".join([f"f{number} 東京🙂"] * repeats)
    item = {"type": "CommandExecution", "id": f"f{number}", "command": text, "source": "user_shell"}
    return _line("event_msg", {"type": "item_completed", "item": item}, number)


def _line(kind: str, payload: dict[str, object], number: int = 0) -> bytes:
    line = {"timestamp": _time(number), "type": kind, "payload": payload}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"
