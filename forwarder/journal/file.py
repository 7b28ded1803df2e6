"""The SQL of the journal: blocking calls, each one transaction, all made on the journal's writer thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from forwarder.journal import letters, noted, sessions
from forwarder.journal.rows import Block, Changes, Cursor, DeadLetter, Noted, StoredLetter, StreamRow
from forwarder.journal.schema import FILE_NAME, connect, translated
from forwarder.journal.seen import Seen
from forwarder.journal.sessions import SessionRow

_STREAM = StreamRow.__struct_fields__
_POSITION = tuple(name for name in _STREAM if name != "state")
_SAVE_STREAM = f"INSERT OR REPLACE INTO streams ({', '.join(_STREAM)}) VALUES ({', '.join('?' * len(_STREAM))})"
_SAVE_CURSOR = "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)"
_READ = """SELECT first, bytes, body FROM batches
           WHERE first >= coalesce((SELECT max(first) FROM batches WHERE first <= ?1), 0) ORDER BY first"""
# A row a second at most, so that a busy sink costs little; the acks of events that are gone go with them.
_ACKED = """INSERT OR REPLACE INTO acks SELECT ?1, ?3, ?2
            WHERE ?2 > coalesce((SELECT acked FROM cursors WHERE sink = ?1), 0)"""


class JournalFile:
    """The open file; `last` is the sequence number of its newest event.

    Raises `JournalDamaged` when it is broken, `sqlite3.OperationalError` when the disk is full.
    """

    def __init__(
        self, folder: Path, name_of: Callable[[str], str] = str, has_secret: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`name_of` makes a file's path such as it may be kept; a note that `has_secret` is not."""
        self._name_of = name_of
        self._has_secret = has_secret
        self._path = folder / FILE_NAME
        self._connection = connect(folder)
        try:
            with translated(self._path):
                self._seen = Seen(self._connection)
            self.last = int(self.notes().get("last", 0))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        self._connection.close()

    def sizes(self) -> list[tuple[int, int, int]]:
        """First sequence number, count and bytes of each batch, oldest first."""
        with translated(self._path):
            return self._connection.execute("SELECT first, count, bytes FROM batches ORDER BY first").fetchall()

    def streams(self) -> list[StreamRow]:
        """All checkpoints, without their states: there may be thousands, and few are read on."""
        with translated(self._path):
            rows = self._connection.execute(f"SELECT {', '.join(_POSITION)} FROM streams").fetchall()
        return [StreamRow(**dict(zip(_POSITION, row, strict=True))) for row in rows]

    def checkpoints(self, ids: Iterable[int]) -> list[StreamRow]:
        """The checkpoints of these streams as they are committed, without their states."""
        query = f"SELECT {', '.join(_POSITION)} FROM streams WHERE id = ?"
        with translated(self._path):
            rows = [row for one in ids for row in self._connection.execute(query, (one,))]
        return [StreamRow(**dict(zip(_POSITION, row, strict=True))) for row in rows]

    def stream_state(self, stream: int) -> bytes:
        """The mapper's state at the stream's checkpoint; empty if there is none."""
        with translated(self._path):
            row = self._connection.execute("SELECT state FROM streams WHERE id = ?", (stream,)).fetchone()
        return row[0] if row else b""

    def cursors(self) -> dict[str, Cursor]:
        """The place of every sink that ever delivered from this journal."""
        with translated(self._path):
            rows = self._connection.execute("SELECT sink, acked, in_flight FROM cursors").fetchall()
        return {sink: Cursor(acked, in_flight) for sink, acked, in_flight in rows}

    def notes(self) -> dict[str, bytes]:
        """Small facts that the engine keeps by name."""
        with translated(self._path):
            return dict(self._connection.execute("SELECT name, value FROM notes").fetchall())

    def add(self, changes: Changes, *, now: float) -> Block:
        """One transaction: facts, new events, checkpoints, sessions, dead letters. Returns the events that were new."""
        first = self.last + 1
        with self._transaction(is_synced=changes.is_sole_copy) as connection:
            is_new = self._seen.add(changes.facts, first)
            lines = tuple(filter(None, changes.lines))
            if is_new is not None:
                lines = tuple(line for line, new in zip(changes.lines, is_new, strict=True) if line and new)
            if lines:
                body = b"\n".join(lines)
                row = (first, len(lines), len(body) + 1, now, body)
                connection.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?)", row)
                connection.execute(
                    "INSERT OR REPLACE INTO notes VALUES ('last', ?)", (b"%d" % (first + len(lines) - 1),)
                )
            if changes.checkpoints:
                rows = [self._row(one) for one in changes.checkpoints.values()]
                connection.executemany(_SAVE_STREAM, rows)
            letters.bury(connection, [self._letter(one) for one in changes.dead_letters])
            if len(lines) == len(changes.lines):
                letters.settle(connection, changes.settled)
            else:
                letters.keep_told(connection, changes.settled, time=now)
            if changes.sessions:
                sessions.update(connection, changes.sessions, now=now)
            noted.keep(connection, changes.noted, self._has_secret)
        self.last += len(lines)
        return Block(first, lines)

    def _row(self, checkpoint: StreamRow) -> tuple[object, ...]:
        row = {name: getattr(checkpoint, name) for name in _STREAM}
        return tuple((row | {"path": self._name_of(checkpoint.path)}).values())

    def _letter(self, letter: DeadLetter) -> DeadLetter:
        return letter if letter.file is None else replace(letter, file=self._name_of(letter.file))

    def read(self, after: int, limit_bytes: int) -> list[Block]:
        """The events behind the sequence number `after`: at least one batch, about `limit_bytes` at most."""
        blocks: list[Block] = []
        size = 0
        with translated(self._path):
            for first, row_bytes, body in self._connection.execute(_READ, (after + 1,)):
                lines = tuple(body.split(b"\n"))
                skip = max(0, after + 1 - first)
                if lines[skip:]:
                    blocks.append(Block(first + skip, lines[skip:]))
                    size += row_bytes
                if size >= limit_bytes:
                    break
        return blocks

    def save_cursor(
        self,
        sink: str,
        cursor: Cursor,
        dead_letters: Sequence[DeadLetter] = (),
        noting: Sequence[Noted] = (),
        *,
        now: float,
    ) -> None:
        """Move a cursor and keep what was refused and noted on the way, together."""
        with self._transaction() as connection:
            connection.execute(_ACKED, (sink, cursor.acked, int(now)))
            connection.execute(_SAVE_CURSOR, (sink, *cursor))
            letters.bury(connection, dead_letters)
            noted.keep(connection, noting, self._has_secret)

    def asked_letters(self) -> list[StoredLetter]:
        """The dead letters that somebody wants to have tried again, in the order of asking."""
        with translated(self._path):
            return letters.asked(self._connection)

    def settle_letter(self, letter: int, *, refusal: str | None, noting: Sequence[Noted] = (), now: float) -> None:
        """A letter was tried again: it is none any more, or was refused with these words."""
        with self._transaction() as connection:
            if refusal is None:
                letters.settle(connection, [letter])
            else:
                letters.refuse_again(connection, letter, reason=refusal, time=now)
            noted.keep(connection, noting, self._has_secret)

    def plugin_notes(self, owner: str) -> dict[str, bytes]:
        """What a plugin has noted."""
        with translated(self._path):
            return noted.read(self._connection, owner)

    def outside_version(self) -> int:
        """A number that changes whenever another process has written to the file."""
        with translated(self._path):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def save_note(self, name: str, value: bytes) -> None:
        """Keep a small fact under a name."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def sync(self) -> None:
        """Bring all commits so far to the disk; a transaction that changes nothing would not."""
        with self._transaction(is_synced=True) as connection:
            connection.execute("INSERT OR REPLACE INTO notes VALUES ('synced', ?)", (b"%d" % self.last,))

    def forget_streams(self, ids: Iterable[int]) -> None:
        """Drop the checkpoints of files that are gone for good."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM streams WHERE id = ?", [(one,) for one in ids])

    def prune(self, *, upto: int, older_than: float) -> int | None:
        """Drop batches that end at or before `upto` and were added before `older_than` (seconds since 1970).

        Returns the first sequence number that is left, None if nothing is.
        """
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM batches WHERE first <= ?1 AND first + count - 1 <= ?1 AND time < ?2", (upto, older_than)
            )
            left: int | None = connection.execute("SELECT min(first) FROM batches").fetchone()[0]
            connection.execute("DELETE FROM acks WHERE acked < ?", (self.last + 1 if left is None else left,))
        return left

    def live_sessions(self, now: float) -> list[SessionRow]:
        """The sessions that have not ended and in which something happened lately; `now` in seconds since 1970."""
        with translated(self._path):
            return sessions.read_live(self._connection, now)

    def forget_sessions(self, *, older_than: float) -> None:
        """Drop the sessions in which nothing has happened since then."""
        with self._transaction() as connection:
            sessions.forget(connection, older_than=older_than)

    def turn_over_seen(self) -> None:
        """Begin a new generation of seen facts and forget the one before the last."""
        with self._transaction():
            self._seen.turn_over()

    @contextmanager
    def _transaction(self, *, is_synced: bool = False) -> Generator[sqlite3.Connection]:
        with translated(self._path):
            if is_synced:
                self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                if is_synced:
                    self._connection.execute("PRAGMA synchronous = NORMAL")
