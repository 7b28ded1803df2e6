"""`forwarder hook`: writes the script that Claude Code's hooks run, and prints the settings that call it.

Beside the source's own options, the one place of this plugin that reads the environment and runs something.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import click

from forwarder import ConfigError
from forwarder_claude_code.settings import TOLERANT, block, release_of
from forwarder_claude_code.writer import FOLDER, NAME, Form, dropped, form_for, install, script

MEBIBYTE = 1 << 20
MAX_MIB = {Form.LINE: 256, Form.FILE: 64}  # some hooks measure the folder, which takes longer the more files it has


@click.command("hook")
@click.option("--home", envvar="CLAUDE_CONFIG_DIR", default="~/.claude", type=Path, help="Claude Code's folder.")
@click.option("--form", type=click.Choice([one.value for one in Form]), help="Lines of one file, or a file per event.")
@click.option("--max-mib", type=click.IntRange(min=1), help="Size of the spool above which events are only counted.")
@click.option("--release", metavar="VERSION", help="Claude Code's version; otherwise what `claude --version` says.")
@click.option("--print", "is_dry", is_flag=True, help="Print the script and the settings, write nothing.")
def hook_command(home: Path, form: str | None, max_mib: int | None, release: str | None, is_dry: bool) -> None:
    """Write the script that keeps what Claude Code's hooks are told, and print the settings that call it.

    The script goes to forwarder/hook.sh in Claude Code's home ($CLAUDE_CONFIG_DIR, otherwise ~/.claude), and so does
    what it writes, where the source claude_code finds it. Your settings are not touched: merge the printed block into
    settings.json of that home. Without --form it is lines where one write is known to stay whole, else files.
    """
    home = home.expanduser().absolute()
    if not home.is_dir():
        raise ConfigError(f"{home} is no folder; name Claude Code's home with --home")
    chosen = Form(form) if form else form_for(home)
    text = script(home / FOLDER, chosen, max_bytes=(max_mib or MAX_MIB[chosen]) * MEBIBYTE)
    settings = json.dumps(block(home / FOLDER / NAME, _release(release)), indent=2)
    if is_dry:
        click.echo(text)
    else:
        _install(home, text)
    click.echo(settings)


def _install(home: Path, text: str) -> None:
    """Say what was done beside the settings, which may be going into a file."""
    try:
        path = install(home, text)
    except OSError as error:
        raise ConfigError(f"cannot write {home / FOLDER / NAME}: {error}") from error
    click.echo(f"wrote {path}; merge this into {home / 'settings.json'}:", err=True)
    if count := dropped(home):
        click.echo(f"{count} events were dropped so far, because the spool was full", err=True)


def _release(given: str | None) -> tuple[int, int, int]:
    """As given, as installed, else one that only recent releases read without losing hooks."""
    if given is not None:
        found = release_of(given)
        if found is None:
            raise ConfigError(f"--release must be like 2.1.329, not {given!r}")
        return found
    found = release_of(_version())
    if found is None:
        oldest = ".".join(map(str, TOLERANT))
        click.echo(f"`claude` was not found: these settings are for {oldest} and later, else use --release", err=True)
    return found or TOLERANT


def _version() -> str:
    """What `claude --version` prints, nothing if there is none."""
    claude = shutil.which("claude")
    if claude is None:
        return ""
    try:
        return subprocess.run([claude, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
