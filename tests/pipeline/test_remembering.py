"""What mappers remember, in the journal: without secrets, and with everything that ids are made of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forwarder import Record, Source
from forwarder.app.registry import available_sources, make_source
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapper
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.remembering import without_secrets
from forwarder.pipeline.rules import Rules
from forwarder.tail.compression import plain_bytes
from forwarder.testing.contents import content_records
from forwarder.testing.sources import records

PLUGINS = Path(__file__).parent.parent / "plugins"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
REDACTOR = Redactor(Rules.load_builtin())
encode = msgspec.msgpack.encode


def scrubbed(state: object) -> object:
    """What comes back of a state from the journal."""
    return msgspec.msgpack.decode(without_secrets(encode(state), REDACTOR.secretless))


def test_secrets_are_gone_from_every_depth_and_nothing_else_is() -> None:
    """Also where a secret is a key."""
    state = {"open": {"call_1": ["Bash", "echo jo@example.org"], "jo@example.org": None}, "turn": 3, "at": 1.5}

    assert scrubbed(state) == {
        "open": {"call_1": ["Bash", "echo [REDACTED]"], "[REDACTED]": None},
        "turn": 3,
        "at": 1.5,
    }


def test_a_state_without_secrets_keeps_its_bytes() -> None:
    """Which is what nearly all states are."""
    state = encode({"open": {"call_1": ["Bash", "ls"]}, "id": "toolu_01A09q90qw90lq917835lq9"})

    assert without_secrets(state, REDACTOR.secretless) is state


def mapper_of(source: Source[Any], path: Path) -> Mapper:
    encoder = Encoder(host="h", level=Level.NONE, redactor=REDACTOR, prices=None, key=b"k")
    return Mapper(source, name="s", path=path, encoder=encoder, redactor=REDACTOR, level=Level.NONE, now=lambda: NOW)


def recorded(name: str, source: Source[Any]) -> Iterator[tuple[Path, list[Record]]]:
    """The files of an agent's samples; of heartbeats what each held."""
    for path in sorted((PLUGINS / name / "samples").rglob("*")):
        if path.is_file() and (path.parent.name == "instances" or source.recognises(path)):
            with path.open("rb") as file:
                content = plain_bytes(file, path)[0].read()
            yield path, content_records([content]) if source.is_whole(path) else records(content)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("claude_code", 800), ("codex", 1000), ("pi", 400)])
def test_scrubbing_changes_no_state_of_any_sample(name: str, least: int) -> None:
    """An id that looks like a secret and is scrubbed would make other ids of events after a restart."""
    source, states = make_source(available_sources()[name]), 0
    changed: set[str] = set()
    for path, lines in recorded(name, source):
        mapper = mapper_of(source, path)
        for line in lines:
            mapper.map([line])
            states += 1
            state = mapper._snapshot()  # pyright: ignore[reportPrivateUsage]
            if mapper.state() != state:
                changed.add(f"{path.name}, byte {line.offset}")

    assert states > least
    assert changed == set()
