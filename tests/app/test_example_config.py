"""`config.example.toml` shows every option with its default."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from forwarder.app.config import Settings, SinkSettings, load
from forwarder.app.registry import (
    RECEIVERS,
    SINKS,
    SOURCES,
    Plugin,
    installed,
    make_receiver,
    make_sink,
    make_source,
)
from forwarder.app.serving import places_to_be

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
OURS = [one for group in (SOURCES, SINKS, RECEIVERS) for one in installed(group) if one.package == "agent-forwarder"]

# Fields that the file does not name as they are called in Python.
RENAMED = {
    "rules": "redaction_rules",
    "journal": "[journal]",
    "sources": "[sources.",
    "sinks": "[sinks.",
    "level": "redaction",
    "receivers": "[receivers.",
    "server": "[server]",
}
NOT_IN_THE_FILE = {"stdout_format", "key_dir", "path", "name", "options", "place"}


def uncommented() -> str:
    """The file with its examples switched on: `# key = …` and `# [table]` without the mark."""
    return re.sub(r"^# (?=(\w+ = |\[|'))", "", EXAMPLE.read_text(), flags=re.MULTILINE)


def names(plugin: Plugin) -> list[str]:
    return [option.name for option in plugin.options]


def test_the_example_is_a_working_configuration() -> None:
    """Copied as it is, it starts."""
    settings = load(path=EXAMPLE)

    assert all(make_source(one) for one in settings.sources.values())
    assert all(make_sink(one) for one in settings.sinks.values())


def test_what_the_example_sets_are_the_defaults() -> None:
    """A user who deletes a line changes nothing."""
    example, default = load(path=EXAMPLE), load(is_ignored=True)

    assert {one.name for one in fields(Settings) if getattr(example, one.name) != getattr(default, one.name)} == {
        "path",
        "sources",
        "sinks",
    }
    for sink in example.sinks.values():
        plugin = next(one for one in OURS if one.name == sink.use)
        for option in plugin.options:
            assert sink.options.get(option.name, option.default) == option.default


def test_the_commented_options_are_right_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the mark away gets a working line."""
    for name in ("TEAM_TOKEN", "PAI_TOKEN", "METRICS_TOKEN"):
        monkeypatch.setenv(name, "t")
    whole = tmp_path / "config.toml"
    whole.write_text(uncommented())
    settings = load(path=whole)

    assert settings.host == "workstation"
    assert [rule["id"] for rule in settings.rules.rules] == ["acme-token"]
    assert make_sink(settings.sinks["team"])
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".pi" / "daemon").mkdir(parents=True)
    (tmp_path / ".pi" / "daemon" / "config.json").write_text("{}")
    receivers = {name: make_receiver(one) for name, one in settings.receivers.items()}
    assert len(places_to_be(settings, receivers)) == len(receivers) + 1


def test_every_setting_occurs_in_the_example() -> None:
    """An option that is not in the file is not found by anybody."""
    text = uncommented()
    wanted = {one.name for kind in (Settings, SinkSettings) for one in fields(kind)} - NOT_IN_THE_FILE

    assert [name for name in sorted(wanted) if RENAMED.get(name, f"\n{name} = ") not in text] == []


@pytest.mark.parametrize("plugin", OURS, ids=lambda plugin: plugin.name)
def test_every_option_of_our_plugins_occurs_in_the_example(plugin: Plugin) -> None:
    """Its table lists all that it takes; a plugin without a table there lacks every option."""
    document = tomllib.loads(uncommented())
    tables = document[plugin.group.partition(".")[2]].items()
    listed = {key for name, values in tables if values.get("use", name) == plugin.name for key in values}

    assert [name for name in names(plugin) if name not in listed] == []
