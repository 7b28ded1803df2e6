"""The key of an entry: the same in the session where it was written, in every fork, and after a migration.

A fork copies entries with their ids and times, so no key holds the session's id or a place in the file. The hour comes
first, which neighbouring entries share. Entries of format v1 have no ids and get random ones when a newer pi rewrites
the file; what they said stays as it was, byte for byte, so it is their key before and after.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from forwarder import Key, Record
from forwarder_pi.records import Entry, Message
from forwarder_pi.state import milliseconds

HOUR_MS = 3_600_000

# Every version writes keys in its own fixed order: v1 the time right behind the type, v2 and later an id before it.
_BORN_V1 = re.compile(rb'\{"type":"\w+","timestamp":')
_ADDED_BY_MIGRATION = re.compile(rb',"id":"[^"]*","parentId":(?:null|"[^"]*")\}\Z')


def key_of(record: Record, entry: Entry) -> Key:
    """What stands for the entry in the keys of its events."""
    ms = milliseconds(entry.timestamp)
    if entry.id is not None and not _BORN_V1.match(record.line):
        return (ms // HOUR_MS, entry.id, ms)
    if not isinstance(entry, Message):
        return (ms // HOUR_MS, type(entry).__name__, ms)  # a migrated compaction names its first entry in another way
    as_written = _ADDED_BY_MIGRATION.sub(b"}", record.line)
    return (ms // HOUR_MS, blake2b(as_written, digest_size=12).hexdigest(), ms)
