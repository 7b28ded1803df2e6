"""What `egress` says leaves to a sink is what leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from forwarder.app.assembly import loosest, make_encoder, make_redactor, mapper_maker, transform_for
from forwarder.app.config import Settings, from_values
from forwarder.app.looking.egress import Egress, Specimens, examine, specimen, text_lines
from forwarder.catalogue import EVENT_TYPES
from forwarder.clock import SystemClock
from forwarder.errors import ConfigError
from forwarder.events import Prompt
from forwarder.source import Record

LEVELS: list[dict[str, object]] = [
    {"redaction": "full"},
    {"redaction": "preview"},
    {"redaction": "none"},
    {"redaction": "none", "scrub": False},
]


def settings(tmp_path: Path, **sinks: dict[str, object]) -> Settings:
    values = {"sinks": {name: {"use": "stdout", **one} for name, one in sinks.items()}}
    return from_values(values, place="test", folder=tmp_path)


def delivered(settings: Settings, name: str) -> dict[str, set[str]]:
    """The fields of an event of each type as `run` would deliver it to the sink, with the configured rules."""
    redactor, sink = make_redactor(settings), settings.sinks[name]
    make = mapper_maker(settings, redactor, make_encoder(settings, redactor), clock=SystemClock(), is_replay=True)
    transform = transform_for(sink, loosest(settings.sinks.values()), redactor) or bytes
    found: dict[str, set[str]] = {}
    for kind in EVENT_TYPES:
        mapper = make("acme", Specimens(specimen(kind)), Path("/home/dev/a.jsonl"))
        (line,) = mapper.map([Record(b"{}", 0, 2, b"")]).lines
        event = msgspec.json.decode(transform(line), type=dict[str, Any])
        found[event["type"]] = names(event)
    return found


def names(line: dict[str, Any]) -> set[str]:
    inner = {f"{name}.{one}" for name, value in line.items() if isinstance(value, dict) for one in cast("Any", value)}
    return {name for name, value in line.items() if not isinstance(value, dict)} | inner


def told(egress: Egress, type: str) -> dict[str, str]:
    (kind,) = [one for one in egress.types if one.type == type]
    return {one.sent_as or one.name: one.what for one in kind.fields}


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_what_is_told_is_what_leaves(tmp_path: Path, level: dict[str, object]) -> None:
    """For an event with every field, of every type, at every level, beside a laxer sink."""
    configured = settings(tmp_path, team={**level, "rename": {"cwd": "folder"}}, archive={"redaction": "none"})
    egress = examine(configured, "team")
    present = {
        kind.type: {name for name, what in told(egress, kind.type).items() if what != "absent"} for kind in egress.types
    }

    assert present == delivered(configured, "team")


@pytest.mark.parametrize(
    ("level", "text", "cwd"),
    [
        (LEVELS[0], "absent", "scrubbed"),
        (LEVELS[1], "scrubbed, cut", "scrubbed"),
        (LEVELS[2], "scrubbed", "scrubbed"),
        (LEVELS[3], "whole", "whole"),
    ],
    ids=str,
)
def test_each_level_is_told_as_it_is_meant(tmp_path: Path, level: dict[str, object], text: str, cwd: str) -> None:
    """Content goes, is cut or stays; names are scrubbed; ids and numbers are left alone."""
    fields = told(examine(settings(tmp_path, team=level), "team"), "prompt")

    assert (fields["text"], fields["cwd"]) == (text, cwd)
    assert {fields[name] for name in ("id", "session_id", "sha256", "bytes", "time", "origin.offset")} == {"whole"}


def test_no_field_of_the_schema_is_left_out(tmp_path: Path) -> None:
    """A field that is not in the list would leave unseen."""
    fields = told(examine(settings(tmp_path, team={}), "team"), "prompt")

    assert {*Prompt.__struct_fields__} - {"key", "session"} <= set(fields)


def test_filters_and_other_names_are_told(tmp_path: Path) -> None:
    """Types that the sink does not take are said to stay, fields that are renamed by both names."""
    sink: dict[str, object] = {
        "types": ["prompt"],
        "agents": ["acme"],
        "rename": {"text": "body"},
        "redaction": "preview",
    }
    lines = list(text_lines(examine(settings(tmp_path, team=sink), "team")))

    assert lines[:4] == [
        'sink team (stdout): redaction "preview"',
        "takes only types: prompt",
        "takes only agents: acme",
        "sends text as body",
    ]
    assert "  text                   scrubbed, cut to 50 characters, as body" in lines
    assert lines[-1].startswith("never sent: session_start, ")


def test_what_happens_to_the_fields_of_a_type_stands_in_one_column(tmp_path: Path) -> None:
    """Also where the name of a field is a long one."""
    (block,) = [
        block.splitlines()[1:]
        for block in "\n".join(text_lines(examine(settings(tmp_path, team={}), "team"))).split("\n\n")
        if block.startswith("tool_usage\n")
    ]

    assert len({len(line) - len(line.lstrip().split(maxsplit=1)[1]) for line in block}) == 1


def test_a_sink_that_is_not_configured_is_named(tmp_path: Path) -> None:
    """With what was meant, maybe."""
    with pytest.raises(ConfigError, match=r'no sink "taem" in the configuration.*team'):
        examine(settings(tmp_path, team={}), "taem")
