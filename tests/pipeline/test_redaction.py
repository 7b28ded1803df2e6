"""What is taken out of texts, at which level, and that a preview shows nothing that scrubbing hides."""

from base64 import b64encode
from itertools import chain
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarder.pipeline.patterns import Engine
from forwarder.pipeline.redaction import PREVIEW_CHARS, Finding, Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.pipeline.shapes import installed_engines

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "plugins"
ENGINES = installed_engines()
REDACTORS = {engine: Redactor(Rules.load_builtin(), engine=engine) for engine in ENGINES}
KEY = "sk-" + "abc123456789012345678"


class Vector(msgspec.Struct):
    """A text, and what scrubbing makes of it when it does not stay as it is."""

    id: str
    text: str
    becomes: str | None = None


class Vectors(msgspec.Struct):
    vector: list[Vector]


VECTORS = msgspec.toml.decode((HERE / "vectors.toml").read_text().replace("¦", ""), type=Vectors).vector


@pytest.fixture(params=ENGINES)
def redactor(request: pytest.FixtureRequest) -> Redactor:
    return REDACTORS[request.param]


def cut(text: str) -> str:
    return text if len(text) <= PREVIEW_CHARS else text[:PREVIEW_CHARS] + "…"


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.id for vector in VECTORS])
def test_scrubbing_takes_out_secrets_and_nothing_else(redactor: Redactor, vector: Vector) -> None:
    """AIr's golden vectors, everything AIr leaks, escapes, places where secrets stand, and what must stay readable."""
    assert redactor.scrub(vector.text) == (vector.text if vector.becomes is None else vector.becomes)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.id for vector in VECTORS])
def test_scrubbing_twice_changes_nothing(redactor: Redactor, vector: Vector) -> None:
    """A text may pass twice: into the journal, and on its way to a stricter sink."""
    once = redactor.scrub(vector.text)

    assert redactor.scrub(once) == once


def test_a_secret_that_crosses_the_cut_is_gone(redactor: Redactor) -> None:
    """Scrub, then cut: cut first and half a key no longer looks like one."""
    shown = redactor.preview("x" * 40 + " " + KEY + " tail")

    assert shown == "x" * 40 + " [REDACTED…"


@pytest.mark.parametrize("secret", [KEY, "jo.doe@example.org"])
@pytest.mark.parametrize("before", [32, 40, 46, 49])
def test_leak_whatever_crosses_character_50(redactor: Redactor, secret: str, before: int) -> None:
    """AIr shows the first half of it: its cut comes first."""
    text = "x" * (before - 1) + " " + secret + " tail"

    assert redactor.preview(text) == cut("x" * (before - 1) + " [REDACTED] tail")


def test_a_preview_never_splits_a_character(redactor: Redactor) -> None:
    """The forty-ninth of AIr's vectors: a cut between two halves of an emoji."""
    assert redactor.preview("x" * 49 + "😀" + "tail") == "x" * 49 + "😀" + "…"


def test_a_lone_surrogate_passes(redactor: Redactor) -> None:
    """Such texts exist; losing the event over one would be worse than showing it."""
    assert redactor.scrub(f"\ud800 {KEY}") == "\ud800 [REDACTED]"


def test_a_preview_looks_past_a_long_key(redactor: Redactor) -> None:
    """A key block longer than the window hides itself only, when its end is somewhere later."""
    body = "\n".join(["A1b2" * 16] * 200)
    text = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY----- and more"

    assert redactor.preview(text) == "[REDACTED] and more"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (Level.FULL, None),
        (Level.PREVIEW, cut("[REDACTED] " + "y" * 60)),
        (Level.NONE, "[REDACTED] " + "y" * 60),
        (Level.RAW, f"{KEY} " + "y" * 60),
    ],
)
def test_levels(redactor: Redactor, level: Level, shown: str | None) -> None:
    """From nothing at all to the text as it is."""
    assert redactor.content(f"{KEY} " + "y" * 60, level) == shown


def test_names_are_scrubbed_but_never_cut(redactor: Redactor) -> None:
    """A folder or branch may hold a secret; cut, it would no longer name the thing."""
    assert redactor.name("/home/dev/jo@example.org/" + "a" * 80) == "/home/dev/[REDACTED]/" + "a" * 80


def test_findings_tell_rule_and_place_in_characters(redactor: Redactor) -> None:
    """`forwarder redact` shows where, never what."""
    text = f"größe 😀 {KEY} jo@example.org"

    found = list(redactor.findings(text))

    assert [text[start:end] for _, start, end in found] == [KEY, "jo@example.org"]
    assert found[1] == Finding("email", 33, 47)


