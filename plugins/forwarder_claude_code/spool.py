"""The layouts of a spool: what a writer put around a hook's payload, and how many payloads share a record.

Known are bare payloads, envelopes (`{"v":1,"ts":...,"payload":...}`), `<epoch> <json>`, several of these on one line
(old releases end the payload without a newline), and arrays of them in a file of their own.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import msgspec

from forwarder import BadRecord, Record
from forwarder_claude_code.records import Hook

_HOOK = msgspec.json.Decoder(Hook)
_HOOKS = msgspec.json.Decoder(list[Hook])
_STAMP = re.compile(rb"\s*(\d{9,19}(?:\.\d+)?)\s+(?=[{\[])")
_STAMP_IN_TEXT = re.compile(r"\d{9,19}(?:\.\d+)?\s+")
_JSON = json.JSONDecoder(strict=False)
_BETWEEN = " \t\r\n\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_BELOW = 1e11  # what is larger counts milliseconds, and so on by thousands: good for the years 1973 to 5138


def hooks_of(record: Record) -> list[tuple[Hook, datetime | None]]:
    """The payloads of a record with the time that the writer gave them. Raises `BadRecord` if a part is not one."""
    try:
        return _decoded(record)
    except BadRecord as error:
        parts = _parts(record, error)
        found = [hook for part in parts for hook in _decoded(part)]
        record.lossy = record.lossy or any(part.lossy for part in parts)
        return found


def from_epoch(number: float) -> datetime:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size."""
    unit = 1.0
    while number / unit >= _SECONDS_BELOW:
        unit *= 1000
    try:
        return _EPOCH + timedelta(seconds=number / unit)
    except OverflowError as error:
        raise BadRecord(f"no time: {number}") from error


def _decoded(record: Record) -> list[tuple[Hook, datetime | None]]:
    stamp = _STAMP.match(record.line)
    time = from_epoch(float(stamp[1])) if stamp else None
    bare = msgspec.structs.replace(record, line=record.line[stamp.end() :]) if stamp else record
    hooks = bare.decode(_HOOKS) if bare.line.lstrip()[:1] == b"[" else [bare.decode(_HOOK)]
    record.lossy = bare.lossy
    return [_opened(hook, time) for hook in hooks]


def _opened(hook: Hook, time: datetime | None) -> tuple[Hook, datetime | None]:
    """The payload in an envelope, and the envelope's time."""
    if hook.payload is None:
        return hook, time
    stamp = hook.ts if hook.ts is not None else hook.received_ns
    return hook.payload, from_epoch(float(stamp)) if stamp is not None else time


def _parts(record: Record, reason: BadRecord) -> list[Record]:
    """The JSON values that follow each other on one line. Raises `reason` if there are no two, or something between."""
    text = record.line.decode("utf-8", "replace")
    found: list[Record] = []
    position = 0
    while position < len(text):
        if text[position] in _BETWEEN:
            position += 1
            continue
        stamp = _STAMP_IN_TEXT.match(text, position)
        try:
            _, end = _JSON.raw_decode(text, stamp.end() if stamp else position)
        except (ValueError, RecursionError):
            raise reason from None
        found.append(msgspec.structs.replace(record, line=text[position:end].encode()))
        position = end
    if len(found) < 2:
        raise reason
    return found
