"""The command `sessions`: what it takes, what it prints and how it ends."""

from __future__ import annotations

import sys
from typing import Any

import click

from forwarder.app.cli_options import configured, settings_of
from forwarder.app.exits import Exit

STATES = ("waiting_permission", "waiting_input", "stalled", "working", "idle", "unknown", "ended")


@click.command(short_help="Show which agents run, and which of them wait for you.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only in this state; repeatable.")
@click.option("--agent", "agents", multiple=True, help="Only of this agent; repeatable.")
@click.option("--all", "with_all", is_flag=True, help="Also those that ended or were silent for long.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table for people, or one JSON object a line, with whole ids.",
)
@configured
def sessions(
    *, states: tuple[str, ...], agents: tuple[str, ...], with_all: bool, output_format: str, **options: Any
) -> None:
    """Show which agents run, what each does and since when; the ones that wait for you come first.

    SINCE is the age of the state, LAST that of the newest event. A session is live until its end is told, or nothing
    was heard of it for 16 hours. Exit status 1 when no forwarder is running: what is shown may be old then.
    """
    import shutil
    from datetime import UTC, datetime

    from forwarder.app.looking.sessions import find_sessions, json_lines
    from forwarder.app.looking.sessions_text import table_lines

    now = datetime.now(UTC)
    found = find_sessions(settings_of(options).state_dir, states=states, agents=agents, with_all=with_all, now=now)
    if output_format == "json":
        for line in json_lines(found.sessions, now):
            click.echo(line)
    elif found.sessions:
        for text in table_lines(found.sessions, now=now, width=shutil.get_terminal_size().columns):
            click.echo(text)
    else:
        click.echo("no sessions" if states or agents or with_all else "no live sessions", err=True)
    for problem in found.problems:
        click.echo(f"problem  {problem}; states may be old", err=True)
    sys.exit(Exit.PROBLEM if found.problems else Exit.OK)
