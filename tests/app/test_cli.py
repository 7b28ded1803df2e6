"""The command: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forwarder.app.cli import cli
from forwarder.app.config import SinkSettings
from forwarder.app.demo.recording import load
from forwarder.app.exits import Exit
from forwarder.app.replay import folder_name
from forwarder.app.request import ReplayRequest
from forwarder.clock import SystemClock
from forwarder.journal import Cursor, Journal
from forwarder.pipeline.redaction import Level

Install = Callable[[str, str, str], None]
START = datetime(2026, 5, 1, tzinfo=UTC)
PATIENCE = 60.0  # seconds for a process that needs one: a hang fails its own test and not the whole suite
FORWARDER = [sys.executable, "-m", "forwarder"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own configuration, agents or journals takes part."""
    monkeypatch.delenv("FORWARDER_CONFIG", raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "CODEX_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


def invoke(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=given)


def config(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return str(path)


def test_the_command_explains_itself_and_its_exit_statuses() -> None:
    """The real entry point, in a process of its own."""
    done = subprocess.run([*FORWARDER, "--help"], capture_output=True, text=True)

    assert done.returncode == 0
    words = " ".join(done.stdout.split())
    assert all(f"{one.value} {one.meaning}" in words for one in Exit)


@pytest.mark.parametrize("group", [[], ["journal"], ["dead-letters"]])
def test_the_help_fits_a_terminal_of_80_columns(group: list[str]) -> None:
    """No line is wrapped by the terminal, and none of the commands is explained by half a sentence."""
    usage, *lines = invoke(*group, "--help").stdout.splitlines()

    assert usage.endswith("COMMAND [ARGS]...")
    assert [line for line in lines if len(line) >= 80 or line.endswith("...")] == []


def test_help_imports_nothing_that_costs_time() -> None:
    """100 ms for the whole process is what a person takes for at once."""
    code = "import sys, forwarder.app.cli; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split())

    assert not loaded & {"asyncio", "rich", "structlog", "httpx", "sqlite3", "watchfiles", "platformdirs", "tomllib"}


def test_a_wrong_argument_is_a_usage_error() -> None:
    """As with every Unix tool."""
    assert invoke("run", "--nonsense").exit_code == Exit.USAGE
    assert invoke("replay", "--since", "yesterday", ".").exit_code == Exit.USAGE
    assert invoke("replay", "--speed", "0x", ".").exit_code == Exit.USAGE
    assert invoke("check", "--config", "x", "--no-config").exit_code == Exit.USAGE


def test_a_wrong_configuration_is_one_line_and_a_usage_error(tmp_path: Path) -> None:
    """No traceback: the message says where to look."""
    done = invoke("run", "--config", config(tmp_path, "redacton = 1"))

    assert done.exit_code == Exit.USAGE
    assert done.stderr == 'forwarder: config.toml: unknown option "redacton", did you mean "redaction"?\n'
    assert done.stdout == ""


def test_an_error_message_is_scrubbed(tmp_path: Path) -> None:
    """What the user wrote into the wrong place must not reach a log collector."""
    done = invoke("run", "--config", config(tmp_path, "AKIAW5NO4GHZXSOEL25B = 1"))

    assert done.stderr.startswith('forwarder: config.toml: unknown option "[REDACTED]"')


def test_check_shows_what_would_run(tmp_path: Path) -> None:
    """Names, levels and numbers of files, and nothing is written."""
    session = tmp_path / "home" / ".codex" / "sessions" / "rollout-1.jsonl"
    session.parent.mkdir(parents=True)
    session.touch()
    text = (
        '[sources.codex]\nhome="~/.codex"\n[sinks.out]\nuse="stdout"\ntypes=["prompt"]\nredaction="none"\nscrub=false'
    )
    before = sorted(tmp_path.rglob("*"))
    done = invoke("check", "--config", config(tmp_path, text), "--state-dir", str(tmp_path / "state"))

    assert (done.exit_code, done.stderr) == (Exit.OK, "")
    assert "source   codex: 1 file at ~/.codex/sessions/" in done.stdout
    assert 'sink     out (stdout): redaction "none", secrets NOT scrubbed; types prompt' in done.stdout
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "config.toml"])


def test_check_finds_every_problem_at_once(tmp_path: Path) -> None:
    """Mending one after the other, with a start in between, is tedious."""
    text = """
        [sources.codex]
        hom = "x"
        [sinks.team]
        use = "http"
        url = "https://example.com"
        token = { env = "NOT_SET" }
        [sinks.other]
        use = "htpp"
        [[redaction_rules]]
        id = "broken"
        regex = "("
    """
    done = invoke("check", "--config", config(tmp_path, text), "--state-dir", "/dev/null")

    assert done.exit_code == Exit.PROBLEM
    for words in (
        'config.toml, [sources.codex]: unknown option "hom", did you mean "home"?',
        "[sinks.team]: token comes from the environment variable NOT_SET, which is not set",
        '[sinks.other]: no sink "htpp" is installed, did you mean "http"?',
        "the state folder /dev/null cannot be written",
        "rule broken is not in use: ",
    ):
        assert words in done.stderr


