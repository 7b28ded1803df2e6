"""The built-in rules one by one, and rule files in gitleaks' format."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import pytest

from forwarder.errors import ConfigError
from forwarder.pipeline.patterns import Engine
from forwarder.pipeline.redaction import Redactor
from forwarder.pipeline.rules import Rules
from forwarder.pipeline.shapes import installed_engines

HERE = Path(__file__).parent
GLUE = "¦"
BUILTIN = Rules.load_builtin()


class Example(msgspec.Struct):
    """A text that the rule must find, what may not be left of it, and one that looks alike and must stay."""

    rule: str
    text: str
    gone: list[str]
    stays: str


class Examples(msgspec.Struct):
    example: list[Example]


EXAMPLES = msgspec.toml.decode((HERE / "examples.toml").read_text().replace(GLUE, ""), type=Examples).example
ENGINES = installed_engines()


@cache
def redactor(engine: Engine) -> Redactor:
    return Redactor(BUILTIN, engine=engine)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    return chosen


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.rule for example in EXAMPLES])
def test_every_rule_finds_its_example_by_itself(example: Example, engine: Engine) -> None:
    """A rule whose shape or keyword does not fit its own regex would never run, and nobody would notice."""
    only = replace(BUILTIN, rules=tuple(rule for rule in BUILTIN.rules if rule.id == example.rule))

    scrubbed = Redactor(only, engine=engine).scrub(f"it says {example.text} there")

    assert "[REDACTED]" in scrubbed
    assert not [part for part in example.gone if part in scrubbed]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.rule for example in EXAMPLES])
def test_what_looks_alike_stays(example: Example, engine: Engine) -> None:
    """A rule that takes out ordinary words would be switched off by its users; no other rule may take it either."""
    text = f"it says {example.stays} there"

    assert redactor(engine).scrub(text) == text


def test_there_are_rules_for_120_kinds_of_secret() -> None:
    """What a scanner knows is what its users rely on."""
    assert len(BUILTIN.rules) >= 120


def test_every_rule_has_an_example() -> None:
    """A new rule arrives with something that it finds."""
    assert {rule.id for rule in BUILTIN.rules} == {example.rule for example in EXAMPLES}


def test_rule_ids_are_unique_and_all_rules_compile(engine: Engine) -> None:
    """Counts and messages name rules by id; a built-in rule that an engine refuses would be a silent leak."""
    ids = [rule.id for rule in BUILTIN.rules]

    assert len(ids) == len(set(ids))
    assert redactor(engine).problems == ()


FILE = b"""
title = "ours"
[extend]
useDefault = true
[allowlist]
regexes = ['^widget-0+$']
stopwords = ["sample"]
[[rules]]
id = "widget"
description = "Widget keys"
regex = '''(?i)key: (widget-[a-z0-9]{6,})'''
keywords = ["widget"]
[[rules.allowlists]]
regexTarget = "line"
regexes = ['documentation']
[[rules]]
id = "second-group"
regex = '''(zone)=(\\w+)'''
secretGroup = 2
entropy = 2.5
keywords = ["zone"]
[[rules]]
id = "broken"
regex = '''(unclosed'''
[[rules]]
id = "no-such-group"
regex = '''x'''
secretGroup = 3
[[rules]]
id = "negative-group"
regex = '''key'''
secretGroup = -1
[[rules]]
id = "by-name"
path = '''\\.p12$'''
"""


@pytest.fixture
def added(engine: Engine) -> Redactor:
    return Redactor(Rules.from_toml(FILE, origin="ours.toml"), engine=engine)


def test_a_rule_file_replaces_the_first_group(added: Redactor) -> None:
    """As in gitleaks, the secret is the first group that took part in the match."""
    assert added.scrub("key: widget-abc123") == "key: [REDACTED]"


@pytest.mark.parametrize("text", ["key: widget-000000", "key: widget-sample1", "documentation key: widget-abc123"])
def test_allowlists_keep_what_is_no_secret(added: Redactor, text: str) -> None:
    """By the secret, by a stopword in it, by the line around it."""
    assert added.scrub(text) == text


def test_a_secret_group_and_the_least_entropy_are_respected(added: Redactor) -> None:
    """Dull values are no secrets when a rule asks for entropy."""
    assert added.scrub("zone=aaaaaaaaaa zone=q7Xz91Lm") == "zone=aaaaaaaaaa zone=[REDACTED]"


def test_rules_that_cannot_be_used_are_named_and_the_others_work(added: Redactor) -> None:
    """One bad rule costs itself, and the user learns which and why."""
    refused = {"broken", "no-such-group", "negative-group", "by-name", "[extend]"}
    assert {problem.rule for problem in added.problems} == refused
    assert all(problem.origin == "ours.toml" and problem.reason for problem in added.problems)


def test_an_allow_pattern_that_no_engine_takes_is_an_error(engine: Engine) -> None:
    """It belongs to every rule: to name the rules that are not in use would be to leak everything."""
    with pytest.raises(ConfigError, match=r"config\.toml"):
        Redactor(BUILTIN.allowing(["(unclosed"], origin="config.toml"), engine=engine)


def test_rule_sets_add_up(engine: Engine) -> None:
    """The user's rules join the built-in ones, they do not replace them."""
    both = Redactor(BUILTIN + Rules.from_toml(FILE, origin="ours.toml"), engine=engine)

    assert both.scrub("key: widget-abc123 of jo@example.org") == "key: [REDACTED] of [REDACTED]"


@pytest.mark.parametrize("content", [b"[[rules]\n", b"\xff\xfe", b"rules = 3\n", b"[[rules]]\nregex = 'x'\n"])
def test_a_file_that_is_no_rule_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """The message names the file; starting without the user's rules would leak."""
    path = tmp_path / "mine.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"mine\.toml"):
        Rules.from_toml(path)


def test_a_missing_rule_file_is_refused(tmp_path: Path) -> None:
    """A path with a typing error must not mean fewer rules."""
    with pytest.raises(ConfigError, match="nowhere"):
        Rules.from_toml(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    "content",
    [
        b'[extend]\npath = "\\u0000"',
        b"title = " + b"[" * 5000,
        b"title = " + b"9" * 5000,
        b'[extend]\npath = "gone.toml"',
    ],
    ids=["NUL", "nested", "number", "gone"],
)
def test_a_file_that_cannot_be_read_is_named_whatever_is_wrong(content: bytes) -> None:
    """Also when it is one that this file extends: the user knows the one that he wrote down."""
    with pytest.raises(ConfigError, match=r"ours\.toml.*: not a rule file"):
        Rules.from_toml(content, origin="ours.toml")
