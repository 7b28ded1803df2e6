"""Encoded events on their way to a sink that may see less than the journal holds."""

import pytest

from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.pipeline.tightening import tighten

REDACTOR = Redactor(Rules.load_builtin())
HEAD = (
    b'{"id":"00112233445566778899aabbccddeeff","type":"tool_call_end","time":"2026-11-21T01:02:03.004Z","agent":"codex"'
)
TAIL = b',"cost_usd":0.000000100,"origin":{"source":"codex","offset":12},"ok":true'


def line(**fields: str) -> bytes:
    texts = "".join(f',"{name}":"{value}"' for name, value in fields.items())
    return HEAD + texts.encode() + TAIL + b"}"


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (Level.FULL, line(tool="shell")),
        (Level.PREVIEW, line(tool="shell", output="[REDACTED] " + "y" * 39 + "…")),
        (Level.NONE, line(tool="shell", output="[REDACTED] " + "y" * 70)),
        (Level.RAW, line(tool="shell", output="jo@example.org " + "y" * 70)),
    ],
)
def test_a_raw_event_at_every_level(level: Level, expected: bytes) -> None:
    """Content goes, is cut or is scrubbed; everything else keeps its place and its bytes."""
    raw = line(tool="shell", output="jo@example.org " + "y" * 70)

    assert tighten(raw, level, REDACTOR) == expected


def test_names_are_scrubbed_too() -> None:
    """They are there at every level, so a secret in one must go at every level."""
    raw = line(cwd="/home/dev/jo@example.org", tool="shell")

    assert tighten(raw, Level.FULL, REDACTOR) == line(cwd="/home/dev/[REDACTED]", tool="shell")


@pytest.mark.parametrize("level", Level)
def test_doing_it_twice_changes_nothing(level: Level) -> None:
    """A batch that is sent again must be the same batch."""
    once = tighten(line(tool="shell", output="jo@example.org " + "é" * 70, error="x"), level, REDACTOR)

    assert tighten(once, level, REDACTOR) == once


def test_names_inside_objects_and_lists_are_scrubbed_too() -> None:
    """Keys as well; numbers keep their bytes."""
    raw = b'{"id":"0","type":"metric","agent":"a","value":1.50,"labels":{"jo@example.org":"x","to":"jo@example.org"}}'
    clean = raw.replace(b"jo@example.org", b"[REDACTED]")

    assert tighten(raw, Level.FULL, REDACTOR) == clean
