"""The durable middle: events, stream positions and sink cursors in one SQLite file."""

from forwarder.journal.letters import ask_again, drop, read_letters
from forwarder.journal.rows import Block, Changes, Cursor, DeadLetter, Noted, StoredLetter, StreamRow
from forwarder.journal.schema import connect_to_read, reading, set_aside
from forwarder.journal.seen import fact
from forwarder.journal.sessions import LIVE_SECONDS, Said, SessionRow, merged, told
from forwarder.journal.sessions import read as read_sessions
from forwarder.journal.sessions import read_live as read_live_sessions
from forwarder.journal.store import Journal

__all__ = [
    "LIVE_SECONDS",
    "Block",
    "Changes",
    "Cursor",
    "DeadLetter",
    "Journal",
    "Noted",
    "Said",
    "SessionRow",
    "StoredLetter",
    "StreamRow",
    "ask_again",
    "connect_to_read",
    "drop",
    "fact",
    "merged",
    "read_letters",
    "read_live_sessions",
    "read_sessions",
    "reading",
    "set_aside",
    "told",
]
