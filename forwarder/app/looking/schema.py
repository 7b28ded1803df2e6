"""The schema of the wire form, generated from the structs of `forwarder.events`: JSON Schema and a reference page."""

from __future__ import annotations

import inspect
import json
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import structs

from forwarder.catalogue import EVENT_TYPES
from forwarder.events import SCHEMA_VERSION, Event
from forwarder.pipeline.fields import CONTENT_BY_TAG

Schema = dict[str, Any]

TIME: Schema = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC, milliseconds: when it happened"}
ORIGIN: Schema = {
    "type": "object",
    "description": "where the record came from",
    "properties": {
        "source": {"type": "string", "description": "name in the configuration"},
        "file": {"type": "string", "description": "file name only"},
        "offset": {"type": "integer", "minimum": 0, "description": "byte where the record begins"},
        "replay": {"const": True},
        "lossy": {"const": True, "description": "the record had to be read tolerantly"},
    },
    "required": ["source", "file", "offset"],
}
ENVELOPE: Schema = {
    "id": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "equal id: the same fact"},
    "type": {"type": "string"},
    "time": TIME,
    "time_inferred": {"const": True, "description": "the record has no time of its own"},
    "agent": {"type": "string"},
    "agent_version": {"type": "string"},
    "session_id": {"type": "string", "description": "the agent's own id, whole"},
    "parent_session_id": {"type": "string", "description": "forked, resumed or spawned from this session"},
    "actor": {"type": "string", "description": "sub-agent's id; absent for the main agent"},
    "turn": {"type": "integer", "minimum": 1, "description": "index in the session"},
    "cwd": {"type": "string"},
    "git_branch": {"type": "string"},
    "host": {"type": "string", "description": "the machine that the forwarder runs on"},
    "origin": ORIGIN,
}
ALWAYS_THERE = ["id", "type", "time", "agent", "session_id", "host", "origin"]


def json_schema() -> Schema:
    """The JSON Schema (2020-12) of one line: flat, told apart by `type`. Fields may be added to any type later."""
    kinds = {tag_of(kind): kind for kind in EVENT_TYPES}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": "One event, one line. No field is ever null: unknown is absent. Units are in the names.",
        "version": SCHEMA_VERSION,
        "type": "object",
        "required": ["type"],
        "discriminator": {"propertyName": "type", "mapping": {tag: f"#/$defs/{tag}" for tag in kinds}},
        "oneOf": [{"$ref": f"#/$defs/{tag}"} for tag in kinds],
        "$defs": {tag: _type_schema(kind) for tag, kind in kinds.items()},
    }


def tag_of(kind: type[Event]) -> str:
    """The `type` of the event on the wire."""
    return str(kind.__struct_config__.tag)


def _type_schema(kind: type[Event]) -> Schema:
    own = _own_fields(kind)
    contents = CONTENT_BY_TAG[tag_of(kind)]
    properties = ENVELOPE | {"type": {"const": tag_of(kind)}} | {one.encode_name: _field_schema(one) for one in own}
    always = [one.encode_name for one in own if one.required and one.encode_name not in contents]
    described = {"description": text} if (text := summary_of(kind)) else {}
    return {"type": "object", **described, "properties": properties, "required": ALWAYS_THERE + always}


def _own_fields(kind: type[Event]) -> list[structs.FieldInfo]:
    common = set(Event.__struct_fields__)
    return [one for one in structs.fields(kind) if one.name not in common]


def summary_of(kind: type[Event]) -> str:
    """The type's own docstring in one line; empty without one."""
    return " ".join(inspect.cleandoc(kind.__dict__.get("__doc__") or "").split())


def _field_schema(field: structs.FieldInfo) -> Schema:
    if field.default is False:
        return {"const": True}  # omitted while it is false
    wanted, role = _without_none(field.type), None
    if get_origin(wanted) is Annotated:
        role = wanted.__metadata__[0].extra["role"]
    if wanted is Decimal:
        return {"type": "number", "description": "at most nine decimal places"}
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return _object_schema(wanted)
    if get_origin(wanted) is list and issubclass(get_args(wanted)[0], msgspec.Struct):
        return {"type": "array", "items": _object_schema(get_args(wanted)[0])}
    schema = msgspec.json.schema(wanted)
    if role == "content":
        schema["description"] = "content: absent at redaction full, cut at preview, scrubbed at every level"
    return schema


