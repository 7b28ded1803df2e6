"""Whether a state stays small however much it is given: one stream of very many mutated records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from random import Random

from forwarder.source import Record
from tests.fuzz.mappers import MapperTarget, check_events
from tests.fuzz.target import require

SLICE = 256  # records that are mapped together
LONGEST = 20_000  # bytes of a record: longer ones are rare, and a state may hold some of each record's texts
STATE_BYTES = 1 << 20  # saved with every checkpoint; a session of 20,000 calls needs a tenth


_ID = re.compile(rb"[0-9a-f]{8,}|(?<=_)[0-9A-Za-z]{16,}")
NEW_IDS = 8  # records that share their ids: what is begun in one may end in another, or never


def records(target: MapperTarget, number: int, random: Random) -> Iterator[Record]:
    """So many records out of mutated recordings, as if they stood in one file."""
    seeds, offset, made = target.seeds(), 0, 0
    while made < number:
        for record in target.records(target.mutated(random.choice(seeds), random)):
            if len(record.line) <= LONGEST:
                made += 1
                record.line = _renewed(record.line, made // NEW_IDS)
                offset += record.size + 1
                record.offset = offset
                yield record


def _renewed(line: bytes, number: int) -> bytes:
    """The record with ids that none before has had: sessions, turns, messages, calls."""

    def renewed(found: re.Match[bytes]) -> bytes:
        size = len(found[0])
        return blake2b(found[0], salt=b"%d" % number).hexdigest()[:size].encode()

    return _ID.sub(renewed, line)


def endure(target: MapperTarget, *, number: int, seed: str) -> int:
    """Map so many records from one state; returns how many bytes it had at most. Raises `Broken`."""
    mapper, most, batch = target.mapper(), 0, list[Record]()
    for record in records(target, number, Random(f"{target.name}/{seed}")):
        batch.append(record)
        if len(batch) == SLICE:
            check_events(mapper.map(batch))
            most = max(most, len(mapper.state()))
            require(most <= STATE_BYTES, f"{target.name}: the state has {most} bytes")
            batch = []
    return most
