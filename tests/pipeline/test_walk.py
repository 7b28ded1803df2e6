"""How much is searched: it grows with the text, whatever the rules and the text are made to do."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.errors import MissingExtra
from forwarder.pipeline.detection import Detector
from forwarder.pipeline.patterns import Match, Pattern, compiler, has_re2
from forwarder.pipeline.redaction import Redactor
from forwarder.pipeline.rules import Allowlist, Rule, Rules
from forwarder.pipeline.shapes import installed_engines
from forwarder.pipeline.walk import LineWalk, WindowWalk, ending, searched, stays_in_line

BUILTIN = {rule.id: rule for rule in Rules.load_builtin().rules}
needs_re2 = pytest.mark.skipif(not has_re2(), reason="google-re2 is not installed")


@dataclass
class Counted:
    """A pattern, and how many bytes it was given to search."""

    pattern: Pattern
    work: list[int]
    groups: int = field(init=False)

    def __post_init__(self) -> None:
        self.groups = self.pattern.groups

    def search(self, data: bytes, pos: int = 0, endpos: int = sys.maxsize) -> Match | None:
        self.work.append(min(endpos, len(data)) - pos)
        return self.pattern.search(data, pos, min(endpos, len(data)))


def searched_bytes(rule: Rule, data: bytes) -> int:
    work: list[int] = []
    compile_pattern = compiler("re2")

    def compile_counted(regex: str, *, captures: bool = True) -> Pattern:
        return Counted(compile_pattern(regex, captures=captures), work)

    detector = Detector(rule, compile_counted)
    for _ in detector.hits(data):
        pass
    return sum(work)


GREEDY = Rule("greedy", "a.*b|a")
HOSTILE = {
    "a look at the rest of the text for every letter": (GREEDY, b"a"),
    "an end that is the end of the text": (Rule("end", r"a[^b]*\z|a"), b"a"),
    "a harmless value that may be a keyword": (Rule("key", "(k)[^=]*=.*", allowlists=(Allowlist(("^k$",)),)), b"k"),
    "an allowlist for lines, and one long line": (
        Rule("line", "k[0-9]", allowlists=(Allowlist(("nothing",), target="line"),)),
        b"k1 k2 ",
    ),
    "an allowlist for matches, and long ones": (
        Rule("match", "(k).*", allowlists=(Allowlist(("nothing",), target="match"),)),
        b"k ",
    ),
    "the built-in rule for passwords": (BUILTIN["password"], b"password: "),
    "the built-in rule for secrets": (BUILTIN["secret"], b"token = "),
    "the built-in rule for keys": (BUILTIN["private-key"], b"-----BEGIN PRIVATE KEY-----"),
    "lines": (BUILTIN["email"], b"a@b.\na@"),
}


@needs_re2
@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_twice_the_text_is_twice_the_work(name: str) -> None:
    """Counted in bytes given to the engine, so that the test needs no quiet machine."""
    rule, piece = HOSTILE[name]
    size = 24_000 // len(piece)

    once, twice = (searched_bytes(rule, piece * (size * times)) for times in (1, 2))

    assert twice <= 2.5 * once


# Texts that have built-in rules go through the same run from many of its characters, when repetitions have no limit.
HOSTILE_TO_RE = [
    "mysql://a:b",
    "://a:b",
    "eyJ",
    "curl ",
    "curl -u",
    "KEY_",
    "A_KEY_TOKEN_",
    "-a",
    "--a-token",
    "abcAZDO",
    "x@a.",
    "\\",
    "&amp;",
    "%25",
    "QUJDREVGR0hJSktM",
    "1/1234567890",
    "password: ",
    "f" * 39 + " ",
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE_TO_RE)
def test_the_built_in_rules_do_not_make_re_hang(piece: str) -> None:
    """It counts no steps, so CPU time must do: four times the text takes four times as long, not sixteen times."""
    redactor = Redactor(Rules.load_builtin(), engine="re")

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        started = time.process_time()
        redactor.scrub(text)
        return time.process_time() - started

    once = min(seconds(25_000) for _ in range(2))

    assert min(seconds(100_000) for _ in range(2)) <= max(9 * once, 0.2)


def test_patterns_of_the_user_need_the_engine_that_cannot_hang() -> None:
    """Without it they are refused, by the name of where they were written and of what to install."""
    rules = Rules.load_builtin().allowing(["(a+)+$"], origin="config.toml, redaction_allow")

    if installed_engines()[0] == "re":
        with pytest.raises(MissingExtra, match=r"config\.toml, redaction_allow.*redact"):
            Redactor(rules)
    else:
        assert Redactor(rules).engine != "re"


def walked(walk: WindowWalk | LineWalk) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    position = 0
    while match := walk.next(position):
        spans.append(match.span())
        position = max(match.span()[1], match.span()[0] + 1)
    return spans


@given(st.lists(st.sampled_from(["key=", "ab", "x", "=", "\n", " ", "é", "key", "y" * 5000]), max_size=30))
def test_looking_at_windows_and_at_lines_finds_what_a_plain_search_finds(pieces: list[str]) -> None:
    """They save work, nothing else."""
    data = "".join(pieces).encode()
    pattern = re.compile(rb"[ab]{0,3}key=\w*")
    expected = [match.span() for match in pattern.finditer(data)]

    assert walked(WindowWalk(pattern, data)) == expected
    assert walked(LineWalk(pattern, searched(re.compile(rb"key="), data), data)) == expected
    ends = [match.end() for match in re.finditer(rb"key=", data)]
    assert walked(LineWalk(pattern, ending(ends), data)) == expected


@pytest.mark.parametrize(
    ("regex", "stays"),
    [
        (r"key=[^\s]+", True),
        (r'(?i)a[^"\\\r\n]{3,}|\\[^\r\n]b.c', True),
        (r"[!-~]+\b\z", True),
        (r"a\sb", False),
        (r"a[\s,]b", False),
        (r"a[^,]b", False),
        (r"(?s)a.b", False),
        (r"(?is:a.b)", False),
        (r"a\x0ab", False),
        (r"a[[:space:]]b", False),
        (r"a\Wb", False),
        ("a\nb", False),
    ],
)
def test_whether_a_pattern_stays_in_its_line(regex: str, stays: bool) -> None:
    """In doubt it does not: a rule that looks only at single lines would miss keys."""
    assert stays_in_line(regex) is stays
