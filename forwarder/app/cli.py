"""The commands: what they take, what they print and how they end. No logic of their own.

Everything that costs time to import is imported inside the command that needs it: ``--help`` takes as long as click.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder import __version__
from forwarder.app.cli_inside import dead_letters, egress, journal, why
from forwarder.app.cli_options import LEVELS, configured, factor, moment, settings_of, working
from forwarder.app.cli_report import report
from forwarder.app.cli_sessions import sessions
from forwarder.app.exits import Exit
from forwarder.errors import ForwarderError

if TYPE_CHECKING:
    from datetime import datetime

    from forwarder.app.config import Settings

EXITS = "\b\nExit statuses:\n" + "\n".join(
    textwrap.fill(f"  {one.value:>3}  {one.meaning}", width=76, subsequent_indent=" " * 7) for one in Exit
)


class Command(click.Group):
    """Says what went wrong in one line, without a traceback, and ends with the status that belongs to it.

    Its commands are those of this module, and behind them those that plugins bring along.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        from forwarder.app.plugin_commands import names

        return sorted({*super().list_commands(ctx), *names()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        from forwarder.app.plugin_commands import find

        return find(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except* ForwarderError as errors:
            failed = errors
        from forwarder.app.complaint import explain

        words, status = explain(failed)
        click.echo(words, err=True)
        return ctx.exit(status)


@click.group(cls=Command, epilog=EXITS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="forwarder")
def cli() -> None:
    """Read what coding agents write on this machine and deliver it, correctly counted and with secrets removed."""


cli.add_command(sessions)


for _command in (why, dead_letters, journal, egress, report):
    cli.add_command(_command)


@cli.command(short_help="Follow the agents' files and deliver to the sinks.")
@working
def run(**options: Any) -> None:
    """Follow the agents' files and deliver to the configured sinks until SIGTERM or Ctrl-C.

    Without a configuration: every agent found on this machine, to stdout. The first Ctrl-C delivers what was read, the
    second ends at once; nothing is lost either way.
    """
    settings = _start(options)
    import asyncio

    from forwarder.app.engine import run as run_engine

    sys.exit(asyncio.run(run_engine(settings)))


@cli.command(short_help="Read files or folders once and deliver their events.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--source", "sources", multiple=True, help="Only files of this source; may be repeated.")
@click.option(
    "--since", callback=moment, metavar="TIME", help="Only events from this time on: 2026-05-01, 2026-05-01T12:00Z, 7d."
)
@click.option("--until", callback=moment, metavar="TIME", help="Only events before this time.")
@click.option("--session", help="Only events of this session.")
@click.option("--project", help="Only events of this project: a folder's name, path or glob.")
@click.option("--to", default="stdout", show_default=True, help="A configured sink, or stdout.")
@click.option(
    "--speed",
    callback=factor,
    metavar="FACTOR",
    default="max",
    show_default=True,
    help="As it happened: 1x; faster: 10x.",
)
@click.option("--dry-run", is_flag=True, help="Read and count, deliver nothing.")
@working
def replay(
    *,
    paths: tuple[Path, ...],
    sources: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    session: str | None,
    project: str | None,
    to: str,
    speed: float | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Read files or folders once and deliver their events, with the same ids every time.

    Each file is taken by the source that recognises it. Interrupted and started again, it goes on where it was.
    """
    settings = _start(options)
    import asyncio

    from forwarder.app.progress import progress_bar, words
    from forwarder.app.replay import replay as replay_engine
    from forwarder.app.request import ReplayRequest

    typed = click.get_current_context().meta
    request = ReplayRequest(
        paths=paths,
        sources=sources,
        since=since,
        until=until,
        session=session,
        project=project,
        to=to,
        speed=speed,
        dry_run=dry_run,
        period=(typed["forwarder.since"], typed["forwarder.until"]),
    )
    with progress_bar(has_data_on_stdout=to == "stdout" and not dry_run) as tally:
        status = asyncio.run(replay_engine(settings, request, progress=tally))
    if dry_run:
        click.echo(words(tally.progress), err=True)
    sys.exit(status)


@cli.command(short_help="Check configuration and plugins, say what would run.")
@configured
@click.option("--redaction", type=LEVELS, help="As for run.")
def check(**options: Any) -> None:
    """Check the configuration and the plugins and say what would run. Writes, connects to and runs nothing.

    Exit status 1 when something would not work, 2 when the configuration cannot be read at all.
    """
    from forwarder.app.check import check as check_settings

    report = check_settings(settings_of(options))
    for line in report.lines:
        click.echo(line)
    for problem in report.problems:
        click.echo(f"problem  {problem}", err=True)
    sys.exit(Exit.PROBLEM if report.problems else Exit.OK)


@cli.command(short_help="Show what was read and delivered, and what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@configured
def status(as_json: bool, **options: Any) -> None:
    """Show what was read and delivered, also while `run` is at work.

    Exit status 1 when something is wrong: no forwarder is running, a sink fails, a record or an event was refused
    within the last hour, a file cannot be read, the journal is nearly full or cannot be written.
    """
    import msgspec

    from forwarder.app.looking.status import read_report
    from forwarder.app.looking.status_text import report_lines

    settings = settings_of(options)
    report = read_report(settings.state_dir, max_bytes=settings.journal.max_bytes)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        for line in report_lines(report):
            click.echo(line)
    sys.exit(Exit.PROBLEM if report.problems else Exit.OK)


@cli.command(short_help="List sources, sinks and receivers, with options.")
def plugins() -> None:
    """List the installed sources, sinks and receivers with their options, the broken ones with their reason."""
    from forwarder.app.looking.listing import plugin_lines

    for line in plugin_lines():
        click.echo(line)


@cli.command()
@click.option("--format", "output_format", type=click.Choice(["json", "markdown"]), default="json", show_default=True)
def schema(output_format: str) -> None:
    """Print the schema of the events."""
    from forwarder.app.looking.schema import json_text, markdown

    click.echo(json_text() if output_format == "json" else markdown(), nl=False)


@cli.command(short_help="Describe what the receivers take (OpenAPI).")
@click.argument("receiver", required=False)
@click.option("--all", "is_all", is_flag=True, help="Every installed receiver, configured or not.")
@configured
def openapi(receiver: str | None, is_all: bool, **options: Any) -> None:
    """Print an OpenAPI 3.1 document of the configured receivers, or of RECEIVER alone.

    Where nothing is configured that listens, every installed receiver is described as it would be by default.
    """
    from forwarder.app.openapi import document, json_text

    click.echo(json_text(document(settings_of(options), name=receiver, is_all=is_all)), nl=False)


@cli.command(short_help="Play recorded sessions through the real pipeline.")
@click.option(
    "--speed", callback=factor, metavar="FACTOR", default="1x", show_default=True, help="10x is ten times faster."
)
@click.option("--fast", is_flag=True, help="Same as --speed max.")
def demo(speed: float | None, fast: bool) -> None:
    """Play recorded sessions as live files into a scratch folder and run the real pipeline on them."""
    from forwarder.app.demo.player import play

    _log_to_stderr(level="warning", log_format="auto", scrub=str)
    sys.exit(play(speed=None if fast else speed, echo=click.echo))


@cli.command(short_help="Show what would be removed from a file, by rule.")
@click.argument("file", type=click.File("rb"))
@click.option("--redaction", type=LEVELS, help="Show what this level keeps.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@configured
def redact(file: Any, as_json: bool, **options: Any) -> None:
    """Show what would be removed from FILE (- is stdin), by rule, with counts and lines; never the value."""
    import msgspec

    from forwarder.app.looking.redact_file import examine, report_lines

    report = examine(file, settings_of(options))
    if as_json:
        click.echo(msgspec.json.encode(report))
        return
    for line in report_lines(report):
        click.echo(line)


def _start(options: dict[str, Any]) -> Settings:
    """Settings, with the log set up so that every line of it passes the configured rules."""
    settings = settings_of(options)
    from forwarder.app.assembly import make_redactor

    level = "debug" if options["verbose"] else options["log_level"]
    _log_to_stderr(level=level, log_format=options["log_format"], scrub=make_redactor(settings).scrub)
    return settings


def _log_to_stderr(*, level: str, log_format: Any, scrub: Callable[[str], str]) -> None:
    from forwarder.app.logs import set_up

    set_up(scrub=scrub, level=level, log_format=log_format)


def main() -> None:
    """The entry point."""
    cli(prog_name="forwarder")
