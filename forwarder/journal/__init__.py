"""The durable middle: events, stream positions and sink cursors in one SQLite file."""

from forwarder.journal.letters import ask_again, drop, read_letters
from forwarder.journal.rows import Block, Changes, Cursor, DeadLetter, StoredLetter, StreamRow
from forwarder.journal.schema import connect_to_read, set_aside
from forwarder.journal.seen import fact
from forwarder.journal.store import Journal

__all__ = [
    "Block",
    "Changes",
    "Cursor",
    "DeadLetter",
    "Journal",
    "StoredLetter",
    "StreamRow",
    "ask_again",
    "connect_to_read",
    "drop",
    "fact",
    "merged",
    "read_letters",
    "set_aside",
    "told",
]
