"""The TOML file into typed settings, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from forwarder.app.config import JournalSettings, SinkSettings, load
from forwarder.errors import ConfigError
from forwarder.pipeline.redaction import Level


@pytest.fixture
def write(tmp_path: Path) -> Path:
    """Where the test's configuration goes."""
    return tmp_path / "config.toml"


def complaint(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path=path)
    return str(caught.value)


def test_without_a_file_everything_has_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`forwarder run` works on a machine where nobody ever configured anything."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = load(is_ignored=True)

    assert settings.path is None
    assert settings.sources == {}
    assert settings.sinks == {
        "stdout": SinkSettings("stdout", "stdout", Level.PREVIEW, place="command line, [sinks.stdout]")
    }
    assert settings.journal == JournalSettings(1 << 30, 7 * 86400.0, 180 * 86400.0, "wait")
    assert (settings.redaction, settings.start, settings.drain_seconds) == (Level.PREVIEW, 86400.0, 10.0)
    assert settings.host


def test_every_part_of_a_file_is_read(write: Path) -> None:
    """What the user wrote is what runs, in the units that the engine counts in."""
    write.write_text("""
        redaction = "none"
        start = "all"
        host = "box"
        max_line_bytes = "1MiB"
        drain_seconds = "1m"
        state_dir = "state"
        redaction_rule_files = ["rules.toml"]
        redaction_allow = ["EXAMPLE"]
        [[redaction_rules]]
        id = "acme"
        regex = "acme_[0-9]+"
        [journal]
        max_bytes = "2 GiB"
        keep = "1d"
        on_full = "drop"
        [sources.mine]
        use = "acme"
        root = "/srv"
        [sinks.team]
        use = "post"
        url = "https://example.com"
        types = ["token_usage"]
        agents = ["acme"]
        projects = ["~/code/*"]
        redaction = "full"
        rename = { session_id = "conversation" }
        batch_events = 10
        batch_bytes = "64KiB"
        batch_wait_seconds = 0.5
    """)
    settings = load(path=write)

    team = settings.sinks["team"]
    assert settings.path == write
    assert settings.state_dir == write.parent / "state"
    assert (settings.host, settings.start, settings.max_line_bytes, settings.drain_seconds) == (
        "box",
        "all",
        1 << 20,
        60.0,
    )
    assert settings.rules.files == (write.parent / "rules.toml",)
    assert settings.rules.rules == ({"id": "acme", "regex": "acme_[0-9]+"},)
    assert settings.rules.allow == ("EXAMPLE",)
    assert (settings.journal.max_bytes, settings.journal.keep_seconds) == (2 << 30, 86400.0)
    assert settings.journal.on_full == "drop"
    assert (settings.sources["mine"].use, settings.sources["mine"].options) == ("acme", {"root": "/srv"})
    assert (team.use, team.level, team.options) == ("post", Level.FULL, {"url": "https://example.com"})
    assert (team.types, team.agents, team.projects) == (("token_usage",), ("acme",), ("~/code/*",))
    assert team.rename == {"session_id": "conversation"}
    assert (team.batch_events, team.batch_bytes, team.batch_wait_seconds) == (10, 65536, 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("redacton = 'full'", 'config.toml: unknown option "redacton", did you mean "redaction"?'),
        ("redaction = 'ful'", 'config.toml: redaction is "ful", did you mean "full"?'),
        ("zzz = 1", 'config.toml: unknown option "zzz"; known are drain_seconds'),
        ("[journal]\nmax_byte = 1", 'config.toml, [journal]: unknown option "max_byte", did you mean "max_bytes"?'),
        ("[journal]\nkeep = 'soon'", 'config.toml, [journal]: keep wants a time such as "24h"'),
        ("[journal]\nmax_bytes = 1000", "config.toml, [journal]: max_bytes wants at least 1MiB"),
        ("[sinks]\nteam = 1", "config.toml: sinks.team wants a table: write [sinks.team]"),
        ("sinks = 1", "config.toml: sinks wants a table, not a whole number"),
        ("[sinks.a]\ntypes = ['token_usages']", '[sinks.a]: types names "token_usages", did you mean "token_usage"?'),
        ("[sinks.a]\nbatch_events = 0", "[sinks.a]: batch_events wants at least 1, not 0"),
        ("[sinks.a]\nbatch_events = true", "[sinks.a]: batch_events wants a whole number, not true or false"),
        ("[sinks.a]\nscrub = false", '[sinks.a]: scrub = false stands only beside redaction = "none"'),
        ("[sinks.a]\nrename = { a = 1 }", "[sinks.a]: rename wants text, not a whole number"),
        ("sweep_seconds = 0", "config.toml: sweep_seconds wants at least 0.1 seconds"),
        ("max_line_bytes = 1", "config.toml: max_line_bytes wants at least 4KiB"),
        ("[sinks.a]\nbatch_bytes = 0", "[sinks.a]: batch_bytes wants at least 1 byte"),
        ("state_dir = '~nobody-at-all/x'", 'state_dir names a home that does not exist: "~nobody-at-all/x"'),
        ("a = \n", "config.toml: not TOML: Invalid value (at line 1"),
        (f"a = {'9' * 5000}", "config.toml: not TOML: Exceeds the limit"),
        (f"a = {'[' * 5000}", "config.toml: lists or tables are nested too deeply in each other"),
        ('state_dir = "a\\u0000b"', "config.toml: state_dir has a NUL character, which no path can have"),
        ("[[redaction_rules]]\n[sinks.a]\nagents = [1]", "[sinks.a]: agents wants text, not a whole number"),
    ],
)
def test_a_complaint_names_file_table_and_key(write: Path, text: str, words: str) -> None:
    """Whoever reads the message need not open the documentation to mend the file."""
    assert words in complaint(write, text)


