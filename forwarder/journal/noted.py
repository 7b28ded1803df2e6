"""What plugins note, in the journal's file: small rows by owner and key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator

import structlog

from forwarder.journal.rows import Noted
from forwarder.sink import Notes

CREATE = """
CREATE TABLE plugin_notes (owner TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL,
                           PRIMARY KEY (owner, key)) WITHOUT ROWID;
"""

_SAVE = "INSERT OR REPLACE INTO plugin_notes VALUES (?, ?, ?)"
_FORGET = "DELETE FROM plugin_notes WHERE owner = ? AND key = ?"

_log = structlog.get_logger(__name__)


def keep(connection: sqlite3.Connection, noted: Iterable[Noted], has_secret: Callable[[str], bool]) -> None:
    """Save the notes and forget those that are None, in order; one with a secret in it is forgotten, and said."""
    for owner, notes in noted:
        leaking = set(_leaking(notes, has_secret))
        for _ in leaking:  # not which: its key may be the secret
            _log.error(
                f"{owner} has noted a secret: this is a bug in it; the note is lost", limited=f"notes of {owner}"
            )
        kept = {key: body for key, body in notes.items() if body is not None and key not in leaking}
        connection.executemany(_SAVE, [(owner, key, body) for key, body in kept.items()])
        connection.executemany(_FORGET, [(owner, key) for key in notes if key not in kept])


def _leaking(notes: Notes, has_secret: Callable[[str], bool]) -> Iterator[str]:
    """The keys of notes in which a secret is found. All are looked at in one go: hardly ever is there one."""
    texts = {key: f"{key}\n{(body or b'').decode('utf-8', 'replace')}" for key, body in notes.items()}
    if texts and has_secret("\n".join(texts.values())):
        yield from (key for key, text in texts.items() if has_secret(text))


def read(connection: sqlite3.Connection, owner: str) -> dict[str, bytes]:
    """What the owner has noted."""
    return dict(connection.execute("SELECT key, body FROM plugin_notes WHERE owner = ?", (owner,)).fetchall())
