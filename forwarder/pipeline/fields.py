"""Which fields of an event hold free text, derived from the structs of `forwarder.events`.

A *content* field holds what people and models wrote: gone at ``full``, cut at ``preview``, scrubbed at ``none``. A
*name* field is other free text (a tool, a folder, a branch): scrubbed, never cut, present at every level. Ids, literals
and numbers are neither.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, get_args, get_origin

from msgspec import Meta, Struct, structs

from forwarder.events import EVENT_TYPES, Session


@cache
def content_fields(event_type: type[Struct]) -> tuple[str, ...]:
    """Names of the fields marked `Content`, in the struct's order."""
    return _fields(event_type, "content")


@cache
def name_fields(event_type: type[Struct]) -> tuple[str, ...]:
    """Names of the plain `str` fields: neither `Content` nor `Id` nor `Literal`. Works for `Session` too."""
    return _fields(event_type, "name")


def _fields(event_type: type[Struct], role: str) -> tuple[str, ...]:
    return tuple(field.encode_name for field in structs.fields(event_type) if _role(field.type) == role)


def _role(annotation: Any) -> str | None:
    """The role of a field's type: that of its `Meta`, "name" for plain text, none for everything else."""
    if get_origin(annotation) is Annotated:
        base, *notes = get_args(annotation)
        roles = [note.extra["role"] for note in notes if isinstance(note, Meta) and note.extra]
        return roles[0] if roles else _role(base)
    if annotation is str:
        return "name"
    return next(filter(None, map(_role, get_args(annotation))), None) if _is_union(annotation) else None


def _is_union(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


def _tag(event_type: type[Struct]) -> str:
    return str(event_type.__struct_config__.tag)


SESSION_NAMES: tuple[str, ...] = name_fields(Session)
"""Free text of the envelope; these fields have the same names in a `Session` and on the wire."""

CONTENT_BY_TAG: dict[str, tuple[str, ...]] = {_tag(kind): content_fields(kind) for kind in EVENT_TYPES}
"""Content fields by the event's `type` on the wire."""

NAMES_BY_TAG: dict[str, tuple[str, ...]] = {_tag(kind): name_fields(kind) for kind in EVENT_TYPES}
"""Name fields by the event's `type` on the wire, without those of the envelope (`SESSION_NAMES`)."""