def test_a_missing_file_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    """Falling back to the defaults would send a user's data where he did not want it."""
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*gone\.toml: No such file"):
        load(path=tmp_path / "gone.toml")


def test_a_file_that_is_not_utf8_is_an_error(write: Path) -> None:
    """The place of the first wrong byte is said, not a traceback."""
    write.write_bytes(b'host = "caf\xe9"')

    with pytest.raises(ConfigError, match=r"config.toml: not UTF-8 at byte 11"):
        load(path=write)


def test_the_environment_names_the_file(write: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service manager sets a variable more easily than an argument."""
    write.write_text('host = "from the variable"')
    monkeypatch.setenv("FORWARDER_CONFIG", str(write))

    assert load().host == "from the variable"


def test_the_users_folder_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file at the documented place is used without being named, and its absence is no error."""
    monkeypatch.delenv("FORWARDER_CONFIG", raising=False)
    monkeypatch.setattr("platformdirs.user_config_path", tmp_path.joinpath)
    before = load().path
    (tmp_path / "forwarder").mkdir()
    (tmp_path / "forwarder" / "config.toml").write_text('host = "mine"')

    assert (before, load().host) == (None, "mine")


LEVELS = """
    redaction = "none"
    scrub = false
    [sinks.inherits]
    [sinks.strict]
    redaction = "full"
    [sinks.scrubs]
    scrub = true
"""


def test_a_sinks_level_combines_its_own_words_with_the_default(write: Path) -> None:
    """`scrub = false` reaches exactly the sinks that neither scrub nor ask for less text."""
    write.write_text(LEVELS)
    settings = load(path=write)

    assert settings.redaction is Level.RAW
    assert not settings.scrub
    assert {name: one.level for name, one in settings.sinks.items()} == {
        "inherits": Level.RAW,
        "strict": Level.FULL,
        "scrubs": Level.NONE,
    }


def test_the_command_line_only_makes_a_sink_stricter(write: Path) -> None:
    """`--redaction none` must not send what the file keeps back, `--redaction preview` must hold for every sink."""
    write.write_text(LEVELS)

    levels = {
        given: [one.level for one in load(path=write, redaction=given).sinks.values()] for given in ("preview", "none")
    }
    assert levels == {
        "preview": [Level.PREVIEW, Level.FULL, Level.PREVIEW],
        "none": [Level.NONE, Level.FULL, Level.NONE],
    }


def test_the_command_line_moves_the_state_folder(write: Path, tmp_path: Path) -> None:
    """A second instance beside the first needs a folder of its own, not a second file."""
    write.write_text('state_dir = "/elsewhere"')

    assert load(path=write, state_dir=tmp_path).state_dir == tmp_path


def test_the_format_of_standard_output_can_be_chosen_for_one_run(tmp_path: Path) -> None:
    """`--format` goes before the file, holds without one, and leaves other sinks alone."""
    path = tmp_path / "config.toml"
    path.write_text('[sinks.screen]\nuse = "stdout"\nformat = "json"\n[sinks.kept]\nuse = "jsonl"\npath = "x"\n')
    settings = load(path=path).with_format("pretty")

    assert settings.sinks["screen"].options == {"format": "pretty"}
    assert settings.sinks["kept"].options == {"path": "x"}
    assert settings.on_stdout("stdout").options == {"format": "pretty"}
