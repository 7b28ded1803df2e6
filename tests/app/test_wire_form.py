"""Real events against the schema that is published for them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forwarder.app.demo.recording import load
from forwarder.app.looking.schema import json_schema

KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
}


def misfits(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    """What the value has that the schema does not allow, or lacks; covers the keywords that we use."""
    if "const" in schema and value is not schema["const"] and value != schema["const"]:
        yield f"{where} is {value!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {value!r}"
    if (kinds := KINDS.get(schema.get("type", ""))) and type(value) not in kinds:
        yield f"{where} is of type {type(value).__name__}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where} is {value!r}"
    if "properties" in schema:
        yield from (f"{where} lacks {name}" for name in schema["required"] if name not in value)
        for name, one in value.items():
            if name in schema["properties"]:
                yield from misfits(schema["properties"][name], one, f"{where}.{name}")
            else:
                yield f"{where}.{name} is unknown"


@pytest.mark.slow
@pytest.mark.parametrize(("level", "count"), [("full", 64), ("preview", 66), ("none", 66)])
def test_every_event_fits_the_schema(tmp_path: Path, level: str, count: int) -> None:
    """What is promised to consumers is what arrives, at every level of redaction: without content no secret in it."""
    for line in load(tmp_path / "home", start=datetime(2026, 5, 1, tzinfo=UTC), speed=None).lines:
        line.path.parent.mkdir(parents=True, exist_ok=True)
        with line.path.open("a") as file:
            file.write(line.text)
    replay = [sys.executable, "-m", "forwarder", "replay", "--no-config", "--redaction", level]
    done = subprocess.run(
        [*replay, "--state-dir", tmp_path / "state", tmp_path / "home"], capture_output=True, timeout=60
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]

    types = json_schema()["$defs"]
    assert len(events) == count
    assert [one for event in events for one in misfits(types[event["type"]], event, event["type"])] == []


def test_a_misfit_is_found() -> None:
    """The check above is worth something only if it can fail."""
    schema = json_schema()["$defs"]["prompt"]
    event: dict[str, Any] = {"type": "response", "id": "short", "bytes": True, "surprise": 1, "origin": {}}

    found = list(misfits(schema, event, "prompt"))
    assert {
        "prompt lacks time",
        "prompt.type is 'response'",
        "prompt.id is 'short'",
        "prompt.bytes is of type bool",
        "prompt.surprise is unknown",
        "prompt.origin lacks source",
    } <= set(found)
