"""After an update of a plugin: states in the journal that its mapper can no longer read are made again.

The shape of a source's state is remembered as a digest. When it differs, the source's files are mapped from their
beginning once more, for the sake of the state alone: what was read before became events then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from forwarder.journal import Changes, Journal, StreamRow
from forwarder.source import Source
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import restarted

_NOTE = "state_shape:"

_log = structlog.get_logger(__name__)


Write = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]


async def renew_states(
    sources: Mapping[str, Source[Any]], journal: Journal, index: StreamIndex, *, write: Write
) -> None:
    """Restart the streams whose states have another shape than their sources' now. `write` waits for a full disk."""
    known = await journal.notes()
    for name, source in sources.items():
        note, shape = _NOTE + name, _shape(source)
        if known.get(note, shape) != shape:
            changes = Changes()
            for row in list(index.rows()):
                if row.source == name:
                    index.update(renewed := _from_the_beginning(row))
                    changes.checkpoints[row.id] = renewed
            await write(partial(journal.commit, changes))
            _log.info(f"{name} keeps another state since its update; {len(changes.checkpoints)} files are mapped anew")
        if note not in known or known[note] != shape:
            await write(partial(journal.note, note, shape))


def _from_the_beginning(row: StreamRow) -> StreamRow:
    """To be mapped again for the state; the digest of the head stays, as the proof that it is still the same file."""
    skip_until = max(row.offset, row.skip_until)
    return replace(restarted(row), skip_until=skip_until, head_size=row.head_size, head=row.head)


def _shape(source: Source[Any]) -> bytes:
    schema = msgspec.json.schema(type(source.new_state(Path("session.jsonl"))))
    return blake2b(msgspec.json.encode(schema), digest_size=16).hexdigest().encode()