def test_check_runs_no_command(tmp_path: Path) -> None:
    """A secret's command may ask its user, or do anything else."""
    touch = f'command = ["touch", "{tmp_path}/touched"]'
    text = f'[sinks.team]\nuse="http"\nurl="https://example.com"\ntoken = {{ {touch} }}'

    assert invoke("check", "--config", config(tmp_path, text)).exit_code == Exit.OK
    assert not (tmp_path / "touched").exists()


def test_check_names_a_broken_plugin_that_nobody_configured(install: Install, tmp_path: Path) -> None:
    """It would be missed otherwise until someone needs it."""
    install("forwarder.sources", "broken", "import not_there")
    done = invoke("check", "--no-config", "--state-dir", str(tmp_path))

    assert done.exit_code == Exit.PROBLEM
    assert "the plugin broken (third_broken:Plugin) cannot be loaded: ModuleNotFoundError" in done.stderr


def test_check_names_a_rule_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Without its rules nothing may be sent."""
    done = invoke("check", "--config", config(tmp_path, 'redaction_rule_files = ["gone.toml"]'))

    assert done.exit_code == Exit.PROBLEM
    assert f"{tmp_path}/gone.toml" in done.stderr


@pytest.fixture
async def stopped(tmp_path: Path) -> str:
    """The state folder of a forwarder that was never at work: an empty journal."""
    journal = Journal(
        tmp_path, sinks=["out"], max_bytes=1 << 20, keep_seconds=1.0, remember_seconds=60.0, clock=SystemClock()
    )
    async with journal:
        await journal.move("out", Cursor(0, 0))
    return str(tmp_path)


def test_status_prints_the_report_and_ends_with_1_when_something_is_wrong(stopped: str) -> None:
    """A monitoring check needs nothing but the exit status, a person nothing but the lines."""
    done = invoke("status", "--no-config", "--state-dir", stopped)

    assert done.exit_code == Exit.PROBLEM
    assert done.stdout.splitlines() == [
        "forwarder  not running",
        f"journal    0 B of 1 GiB (0%), newest event 0, in {stopped}",
        "sink       out: unknown, 0 behind, at event 0, 0 events/s",
        "sessions   0 live, 0 waiting",
        "files      0 known",
        "problem    not running: no forwarder has written a status here",
    ]


def test_status_answers_in_json(stopped: str) -> None:
    """For programs; the same facts and the same exit status."""
    done = invoke("status", "--json", "--no-config", "--state-dir", stopped)

    assert done.exit_code == Exit.PROBLEM
    assert json.loads(done.stdout)["sinks"][0]["name"] == "out"


def test_status_without_a_journal_is_an_error_of_the_state_folder(tmp_path: Path) -> None:
    """3 says where to look; nothing is created by looking."""
    done = invoke("status", "--state-dir", str(tmp_path))

    assert done.exit_code == Exit.STATE
    assert done.stderr.startswith("forwarder: no journal to read at ")
    assert "`forwarder run` was never at work there" in done.stderr


def test_the_schema_is_printed_in_both_forms() -> None:
    """Other tools generate from it, people read it."""
    assert json.loads(invoke("schema").stdout)["title"] == "Event"
    assert invoke("schema", "--format", "markdown").stdout.startswith("# Events\n")


def test_the_plugins_are_listed() -> None:
    """With package and version, first sources and then sinks."""
    lines = invoke("plugins").stdout.splitlines()

    assert lines.index("Sources") < lines.index("Sinks")
    assert any(line.startswith("  stdout  (agent-forwarder ") for line in lines)


def test_redact_reads_standard_input_and_answers_in_json() -> None:
    """`git diff | forwarder redact --json -` fits into a script."""
    done = invoke("redact", "--json", "-", given=b"x\nAKIAW5NO4GHZXSOEL25B\n")

    (rule,) = json.loads(done.stdout)["rules"]
    assert (rule["count"], rule["lines"]) == (1, [2])
    assert "1  in all" in invoke("redact", "-", given=b"AKIAW5NO4GHZXSOEL25B").stdout


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """One of the demonstration's sessions, as its agent would have left it."""
    lines = load(tmp_path, start=START, speed=None).lines
    path = next(one.path for one in lines if "fix/rounding" in one.text)
    path.parent.mkdir(parents=True)
    path.write_text("".join(one.text for one in lines if one.path == path))
    return path


