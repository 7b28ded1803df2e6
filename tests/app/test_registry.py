"""Entry points into sources and sinks."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from forwarder import ConfigError, MissingExtra
from forwarder.app.access import ReceiverSettings
from forwarder.app.config import SinkSettings, SourceSettings
from forwarder.app.looking.listing import plugin_lines
from forwarder.app.registry import (
    RECEIVERS,
    SINKS,
    SOURCES,
    available_sources,
    installed,
    make_receiver,
    make_sink,
    make_source,
)
from forwarder.pipeline.redaction import Level

Install = Callable[[str, str, str], None]

SINK = '''"""Says everything aloud."""
from dataclasses import dataclass
from forwarder import ConfigError, Sink

@dataclass
class Plugin(Sink):
    voice: str = "alto"

    def __post_init__(self):
        if self.voice == "none":
            raise ConfigError("voice must be heard")

    async def send(self, batch): ...
'''

SOURCE = '''"""Sessions of the Acme agent."""
from dataclasses import dataclass
from typing import ClassVar
from forwarder import Source

@dataclass(frozen=True)
class Plugin(Source[dict]):
    environment: ClassVar[dict[str, str]] = {"home": "ACME_HOME"}
    home: str = "~/.acme"

    def patterns(self):
        return [self.home + "/*.jsonl"]

    def new_state(self, path):
        return {}

    def map(self, record, state):
        yield from ()
'''

RECEIVER = '''"""What Acme posts."""
from dataclasses import dataclass
from typing import ClassVar
from forwarder import Receiver, Serving

@dataclass
class Plugin(Receiver):
    environment: ClassVar[dict[str, str]] = {"home": "ACME_HOME"}
    home: str = "~/.acme"

    def serving(self):
        return Serving("127.0.0.1:0")

    def routes(self):
        return []
'''


def sink(use: str, **options: object) -> SinkSettings:
    return SinkSettings("team", use, Level.PREVIEW, options=dict(options), place="config.toml, [sinks.team]")


def source(use: str, **options: object) -> SourceSettings:
    return SourceSettings("mine", use, dict(options), place="config.toml, [sources.mine]")


def test_a_third_partys_plugin_is_made_from_its_table(install: Install) -> None:
    """Our own plugins have no door that a stranger's has not."""
    install(SINKS, "aloud", SINK)

    made = make_sink(sink("aloud", voice="bass"))

    assert (type(made).__module__, vars(made)) == ("third_aloud", {"voice": "bass"})


def test_only_what_is_named_is_imported(install: Install) -> None:
    """A plugin that nobody uses costs no time and can break nothing."""
    install(SINKS, "aloud", SINK)
    install(SINKS, "unused", "raise SystemError")

    make_sink(sink("aloud"))

    assert "third_aloud" in sys.modules
    assert "third_unused" not in sys.modules


def test_the_agents_own_variable_is_an_options_default(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who moved the agent's home has told the agent, and need not tell us; what he tells us counts more."""
    install(SOURCES, "acme", SOURCE)
    monkeypatch.setenv("ACME_HOME", "/moved")

    assert make_source(source("acme")).patterns() == ["/moved/*.jsonl"]
    assert make_source(source("acme", home="/here")).patterns() == ["/here/*.jsonl"]


def test_a_program_that_a_receiver_stands_in_for_has_variables_too(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the table says comes first."""
    install(RECEIVERS, "acme", RECEIVER)
    monkeypatch.setenv("ACME_HOME", "/moved")
    told = ReceiverSettings("mine", "acme", options={"home": "/here"})

    assert vars(make_receiver(ReceiverSettings("mine", "acme"))) == {"home": "/moved"}
    assert vars(make_receiver(told)) == {"home": "/here"}


def test_an_unknown_plugin_names_those_that_are_installed(install: Install) -> None:
    """A typing error is told from a missing package."""
    install(SINKS, "aloud", SINK)

    with pytest.raises(ConfigError, match=r'\[sinks.team\]: no sink "alout" is installed, did you mean "aloud"\?'):
        make_sink(sink("alout"))
    with pytest.raises(ConfigError, match=r'no source "zzz" is installed; known are .*codex'):
        make_source(source("zzz"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import not_there", "cannot be loaded: ModuleNotFoundError: No module named 'not_there'"),
        ("x = ", "cannot be loaded: SyntaxError"),
        ("class Plugin: pass", "is no Sink, or no dataclass"),
        (SINK.replace("voice: str", "voice: 'NotThere'"), "NameError: name 'NotThere' is not defined"),
        ("from forwarder import MissingExtra\nraise MissingExtra('aloud', extra='voice')", "agent-forwarder[voice]"),
    ],
)
def test_a_broken_plugin_is_named_with_its_reason(install: Install, code: str, words: str) -> None:
    """Configured it is an error, listed it is a line; the other plugins work."""
    install(SINKS, "broken", code)

    with pytest.raises(ConfigError) as caught:
        make_sink(sink("broken"))
    listed = {one.name: one.problem for one in installed(SINKS)}
    assert words in str(caught.value)
    assert words in str(listed.pop("broken"))
    assert set(listed.values()) == {None}


def test_what_a_plugin_says_about_its_options_names_the_table(install: Install) -> None:
    """The plugin does not know what the user called it."""
    install(SINKS, "aloud", SINK)

    with pytest.raises(ConfigError, match=r"config.toml, \[sinks.team\]: voice must be heard"):
        make_sink(sink("aloud", voice="none"))


def test_a_missing_extra_keeps_its_advice(install: Install) -> None:
    """Which extra to install is the one thing that the user wants to know."""
    install(
        SINKS,
        "aloud",
        SINK.replace("raise ConfigError(", "raise MissingExtra(extra='voice', what=").replace(
            "ConfigError, Sink", "MissingExtra, Sink"
        ),
    )

    with pytest.raises(MissingExtra) as caught:
        make_sink(sink("aloud", voice="none"))
    assert caught.value.extra == "voice"


def test_sources_that_nobody_configured_are_those_that_work(install: Install) -> None:
    """Without a configuration a broken plugin, or one that cannot do without options, is passed over."""
    install(SOURCES, "acme", SOURCE)
    install(SOURCES, "broken", "import not_there")
    install(SOURCES, "choosy", SOURCE.replace('home: str = "~/.acme"', "home: str"))

    found = available_sources()

    assert found["acme"].use == "acme"
    assert not {"broken", "choosy"} & set(found)


def test_plugins_are_listed_with_options_types_and_defaults(install: Install) -> None:
    """`forwarder plugins` is the reference of what can be configured here."""
    install(SINKS, "aloud", SINK)
    install(SOURCES, "acme", SOURCE)
    install(SINKS, "broken", "import not_there")

    text = "\n".join(plugin_lines())

    assert '  aloud  (third-aloud 1.2)  Says everything aloud.\n      voice: text; "alto"' in text
    assert '      home: text; "~/.acme" (or $ACME_HOME)' in text
    assert "  broken  (third-broken 1.2)  BROKEN: " in text
    assert "      url: text; required" in text
