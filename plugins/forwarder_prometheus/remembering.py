"""Totals as notes in the journal and back: a note for each series and each live session.

In MessagePack, which has no quotes, colons and commas between its texts: rules that look for secrets take
``"auth","error_type"`` for a name and its value, and the journal forgets a note in which they find one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b

import msgspec
import structlog

from forwarder import Notes
from forwarder_prometheus.metrics import HELP
from forwarder_prometheus.series import Key, Value
from forwarder_prometheus.sessions import Live
from forwarder_prometheus.totals import Changes, Totals

_log = structlog.get_logger("forwarder_prometheus")


class Series(msgspec.Struct, frozen=True, tag=True):
    """One series with its value; sets of labels have no end of names, so its key is a digest of them."""

    name: str
    labels: dict[str, str]
    value: Value


_DECODER = msgspec.msgpack.Decoder(Series | Live)


def notes_of(changes: Changes) -> Notes:
    """What has to be kept of the changes; a session that is forgotten has its note forgotten."""
    series = {_name_of(key): _encoded(Series(key[0], dict(key[1]), value)) for key, value in changes.series.items()}
    sessions = {f"session {name}": _encoded(one) if one else None for name, one in changes.sessions.items()}
    return {**series, **sessions}


def recall(totals: Totals, notes: Mapping[str, bytes]) -> None:
    """Go on from what was noted, and from nothing else. A note that cannot be read is left out, and said."""
    series: dict[Key, Value] = {}
    sessions: dict[str, Live] = {}
    for key, one in _readable(notes):
        if isinstance(one, Live):
            sessions[key.removeprefix("session ")] = one
        elif one.name in HELP:  # else a metric of another release
            series[one.name, tuple(sorted(one.labels.items()))] = one.value
    totals.restore(series, sessions)


def _readable(notes: Mapping[str, bytes]) -> Iterator[tuple[str, Series | Live]]:
    for key, body in notes.items():
        try:
            yield key, _DECODER.decode(body)
        except msgspec.DecodeError as error:
            _log.error(f"a series cannot be restored and begins at 0: {error}; its note is {key!r}")


def _name_of(key: Key) -> str:
    return "series " + blake2b(msgspec.msgpack.encode(key), digest_size=16).hexdigest()


def _encoded(value: Series | Live) -> bytes:
    return msgspec.msgpack.encode(value)