def replay(session: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*FORWARDER, "replay", "--no-config", "--state-dir", str(session.parent / "state"), *arguments]
    return subprocess.run([*command, str(session)], capture_output=True, text=True, timeout=PATIENCE)


@pytest.mark.slow
def test_replay_writes_events_to_stdout_and_everything_else_to_stderr(session: Path) -> None:
    """`forwarder replay … | jq` must not meet a log line."""
    done = replay(session)

    types = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert done.returncode == Exit.OK
    assert types[:2] == ["session_start", "turn_start"]
    assert types.count("token_usage") == 7


@pytest.mark.slow
def test_a_dry_run_counts_and_delivers_nothing(session: Path) -> None:
    """How much a replay would send is known before it is sent."""
    done = replay(session, "--dry-run")

    assert (done.returncode, done.stdout) == (Exit.OK, "")
    assert done.stderr.endswith(" 37 events\n")


@pytest.mark.slow
def test_run_stops_on_sigterm_and_holds_its_state_folder(tmp_path: Path) -> None:
    """A second forwarder on the same folder is told who has it; the first ends in order."""
    run = [*FORWARDER, "run", "--no-config", "--state-dir", str(tmp_path / "state"), "--log-format", "json"]
    with subprocess.Popen(run, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stderr is not None
            while json.loads(first.stderr.readline())["event"] != "at work":
                pass
            second = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE)
            first.send_signal(signal.SIGTERM)
            out, _ = first.communicate(timeout=PATIENCE)
        finally:
            first.kill()

    assert second.returncode == Exit.STATE
    assert f"another forwarder (process {first.pid}) is at work in" in second.stderr
    assert (first.returncode, out) == (Exit.OK, "")


@pytest.mark.slow
def test_the_demo_plays_through_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The first thing that a new user sees: real events, a summary, no secret, no litter."""
    done = subprocess.run(
        [*FORWARDER, "demo", "--fast"],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        timeout=PATIENCE,
    )

    assert done.returncode == Exit.OK, done.stderr
    assert "66 events of 3 sessions, 1 of them a sub-agent's" in done.stdout
    assert "[REDACTED]" in done.stdout
    assert "ghp_" not in done.stdout
    assert "3 secrets in the files: " in done.stdout
    assert list(tmp_path.iterdir()) == []


def parts(session: Path, *arguments: str) -> list[dict[str, str]]:
    done = replay(session, *arguments)
    assert done.returncode == Exit.OK, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_since_and_until_divide_a_replay(session: Path) -> None:
    """Every event is before a moment or from it on, none is in both."""
    everything = parts(session)
    middle = everything[len(everything) // 2]["time"]
    before, behind = parts(session, "--until", middle), parts(session, "--since", middle)

    assert before
    assert max(one["time"] for one in before) < middle <= min(one["time"] for one in behind)
    assert sorted(one["id"] for one in before + behind) == sorted(one["id"] for one in everything)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--session", "--project", "--source"])
def test_a_replay_can_be_narrowed(session: Path, option: str) -> None:
    """To one session, project or source: what belongs to it comes, and nothing comes for another."""
    everything = parts(session)
    first = everything[0]
    name = {"--session": first["session_id"], "--project": Path(first["cwd"]).name, "--source": first["agent"]}[option]

    assert parts(session, option, name) == everything
    if option == "--source":
        assert replay(session, option, "other").returncode == Exit.USAGE
    else:
        assert parts(session, option, "other") == []


@pytest.mark.slow
def test_a_replay_at_a_speed_brings_the_same(session: Path) -> None:
    """Only the pace differs."""
    assert parts(session, "--speed", "10000x") == parts(session)


@pytest.mark.slow
def test_an_unknown_destination_lists_the_known(session: Path) -> None:
    """Before anything is read."""
    done = replay(session, "--to", "archiv")

    assert done.returncode == Exit.USAGE
    assert "archiv: no such sink in the configuration; there are stdout" in done.stderr


def test_a_relative_period_is_the_same_request_later() -> None:
    """An interrupted `replay --since 7d` has to find its journal again, though "7d" is another moment now."""
    sink = SinkSettings("stdout", use="stdout", level=Level.PREVIEW)
    asked = [
        ReplayRequest(paths=(Path("x"),), since=datetime(2026, 5, day, tzinfo=UTC), period=(typed, None))
        for day, typed in ((1, "7d"), (2, "7d"), (2, "8d"))
    ]
    now, later, other = (folder_name(one, sink) for one in asked)

    assert now == later != other
