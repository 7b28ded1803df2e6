"""The durable middle: events, stream positions and sink cursors in one SQLite file."""

from forwarder.journal.rows import Block, Changes, Cursor, DeadLetter, StreamRow
from forwarder.journal.schema import connect_to_read, set_aside
from forwarder.journal.seen import fact
from forwarder.journal.store import Journal

__all__ = [
    "Block",
    "Changes",
    "Cursor",
    "DeadLetter",
    "Journal",
    "StreamRow",
    "connect_to_read",
    "fact",
    "set_aside",
]
