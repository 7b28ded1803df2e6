"""Which fields of an event hold free text, derived from the structs of `forwarder.events`.

A *content* field holds what people and models wrote: gone at ``full``, cut at ``preview``, scrubbed at ``none``. A
*name* field is other free text (a tool, a folder, a branch): scrubbed, never cut, present at every level. A *nested*
field is an object or a list with such names in it, keys included. Ids, literals and numbers are neither.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, cast, get_args, get_origin

from msgspec import Meta, Struct, structs

from forwarder.catalogue import EVENT_TYPES
from forwarder.events import Session


@cache
def content_fields(event_type: type[Struct]) -> tuple[str, ...]:
    """Names of the fields marked `Content`, in the struct's order."""
    return _fields(event_type, "content")


@cache
def name_fields(event_type: type[Struct]) -> tuple[str, ...]:
    """Names of the plain `str` fields: neither `Content` nor `Id` nor `Literal`. Works for `Session` too."""
    return _fields(event_type, "name")


@cache
def nested_fields(event_type: type[Struct]) -> tuple[str, ...]:
    """Names of the fields whose objects and lists hold free text; the envelope's session is none of them."""
    own = [field for field in structs.fields(event_type) if field.type is not Session]
    return tuple(field.encode_name for field in own if _has_names(_within(field.type)))


@cache
def fraction_fields(event_type: type[Struct]) -> tuple[str, ...]:
    """Names of the fields that hold, or have in them, what could be no number: floats and decimals."""
    return tuple(field.encode_name for field in structs.fields(event_type) if _has_fractions(field.type))


def with_names(value: object, clean: Callable[[str], str]) -> object:
    """A nested field's value, as JSON has it, with all of its texts cleaned; numbers stay as they are.

    A text is cleaned once more as what it is beside its name: a label may be called ``password``.
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        return {name: _under(name, inner, clean) for name, inner in ((clean(key), table[key]) for key in table)}
    if isinstance(value, list):
        return [with_names(inner, clean) for inner in cast("list[object]", value)]
    return value


def _under(name: str, value: object, clean: Callable[[str], str]) -> object:
    if not isinstance(value, str):
        return with_names(value, clean)
    before, cleaned = f'{name}="', clean(value)
    pair = clean(f'{before}{cleaned}"')
    return cleaned if pair == f'{before}{cleaned}"' else pair.removeprefix(before).removesuffix('"')


def _within(annotation: Any) -> tuple[Any, ...]:
    """The types of what an object or a list holds; nothing for any other type."""
    if get_origin(annotation) in (list, dict):
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return tuple(field.type for field in structs.fields(annotation))
    return tuple(inner for one in get_args(annotation) for inner in _within(one)) if _is_union(annotation) else ()


def _has_fractions(annotation: Any) -> bool:
    if annotation in (float, Decimal):
        return True
    return any(map(_has_fractions, get_args(annotation) if _is_union(annotation) else _within(annotation)))


def _has_names(types: tuple[Any, ...]) -> bool:
    return any(_role(one) == "name" or _has_names(_within(one)) for one in types)


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

NESTED_BY_TAG: dict[str, tuple[str, ...]] = {_tag(kind): nested_fields(kind) for kind in EVENT_TYPES}
"""Objects and lists with free text in them by the event's `type` on the wire."""