def _object_schema(wanted: type[msgspec.Struct]) -> Schema:
    inner = structs.fields(wanted)
    return {
        "type": "object",
        "properties": {one.encode_name: _field_schema(one) for one in inner},
        "required": [one.encode_name for one in inner if one.required],
    }


def _without_none(wanted: Any) -> Any:
    if get_origin(wanted) not in (Union, UnionType):
        return wanted
    (kept,) = (one for one in get_args(wanted) if one is not type(None))
    return kept


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """What consumers of the old schema would miss in the new one; empty when it was only added to."""
    found: list[str] = []
    for tag, before in old["$defs"].items():
        after = new["$defs"].get(tag)
        if after is None:
            found.append(f"{tag} is gone")
            continue
        found += [f"{tag}.{name} {change}" for name, change in _changes(before, after)]
    return found


def _changes(before: Schema, after: Schema) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, was in before["properties"].items():
        found += _changes_of(name, was, after["properties"].get(name))
    found += [(name, "is no longer always there") for name in before["required"] if name not in after["required"]]
    return found


def _changes_of(name: str, was: Schema, now: Schema | None) -> list[tuple[str, str]]:
    """Of one field, and of those inside it under their paths."""
    if now is None:
        return [(name, "is gone")]
    if "properties" in was:
        return [(f"{name}.{inner}", change) for inner, change in _changes(was, now)]
    if "properties" in was.get("items", {}):
        return [(f"{name}.{inner}", change) for inner, change in _changes(was["items"], now["items"])]
    if now.get("type") != was.get("type") or now.get("const") != was.get("const"):
        return [(name, "has another type")]
    values: list[Any] = was.get("enum", [])
    if gone := set(values) - set(now.get("enum", values)):
        return [(name, f"lost the values {sorted(gone)}")]
    return []


def json_text() -> str:
    """The JSON Schema as it is printed and kept in the documentation."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def markdown() -> str:
    """The reference page of all types and fields."""
    schema = json_schema()
    lines = [
        "# Events",
        "",
        f"Schema version {schema['version']}; this page is written by `forwarder schema --format markdown`.",
        "",
        f"{schema['description']} Fields may be added, never renamed or removed. **C** marks content: absent at "
        "redaction `full`, scrubbed and cut to 50 characters at `preview`, scrubbed at `none`.",
        "",
        "## Envelope of every event",
        "",
        *_rows(ENVELOPE, ALWAYS_THERE),
    ]
    for tag, kind in schema["$defs"].items():
        own = {name: one for name, one in kind["properties"].items() if name not in ENVELOPE}
        description = [kind["description"], ""] if "description" in kind else []
        lines += ["", f"## `{tag}`", "", *description, *_rows(own, kind["required"])]
    return "\n".join(lines) + "\n"


def _rows(properties: Schema, always: list[str]) -> list[str]:
    if not properties:
        return ["No fields of its own."]
    rows = ["| field | type | present | |", "|---|---|---|---|"]
    for name, one in properties.items():
        is_content = str(one.get("description", "")).startswith("content:")
        note = "**C**" if is_content else one.get("description", "")
        presence = "always" if name in always else "unless redacted" if is_content else "when known"
        rows.append(f"| `{name}` | {_type_words(one)} | {presence} | {note} |".replace("|  |", "| |"))
    return rows


def _type_words(schema: Schema) -> str:
    if "const" in schema:
        return "true"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "properties" in schema:
        return "object of " + ", ".join(f"`{name}`" for name in schema["properties"])
    if "items" in schema:
        kind, _, rest = _type_words(schema["items"]).partition(" ")
        return f"array of {kind}s {rest}".rstrip()
    if "additionalProperties" in schema:
        return f"object of names and {_type_words(schema['additionalProperties'])}s"
    return str(schema["type"])
