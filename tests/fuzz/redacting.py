"""Targets: the redactor on any text, and the loader of rule files."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from random import Random

from forwarder.errors import ConfigError
from forwarder.pipeline.redaction import PREVIEW_CHARS, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.pipeline.shapes import installed_engines
from tests.fuzz.mutation import PLANTED, spoilt
from tests.fuzz.target import Target, require

PIPELINE = Path(__file__).parent.parent / "pipeline"
LONGEST = 6000  # characters of a text: more is only slower


@cache
def redactors() -> dict[str, Redactor]:
    """The built-in rules in every engine that is installed."""
    rules = Rules.load_builtin()
    return {engine: Redactor(rules, engine=engine) for engine in installed_engines()}


@cache
def _texts() -> list[str]:
    """What the tests of the rules hold, both what must go and what must stay."""
    examples = tomllib.loads((PIPELINE / "examples.toml").read_text().replace("¦", ""))["example"]
    vectors = tomllib.loads((PIPELINE / "vectors.toml").read_text().replace("¦", ""))["vector"]
    texts = [text for one in examples for text in (one["text"], one["stays"])]
    return [*texts, *(one["text"] for one in vectors), *PLANTED]


_JOINTS = (
    "",
    " ",
    "\n",
    "\\n",
    '"',
    "'",
    "=",
    ":",
    "%3D",
    "&quot;",
    "\\u0022",
    "é",
    "😀",
    "\0",
    "key = ",
    "\ud800",
    "x" * 400,
)


class RedactorTarget(Target):
    """An input is a text in UTF-8, lone surrogates allowed; what is no such text is read with replacements."""

    name = "redactor"

    def seeds(self) -> list[bytes]:
        return [_encoded(text) for text in _texts()]

    def mutated(self, data: bytes, random: Random) -> bytes:
        for _ in range(random.randrange(1, 4)):
            match random.randrange(4):
                case 0:
                    data = spoilt(data, random)
                case 1:
                    data += _encoded(random.choice(_JOINTS) + random.choice(_texts()))
                case 2:
                    data = _encoded(random.choice(_texts()) + random.choice(_JOINTS)) + data
                case _:
                    at = random.randrange(len(data) + 1)
                    data = data[:at] + _encoded(random.choice(_JOINTS)) + data[at:]
        return data[:LONGEST]

    def check(self, data: bytes) -> None:
        text = _decoded(data)
        found = {name: list(redactor.findings(text)) for name, redactor in redactors().items()}
        first, *others = found
        for other in others:
            require(found[first] == found[other], f"{first} finds {found[first]}, {other} {found[other]}")
        redactor = redactors()[first]
        clean = redactor.scrub(text)
        cut = clean if len(clean) <= PREVIEW_CHARS else clean[:PREVIEW_CHARS] + "…"
        require(redactor.preview(text) == cut, f"the preview is {redactor.preview(text)!r}, cut is {cut!r}")
        require(redactor.name(text) == clean, "a name is cleaned in another way")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


class RulesTarget(Target):
    """An input is a rule file in gitleaks' format."""

    name = "rules"

    def seeds(self) -> list[bytes]:
        whole = (PIPELINE / "gitleaks.toml").read_bytes().replace(b"[extend]", b"[ext]")
        return [whole, *(b"[[rules]]" + piece for piece in whole.split(b"[[rules]]")[1:])]

    def mutated(self, data: bytes, random: Random) -> bytes:
        for _ in range(random.randrange(1, 5)):
            match random.randrange(3):
                case 0:
                    data = spoilt(data, random)
                case 1:
                    data += random.choice(_LINES)
                case _:
                    lines = data.splitlines(keepends=True) or [b""]
                    lines[random.randrange(len(lines))] = random.choice(_LINES)
                    data = b"".join(lines)
        return data

    def check(self, data: bytes) -> None:
        try:
            rules = Rules.from_toml(data, origin="fuzz")
            redactor = Redactor(rules)
        except ConfigError as error:
            require("fuzz" in str(error), f"the complaint does not name the file: {error}")
            return
        for text in (*PLANTED, "key = 'value'", "", "x" * 5000):
            clean = redactor.scrub(text)
            cut = clean if len(clean) <= PREVIEW_CHARS else clean[:PREVIEW_CHARS] + "…"
            require(len(redactor.preview(text)) <= len(cut) + len(text), "a preview that grows")


_LINES = (
    b"[[rules]]\n",
    b'id = "a"\n',
    b'regex = "(a+)+$"\n',
    b"regex = '''(?i)[a-z]{1,1000}(?P<x>secret)'''\n",
    b'regex = "["\n',
    b'regex = ""\n',
    b'regex = "\\\\u0000|\\ud7ff"\n',
    b"regex = 5\n",
    b'regex = "()*"\n',
    b'regex = "(?=a)"\n',
    b'regex = "\\\\b"\n',
    b"regex = '''((((((((((a{1,100}){1,100}){1,100}))))))))'''\n",
    b"entropy = inf\n",
    b"entropy = nan\n",
    b"entropy = -1\n",
    b"secretGroup = 99\n",
    b"secretGroup = -1\n",
    b"secretGroup = 9223372036854775808\n",
    b'keywords = ["", "a", "K\\u212A"]\n',
    b"keywords = [5]\n",
    b'path = "x"\n',
    b"[allowlist]\nregexes = ['''.*''']\n",
    b'[[rules.allowlists]]\nregexTarget = "line"\nregexes = ["a"]\nstopwords = [""]\ncondition = "AND"\n',
    b'[extend]\npath = "nowhere.toml"\n',
    b'[extend]\npath = "\\u0000"\n',
    b"title = " + b"[" * 5000 + b"]" * 5000 + b"\n",
    b"[extend]\nuseDefault = true\n",
    b'[extend]\ndisabledRules = ["a", "github-pat"]\n',
)
