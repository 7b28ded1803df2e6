"""An encoded event made stricter for one sink, on its way out of the journal."""

from __future__ import annotations

import msgspec

from forwarder.pipeline.fields import CONTENT_BY_TAG, NAMES_BY_TAG, NESTED_BY_TAG, SESSION_NAMES, with_names
from forwarder.pipeline.redaction import Level, Redactor

_LINE: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)
_ANY: msgspec.json.Decoder[object] = msgspec.json.Decoder(object)
_ENCODE = msgspec.json.Encoder().encode


def tighten(line: bytes, level: Level, redactor: Redactor) -> bytes:
    """One event as EVENTS.md defines it, at `level`; it may have been journalled at any laxer one.

    Fields keep their order and everything that is not text keeps its bytes. Doing it twice changes nothing.
    """
    if level is Level.RAW:
        return line
    event = _LINE.decode(line)
    tag = _TEXT.decode(event["type"])
    for field in (*SESSION_NAMES, *NAMES_BY_TAG[tag]):
        if field in event:
            event[field] = msgspec.Raw(_ENCODE(redactor.name(_TEXT.decode(event[field]))))
    for field in NESTED_BY_TAG[tag]:
        if field in event:
            event[field] = msgspec.Raw(_ENCODE(with_names(_ANY.decode(event[field]), redactor.name)))
    for field in CONTENT_BY_TAG[tag]:
        if field not in event:
            continue
        content = redactor.content(_TEXT.decode(event[field]), level)
        if content is None:
            del event[field]
        else:
            event[field] = msgspec.Raw(_ENCODE(content))
    return _ENCODE(event)
