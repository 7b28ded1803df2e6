"""Rule files in gitleaks' format: every feature means what the format says it means."""

from pathlib import Path

import pytest

from forwarder.pipeline.redaction import Redactor
from forwarder.pipeline.rules import Rules
from forwarder.pipeline.shapes import installed_engines

HERE = Path(__file__).parent
RULES = Rules.from_toml(HERE / "gitleaks.toml")
REDACTORS = {engine: Redactor(RULES, engine=engine) for engine in installed_engines()}


@pytest.fixture(params=REDACTORS)
def redactor(request: pytest.FixtureRequest) -> Redactor:
    return REDACTORS[request.param]


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("first: abc-123", "first: [REDACTED]"),
        ("zone=abc zone:def", "zone=[REDACTED] zone:[REDACTED]"),
        ("noise=abcde", "noise=[REDACTED]"),
        ("noise=abcd", "noise=abcd"),  # exactly 2.0 bits are too few
        ("NK123456", "[REDACTED]"),
        ("KE123456", "KE123456"),
        ("KE123456 and, far away, ELSEWHERE", "[REDACTED] and, far away, ELSEWHERE"),
        ("as=fine1 as=dummy as=other", "as=fine1 as=dummy as=[REDACTED]"),
        ("am:abc am=abc", "am:abc am=[REDACTED]"),
        ("al=abc # nothing secret\nal=abc # secret", "al=abc # nothing secret\nal=[REDACTED] # secret"),
        ("ab=xstop ab=xother ab=stop", "ab=xstop ab=[REDACTED] ab=[REDACTED]"),
        ("af=xyz", "af=[REDACTED]"),
        ("ao=STOPPED ao=other", "ao=STOPPED ao=[REDACTED]"),
        ("ol=xyz ol=abc", "ol=xyz ol=[REDACTED]"),
        ("wp=abc", "wp=[REDACTED]"),
        ("first: allowed-everywhere-1", "first: allowed-everywhere-1"),
        ("zone=xSampleValuex", "zone=xSampleValuex"),
        ("be=abc be=xyz", "be=[REDACTED] be=xyz"),
        ("bt=abc bt=xyz", "bt=[REDACTED] bt=xyz"),
        ("bd=abc", "bd=abc"),
    ],
)
def test_a_feature_means_what_the_format_says(redactor: Redactor, text: str, becomes: str) -> None:
    """Groups, entropy, keywords anywhere, allowlists by secret, match, line, word, file and condition, extension."""
    assert redactor.scrub(text) == becomes


def test_what_is_not_in_use_is_named(redactor: Redactor) -> None:
    """With the reason; everything else is in use."""
    assert {problem.rule: problem.reason.split(":")[0] for problem in redactor.problems} == {
        "path-only": "it judges by file name, and texts have none",
        "broken": "the regex engine refuses it",
    }


def test_files_that_extend_each_other_are_no_endless_circle(tmp_path: Path) -> None:
    """The circle is named, the rules work."""
    for name, other in (("a", "b"), ("b", "a")):
        rule = f"[[rules]]\nid = '{name}'\nregex = 'x{name}'\n"
        (tmp_path / f"{name}.toml").write_text(f"[extend]\npath = '{other}.toml'\n{rule}")

    rules = Rules.from_toml(tmp_path / "a.toml")

    assert {rule.id for rule in rules.rules} == {"a", "b"}
    assert [problem.rule for problem in rules.problems] == ["[extend]"]
