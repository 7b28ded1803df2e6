"""What `run` and `replay` are put together from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from forwarder.app import config
from forwarder.app.assembly import loosest, loss_announcer, make_encoder, make_redactor, transform_for
from forwarder.app.config import RuleSettings, Settings, SinkSettings
from forwarder.pipeline.redaction import Level
from forwarder.testing import ManualClock

TOKEN = "gh" + "p_" + "Zc9PLKFpZ9ZppcOwxvb69S5AWOyevJFt3ww4"
PROMPT = b'{"id":"%s","type":"prompt","time":"2026-11-21T01:12:22.418Z","agent":"acme","text":"%s"}'


def settings(tmp_path: Path) -> Settings:
    return replace(config.load(is_ignored=True, state_dir=tmp_path), host="here")


def test_the_journal_holds_what_the_least_strict_sink_needs() -> None:
    """And not more: a journal is a file too."""
    sinks = [SinkSettings("a", use="x", level=Level.FULL), SinkSettings("b", use="x", level=Level.PREVIEW)]

    assert (loosest(sinks), loosest([])) == (Level.PREVIEW, Level.FULL)


def test_a_rule_and_an_exception_of_the_user_count(tmp_path: Path) -> None:
    """Both are written in the configuration file, the exception also holds for the built-in rules."""
    own: dict[str, object] = {"id": "badge", "regex": "BADGE-[0-9]{6}", "keywords": ["badge-"]}
    rules = RuleSettings(rules=(own,), allow=("^ghp_Zc9",))
    redactor = make_redactor(replace(settings(tmp_path), rules=rules))

    assert redactor.scrub(f"my BADGE-123456 and {TOKEN}") == f"my [REDACTED] and {TOKEN}"


def test_a_rule_file_named_in_the_configuration_counts(tmp_path: Path) -> None:
    """In gitleaks' format, beside the built-in rules."""
    file = tmp_path / "rules.toml"
    file.write_text('[[rules]]\nid = "badge"\nregex = "BADGE-[0-9]{6}"\nkeywords = ["badge-"]\n')
    redactor = make_redactor(replace(settings(tmp_path), rules=RuleSettings(files=(file,))))

    assert redactor.scrub(f"my BADGE-123456 and {TOKEN}") == "my [REDACTED] and [REDACTED]"


def test_a_stricter_sink_gets_a_stricter_copy_under_its_own_names(tmp_path: Path) -> None:
    """Its level and its schema are applied on the way out, in this order; the id stays where sinks look for it."""
    sink = SinkSettings("team", use="x", level=Level.FULL, rename={"agent": "tool"})
    transform = transform_for(sink, Level.PREVIEW, make_redactor(settings(tmp_path)))
    line = PROMPT % (b"0" * 32, b"hello")

    assert transform is not None
    assert json.loads(transform(line)) == {
        "id": "0" * 32,
        "type": "prompt",
        "time": "2026-11-21T01:12:22.418Z",
        "tool": "acme",
    }


def test_a_sink_at_the_journals_level_gets_the_lines_as_they_are(tmp_path: Path) -> None:
    """No work, no copy: the bytes were made once."""
    sink = SinkSettings("all", use="x", level=Level.PREVIEW)

    assert transform_for(sink, Level.PREVIEW, make_redactor(settings(tmp_path))) is None


def test_a_loss_has_an_event_of_its_own(tmp_path: Path) -> None:
    """With the number of events, so that a total that is too low can be explained."""
    here = settings(tmp_path)
    clock = ManualClock()
    said = loss_announcer(here, make_encoder(here, make_redactor(here)), clock)(12)
    event = json.loads(said.lines[0])

    assert (event["type"], event["kind"], event["agent"]) == ("notification", "events_given_up", "forwarder")
    assert event["message"].startswith("12 undelivered events")
