"""Commands that plugins bring along are listed without being imported, and a broken one costs only itself."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import click
import pytest

from forwarder.app.cli import cli
from forwarder.app.plugin_commands import COMMANDS, InstalledCommand, find, names
from forwarder.errors import ConfigError


def installed(value: str) -> InstalledCommand:
    return InstalledCommand(EntryPoint(name="extra", value=value, group=COMMANDS))


def test_installed_commands_are_listed_beside_our_own() -> None:
    """A plugin's command is used like any other."""
    listed = cli.list_commands(click.Context(cli))

    assert {"run", "snapshot"} <= set(listed)
    assert listed == sorted(listed)


def test_listing_imports_no_plugin() -> None:
    """`--help` takes as long as click, however many plugins are installed."""
    script = "import sys; from forwarder.app.cli import cli; cli(['--help'], standalone_mode=False); "
    script += "sys.exit(any(name.startswith('forwarder_') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert all(name in done.stdout for name in names())


def test_a_command_that_nobody_has_is_unknown() -> None:
    """Click then says so."""
    assert find("nobody-has-this") is None


def test_running_the_stand_in_runs_the_plugins_command() -> None:
    """The real one parses its own arguments."""
    context = installed("forwarder.app.cli:schema").make_context("extra", ["--format", "markdown"])

    assert context.params == {"output_format": "markdown"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_package:command", "No module named 'no_such_package'"),
        ("forwarder.app.cli:main", "is no click command"),
    ],
)
def test_a_broken_command_says_why(value: str, reason: str) -> None:
    """With the entry point's name and value, so that the plugin's author can find it."""
    with pytest.raises(ConfigError, match=f"the command extra .*{reason}"):
        installed(value).make_context("extra", [])
