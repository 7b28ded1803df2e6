"""`forwarder hook` writes one script, for its owner alone, and prints settings that every release understands."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from forwarder_claude_code import hooks
from forwarder_claude_code.command import hook_command
from forwarder_claude_code.settings import SINCE, events_of
from forwarder_claude_code.writer import Form, form_for

from forwarder import ConfigError

from .lines import tool_hook


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a space and a quote in its path, named as Claude Code is told about it; no `claude` is installed."""
    folder = tmp_path / "a person's home"
    folder.mkdir()
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(folder))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(hook_command, arguments, catch_exceptions=False)


def registered(text: str) -> dict[str, str]:
    """The command of each event."""
    found: dict[str, list[Any]] = json.loads(text)["hooks"]
    return {event: group[0]["hooks"][0]["command"] for event, group in found.items()}


def test_the_printed_command_keeps_an_event(home: Path) -> None:
    """As Claude Code runs it: by a shell, whatever the home's path holds."""
    commands = registered(run("--release", "2.1.329", "--form", "line").stdout)
    subprocess.run(["/bin/sh", "-c", commands["PreToolUse"]], input=tool_hook("PreToolUse"), check=True, timeout=10)

    assert tool_hook("PreToolUse") in (home / "forwarder/hooks.jsonl").read_bytes()


def test_only_the_script_is_written(home: Path) -> None:
    """The user's settings stay theirs; nobody else may read or change what hooks run."""
    (home / "settings.json").write_text("{}")
    (home / "forwarder").mkdir(mode=0o755)
    result = run("--release", "2.1.329")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home / "forwarder", *home.glob("forwarder/*"))}

    assert modes == {"forwarder": 0o700, "hook.sh": 0o700}
    assert (home / "settings.json").read_text() == "{}"
    assert str(home / "settings.json") in result.stderr


def test_print_writes_nothing(home: Path) -> None:
    """To read first what would be run."""
    result = run("--release", "2.1.329", "--print")

    assert result.stdout.startswith("#!/bin/sh\n")
    assert str(home) not in result.stderr
    assert list(home.iterdir()) == []


def test_a_symlinked_folder_is_refused(home: Path, tmp_path: Path) -> None:
    """What hooks are told would go where the link's maker wants it."""
    (home / "forwarder").symlink_to(tmp_path)

    with pytest.raises(ConfigError, match=r"cannot write .*hook\.sh"):
        run("--release", "2.1.329")


def test_a_symlinked_script_is_replaced(home: Path, tmp_path: Path) -> None:
    """Not written through."""
    target = tmp_path / "target"
    target.write_text("theirs")
    (home / "forwarder").mkdir()
    (home / "forwarder/hook.sh").symlink_to(target)
    run("--release", "2.1.329")

    assert target.read_text() == "theirs"
    assert not (home / "forwarder/hook.sh").is_symlink()


def test_a_missing_home_is_named(tmp_path: Path) -> None:
    """A misspelt one would keep what nobody writes."""
    with pytest.raises(ConfigError, match="is no folder"):
        run("--home", str(tmp_path / "nowhere"))


def test_recent_releases_get_every_event_but_three() -> None:
    """A hook on WorktreeCreate replaces the creation; the others are displayed text and watched files."""
    told = {*hooks.HANDLERS, *hooks.IGNORED} - {"WorktreeCreate", "MessageDisplay", "FileChanged"}

    assert len(SINCE) == 30
    assert set(events_of((2, 1, 197))) == set(SINCE)
    assert told <= set(SINCE)


def test_old_releases_get_only_events_that_they_know() -> None:
    """They drop all hooks of a file that names another."""
    assert set(events_of((1, 0, 120))) == {
        *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
        *("Stop", "SubagentStop", "PreCompact", "Notification"),
    }


def test_the_installed_release_decides(home: Path, tmp_path: Path) -> None:
    """Unless one is named."""
    claude = tmp_path / "claude"
    claude.write_text("#!/bin/sh\necho '1.0.120 (Claude Code)'\n")
    claude.chmod(0o700)

    assert set(registered(run().stdout)) == set(events_of((1, 0, 120)))
    assert set(registered(run("--release", "2.0.77").stdout)) == set(events_of((2, 0, 77)))


def test_without_a_release_the_reader_is_told(home: Path) -> None:
    """Which releases the settings are good for."""
    assert "2.1.197 and later" in run("--print").stderr


def test_a_release_that_is_none_is_refused(home: Path) -> None:
    """Rather than guessed."""
    with pytest.raises(ConfigError, match="--release"):
        run("--release", "latest")


def test_what_was_dropped_is_told(home: Path) -> None:
    """So that a spool that nobody reads is noticed."""
    (home / "forwarder").mkdir()
    (home / "forwarder/dropped").write_text("...")

    assert "3 events were dropped" in run("--release", "2.1.329").stderr


def test_file_systems_that_promise_nothing_get_a_file_per_event() -> None:
    """One write stays whole only where the kernel serialises appends; here `/proc` stands for those that do not."""
    assert form_for(Path("/proc")) is Form.FILE
