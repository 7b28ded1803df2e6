"""`secret_found`: which secret was where, by a keyed fingerprint and never by its value."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forwarder import CoveredUsage, Prompt, Record, Session, Source
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapper
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules

NOW = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
TOKEN = "gh" + "p_0123456789abcdefghijABCDEFGHIJ012345"
RULES = Rules.load_builtin()


@dataclass(frozen=True)
class Notes(Source[Session]):
    """One prompt for each line."""

    cwd: str = "/srv"

    def patterns(self) -> list[str]:
        return ["/acme/*"]

    def new_state(self, path: Path) -> Session:
        return Session(agent="acme", id=path.stem, cwd=self.cwd)

    def map(self, record: Record, state: Session) -> Iterator[Prompt]:
        key = (state.id, record.offset)
        text = record.line.decode()
        yield Prompt(key=key, time=NOW, session=state, turn=2, bytes=1, chars=1, sha256="0", text=text)


def mapped(
    *texts: str,
    session: str = "s1",
    level: Level = Level.NONE,
    key: bytes | None = b"k",
    source: Notes = Notes(),
) -> list[dict[str, Any]]:
    """What the journal would hold: of equal facts the first."""
    redactor = Redactor(RULES)
    encoder = Encoder(host="mac", level=level, redactor=redactor, prices=None, key=key)
    mapper = Mapper(
        source,
        name="acme",
        path=Path(f"/acme/{session}"),
        encoder=encoder,
        redactor=redactor,
        level=level,
        now=lambda: NOW,
    )
    records = [Record(text.encode(), offset, len(text), b"") for offset, text in enumerate(texts)]
    result = mapper.map(records)
    first = dict(zip(reversed(result.facts), reversed(result.lines), strict=True))
    return [json.loads(line) for line in reversed(first.values())]


def found(*texts: str, **how: Any) -> list[dict[str, Any]]:
    return [event for event in mapped(*texts, **how) if event["type"] == "secret_found"]


def test_a_secret_is_told_with_rule_session_and_field() -> None:
    """And with nothing of its value."""
    (event,) = found(f"use {TOKEN} now")

    assert (event["rule"], event["session_id"], event["turn"], event["field"]) == ("github", "s1", 2, "text")
    assert len(event["fingerprint"]) == 16
    assert TOKEN[4:] not in json.dumps(event)


def test_the_same_secret_is_told_once_in_a_session() -> None:
    """However often it is repeated: news, not noise."""
    assert len(found(f"use {TOKEN}", f"again {TOKEN} {TOKEN}", "jo@example.org")) == 2


def test_the_same_secret_has_the_same_fingerprint_in_another_session() -> None:
    """So that one can see where it went."""
    (one,), (other,) = found(TOKEN), found(f"seen: {TOKEN}", session="s2")

    assert one["fingerprint"] == other["fingerprint"]
    assert one["id"] != other["id"]


def test_ids_are_the_same_with_every_key() -> None:
    """A replay elsewhere tells the same facts, and an id gives nobody anything to try values against."""
    assert found(TOKEN)[0]["id"] == found(TOKEN, key=b"x")[0]["id"]


def test_another_key_makes_another_fingerprint() -> None:
    """Nobody without the key can try values."""
    assert found(TOKEN)[0]["fingerprint"] != found(TOKEN, key=b"x")[0]["fingerprint"]


def test_a_secret_in_a_folder_is_told_once() -> None:
    """Names are there at every level, and remembered in an encoded envelope."""
    (event,) = found("hello", "world", level=Level.FULL, source=Notes(cwd=f"/srv/{TOKEN}"))

    assert event["field"] == "cwd"


def test_a_secret_in_a_folder_is_told_by_every_file_that_holds_it() -> None:
    """Whichever is read first, and also if that one is read again: what a file tells is the same every time."""
    session = Session(agent="acme", id="s1", cwd=f"/srv/{TOKEN}")
    encoder = Encoder(host="mac", level=Level.NONE, redactor=Redactor(RULES), prices=None, key=b"k")
    fields: list[list[str | None]] = []
    for number in range(3):
        event = Prompt(key=("s1", number), time=NOW, session=session, bytes=1, chars=1, sha256="0", text="hello")
        encoder.encode(event, b"}")
        fields.append([secret.field for secret in encoder.secrets(event)])

    assert fields == [["cwd"]] * 3


@pytest.mark.parametrize(("level", "count"), [(Level.FULL, 0), (Level.PREVIEW, 1), (Level.NONE, 2), (Level.RAW, 0)])
def test_what_is_looked_at_is_what_the_level_shows(level: Level, count: int) -> None:
    """A preview is searched up to its cut, and nothing is searched where nothing is taken out."""
    assert len(found(f"{TOKEN} " + "x " * 1000 + "jo@example.org", level=level)) == count


def test_what_is_only_remembered_tells_no_secret_of_the_event_before() -> None:
    """An event without a line has nothing taken out of it."""
    session = Session(agent="acme", id="s1")
    encoder = Encoder(host="mac", level=Level.NONE, redactor=Redactor(RULES), prices=None, key=b"k")
    encoder.encode(Prompt(key=("s1", 1), time=NOW, session=session, bytes=1, chars=1, sha256="0", text=TOKEN), b"}")
    covered = CoveredUsage(key=("s1", 2), time=NOW, session=session)
    encoder.encode(covered, b"}")

    assert encoder.secrets(covered) == []


def test_without_a_key_nothing_is_told() -> None:
    """`forwarder egress` shows what an event becomes, not what is found in it."""
    assert found(TOKEN, key=None) == []


@pytest.mark.parametrize(
    ("text", "rule", "same"),
    [
        (f"https://jo:{TOKEN}@git.example.com/x", "github", TOKEN),
        (f'export GITHUB_TOKEN="{TOKEN}"', "github", TOKEN),
        (f"Authorization: Bearer {TOKEN}", "github", TOKEN),
        (f"key: {b64encode(TOKEN.encode()).decode()}", "github", TOKEN),
        ("jo%40example.org", "email", "jo@example.org"),
        ("postgres://jo:hunter22@db.example.com/x", "url-credentials", "redis://jo:hunter22@cache.example.com/0"),
    ],
)
def test_one_secret_is_told_once_and_is_the_same_wherever_it_stands(text: str, rule: str, same: str) -> None:
    """Several rules match a token in a URL; whoever looks for where it went looks for one fingerprint."""
    (here,), (there,) = found(text), found(same)

    assert (here["rule"], here["fingerprint"]) == (rule, there["fingerprint"])


def test_two_secrets_side_by_side_are_told_both() -> None:
    """Also where a rule takes out both as one place."""
    other = "gh" + "p_ABCDEFGHIJ0123456789abcdefghij543210"

    assert len(found(f"Cookie: a={TOKEN}; b={other}")) == 2


def test_what_a_token_says_of_its_owner_is_no_secret_of_its_own() -> None:
    """The address in a JWT is encoded in it; the JWT is told."""
    head, claims = (
        b64encode(part).decode().rstrip("=") for part in (b'{"alg":"HS256"}', b'{"email":"jo@example.org"}')
    )

    assert [event["rule"] for event in found(f"{head}.{claims}.c2lnbmF0dXJlLXNpZ25hdHVyZQ")] == ["jwt"]