def test_findings_are_counted_by_rule() -> None:
    """The self-metrics show which rules are at work."""
    redactor = Redactor(Rules.load_builtin())

    redactor.scrub("jo@example.org al@example.org")

    assert redactor.counts == {"email": 2}


HOSTILE = [
    "a@",
    "a.",
    "=",
    "key=",
    "password: ",
    '\\"',
    "://a:b",
    "-----BEGIN PRIVATE KEY-----",
    "0123456789abcdef",
    "eyJ",
    "curl ",
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_text_made_to_keep_the_rules_busy_ends(piece: str) -> None:
    """Work that grows with the square of a text would let one line stop the forwarder."""
    text = piece * (300_000 // len(piece))

    redactor = REDACTORS[ENGINES[0]]
    redactor.scrub(text)

    assert len(redactor.preview(text)) <= PREVIEW_CHARS + 1


SECRETS = st.sampled_from(
    [
        KEY,
        "jo@example.org",
        "DB_PASSWORD=hunter22",
        '"password": "hun ter 22"',
        "postgres://u:p@h/db",
        "https://user:" + "p" * 300 + "@host/x",
        "Authorization: Bearer " + "Zx81" * 9,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\n" + ("A1b2" * 16 + "\n") * 20,
        "1d4965071e9c60b492bfe6cc5e4ced7f1e305ce2",
        "commit 1d4965071e9c60b492bfe6cc5e4ced7f1e305ce2",
        "jo\\u0040example.org",
        "jo&#x0040;example.org",
        "".join(f"%{ord(one):02x}" for one in "Authorization: Bearer " + "Zx81" * 9),
        b64encode(b"x" * 100 + b" password: hunter22 " + b"y" * 100).decode(),
        b64encode(b"\n".join([b"A=1", b"DB_PASSWORD=hunter22"] * 30)).decode(),
        "Cookie: a=bcdefg; " + "b=cdefgh; " * 40,
        "ey" + "J" + "a1B2" * 200 + ".ey" + "J" + "c3D4" * 20 + ".sig",
        "password: größe7",
    ]
)
FILLERS = st.one_of(
    st.text(max_size=60),
    st.integers(0, 500).map(lambda n: "x" * n),
    st.integers(0, 120).map(lambda n: "word " * n),
    st.integers(0, 200).map(lambda n: "é" * n),
    st.sampled_from(["\n", " ", '"', "\\", "=", ": ", "…", "😀", "\\n", '{"a":"', "token = "]),
)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(st.one_of(FILLERS, SECRETS), max_size=8))
def test_a_preview_is_the_cut_of_the_scrubbed_text(pieces: list[str]) -> None:
    """Looking only at a window is an optimisation: nobody may be able to tell."""
    text = "".join(pieces)

    for redactor in REDACTORS.values():
        assert redactor.preview(text) == cut(redactor.scrub(text))


@pytest.mark.slow
@pytest.mark.parametrize(
    "secret", [KEY, "DB_PASSWORD=hunter22", "jo@example.org", "https://user:" + "p" * 300 + "@host/x"]
)
@pytest.mark.parametrize("filler", ["w ", "wordé ", "x"])
def test_no_place_of_a_secret_makes_a_preview_differ(secret: str, filler: str) -> None:
    """At every place around the cut and around the edge of the window."""
    redactor = REDACTORS[ENGINES[0]]
    for before in [*range(60), *range(110, 140), *range(360, 400)]:
        text = (filler * before)[:before] + " " + secret + " " + filler * 400

        assert redactor.preview(text) == cut(redactor.scrub(text))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.one_of(FILLERS, SECRETS), max_size=6))
def test_both_engines_find_the_same(pieces: list[str]) -> None:
    """Without the extra `redact` things are slower, not laxer."""
    text = "".join(pieces)

    assert len({REDACTORS[engine].scrub(text) for engine in ENGINES}) == 1


def recorded_texts() -> list[str]:
    """Everything that the samples of all agents say, each line once, 50 lines a text."""
    files = sorted(path for path in SAMPLES.glob("*/samples/**/*") if path.suffix in (".jsonl", ".json", ".txt"))
    lines = list(dict.fromkeys(chain.from_iterable(path.read_text(errors="replace").splitlines() for path in files)))
    return ["\n".join(lines[start : start + 50]) for start in range(0, len(lines), 50)]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES[1:])
def test_every_engine_finds_the_same_in_what_agents_wrote(engine: Engine) -> None:
    """Rule for rule and place for place; `re` takes 6 seconds for all of it and gets an eighth."""
    texts = recorded_texts()[:: 8 if engine == "re" else 1]

    findings = {name: [list(REDACTORS[name].findings(text)) for text in texts] for name in (ENGINES[0], engine)}

    assert sum(map(len, findings[engine])) > 50
    assert findings[engine] == findings[ENGINES[0]]
