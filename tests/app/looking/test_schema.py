"""The generated schema and what is kept of it in the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forwarder.app.looking.schema import breaking_changes, json_schema, json_text, markdown
from forwarder.catalogue import EVENT_TYPES

PROJECT = Path(__file__).parents[3]
RELEASED = json.loads((Path(__file__).parent / "schema-0.1.json").read_text())


def test_the_documentation_holds_the_schema_of_today() -> None:
    """Stale? `forwarder schema > docs/schema.json; forwarder schema --format markdown > docs/events.md`"""
    assert (PROJECT / "docs" / "schema.json").read_text() == json_text()
    assert (PROJECT / "docs" / "events.md").read_text() == markdown()


def test_nothing_that_was_released_is_taken_away() -> None:
    """Consumers were written against `schema-0.1.json`, which is replaced only with a new major version."""
    assert breaking_changes(RELEASED, json_schema()) == []


def test_every_type_is_in_the_schema_and_the_page() -> None:
    """A type that is sent but not described cannot be consumed."""
    tags = [str(kind.__struct_config__.tag) for kind in EVENT_TYPES]

    assert list(json_schema()["$defs"]) == tags
    assert all(f"## `{tag}`\n" in markdown() for tag in tags)


def test_the_schema_tells_the_wire_form_and_not_the_struct() -> None:
    """Flat, no nulls, money as a number, false flags absent, content not promised."""
    types = json_schema()["$defs"]
    usage, end, start = (types[name] for name in ("token_usage", "tool_call_end", "session_start"))

    assert usage["properties"]["session_id"] == {"type": "string", "description": "the agent's own id, whole"}
    assert "key" not in usage["properties"]
    assert usage["properties"]["cost_usd"]["type"] == "number"
    assert usage["properties"]["type"] == {"const": "token_usage"}
    assert end["properties"]["duration_inferred"] == {"const": True}
    assert {"ok", "outcome"} <= set(end["required"])
    assert not {"output", "error"} & set(end["required"])
    assert "text" not in types["prompt"]["required"]
    assert start["properties"]["reason"]["enum"] == ["clear", "fork", "resume", "seen", "startup"]


def changed(change: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(json_text())
    prompt = schema["$defs"]["prompt"]
    match change:
        case "type gone":
            del schema["$defs"]["prompt"]
        case "field gone":
            del prompt["properties"]["sha256"]
        case "other type":
            prompt["properties"]["bytes"] = {"type": "string"}
        case "value gone":
            schema["$defs"]["session_start"]["properties"]["reason"]["enum"].remove("fork")
        case "field of a list gone":
            del schema["$defs"]["latency"]["properties"]["phases"]["items"]["properties"]["name"]
        case "inner field gone":
            del prompt["properties"]["origin"]["properties"]["file"]
        case _:
            prompt["required"].remove("bytes")
    return schema


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("type gone", ["prompt is gone"]),
        ("field gone", ["prompt.sha256 is gone"]),
        ("other type", ["prompt.bytes has another type"]),
        ("value gone", ["session_start.reason lost the values ['fork']"]),
        ("field of a list gone", ["latency.phases.name is gone"]),
        ("inner field gone", ["prompt.origin.file is gone"]),
        ("no longer required", ["prompt.bytes is no longer always there"]),
    ],
)
def test_a_change_that_takes_something_away_is_found(change: str, said: list[str]) -> None:
    """The additive rule is only worth something if its check can fail."""
    assert breaking_changes(json_schema(), changed(change)) == said


def test_a_change_that_adds_is_fine() -> None:
    """New types, fields and values are what minor versions bring."""
    bigger = json.loads(json_text())
    bigger["$defs"]["new"] = {"properties": {}, "required": []}
    bigger["$defs"]["prompt"]["properties"]["more"] = {"type": "string"}
    bigger["$defs"]["prompt"]["required"].append("more")
    bigger["$defs"]["session_start"]["properties"]["reason"]["enum"].append("other")

    assert breaking_changes(json_schema(), bigger) == []
