"""The commands that look inside: where an event is, what was refused, what the journal holds and what a sink gets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from forwarder.app.cli_options import configured, settings_of
from forwarder.app.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forwarder.app.looking.letters import Choice

as_text_or_json = click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.command(short_help="Say where an event came from, and what became of it.")
@click.argument("id")
@as_text_or_json
@configured
def why(id: str, output_format: str, **options: Any) -> None:
    """Say where the event with this ID came from, and what became of it at each sink.

    The beginning of an id is enough where only one event has it. Exit status 1 when it is not in the journal.
    """
    from forwarder.app.looking.why import explain, text_lines

    found = explain(id, settings_of(options))
    _print(found, text_lines(found), output_format)
    sys.exit(Exit.OK if found.is_in_journal else Exit.PROBLEM)


@click.group(name="dead-letters", short_help="What could not be mapped or sent: look, retry, drop.")
def dead_letters() -> None:
    """Records that could not be mapped and events that a sink refused: look, try again, or drop."""


@dead_letters.command(name="list", short_help="List the dead letters, and how many have which reason.")
@as_text_or_json
@configured
def list_letters(output_format: str, **options: Any) -> None:
    """List the dead letters, oldest first, and how many there are for which reason."""
    from forwarder.app.looking.letters import list_lines, read

    report = read(settings_of(options).state_dir)
    _print(report, list_lines(report), output_format)


@dead_letters.command(short_help="Print one dead letter with what is kept of it.")
@click.argument("letter", type=int, metavar="ID")
@as_text_or_json
@configured
def show(letter: int, output_format: str, **options: Any) -> None:
    """Print one dead letter with what is kept of its content: scrubbed, and cut as the level says."""
    from forwarder.app.looking.letters import find, show_lines

    found = find(settings_of(options).state_dir, letter)
    _print(found, show_lines(found), output_format)


def chosen(command: Any) -> Any:
    """Which letters a command is about."""
    for option in (
        click.option("--source", metavar="NAME", help="Those of this source."),
        click.option("--sink", metavar="NAME", help="Those of this sink."),
        click.option("--all", "is_all", is_flag=True, help="All of them."),
        click.argument("letters", nargs=-1, type=int, metavar="[ID]..."),
    ):
        command = option(command)
    return command


@dead_letters.command(short_help="Have what was refused tried again.")
@chosen
@configured
def retry(letters: tuple[int, ...], is_all: bool, sink: str | None, source: str | None, **options: Any) -> None:
    """Have events delivered to their sink again, and records mapped again from their files.

    The running forwarder does so within seconds; without one, the next that is started.
    """
    from forwarder.app.looking.letters import retry as ask

    click.echo(ask(settings_of(options).state_dir, _choice(letters, is_all=is_all, sink=sink, source=source)))


@dead_letters.command()
@chosen
@configured
def drop(letters: tuple[int, ...], is_all: bool, sink: str | None, source: str | None, **options: Any) -> None:
    """Forget dead letters for good."""
    from forwarder.app.looking.letters import drop as forget

    click.echo(forget(settings_of(options).state_dir, _choice(letters, is_all=is_all, sink=sink, source=source)))


def _choice(letters: tuple[int, ...], *, is_all: bool, sink: str | None, source: str | None) -> Choice:
    from forwarder.app.looking.letters import Choice

    if sum(map(bool, (letters, is_all, sink, source))) != 1:
        raise click.UsageError("say which: some IDs, --all, --sink NAME or --source NAME")
    return Choice(letters, sink=sink, source=source)


@click.group(short_help="What the journal holds, and whether it is whole.")
def journal() -> None:
    """What the journal holds, and whether it is whole; also beside a running forwarder."""


@journal.command(short_help="Print how much the journal holds, from when, of what.")
@as_text_or_json
@configured
def stats(output_format: str, **options: Any) -> None:
    """Print how much the journal holds, from when, of what, and how far each sink is behind."""
    from forwarder.app.looking.journal_stats import read_stats, stats_lines

    found = read_stats(settings_of(options))
    _print(found, stats_lines(found), output_format)


@journal.command(short_help="Check the journal against itself and against the files.")
@as_text_or_json
@configured
def verify(output_format: str, **options: Any) -> None:
    """Check everything in the journal against everything else, and the checkpoints against the files.

    Exit status 1 when something is wrong, with each problem named. Nothing is changed.
    """
    from forwarder.app.looking.journal_verify import verify as check
    from forwarder.app.looking.journal_verify import verify_lines

    found = check(settings_of(options))
    _print(found, verify_lines(found), output_format)
    sys.exit(Exit.PROBLEM if found.problems else Exit.OK)


@click.command(short_help="Print which fields leave to a sink, and in what form.")
@click.argument("sink")
@as_text_or_json
@configured
@click.option("--redaction", type=click.Choice(["full", "preview", "none"]), help="As for run.")
def egress(sink: str, output_format: str, **options: Any) -> None:
    """Print which fields of which events leave to SINK, and what happens to each on the way."""
    from forwarder.app.logs import set_up
    from forwarder.app.looking.egress import examine, text_lines

    set_up(scrub=str, level="error", log_format="auto")  # what the events of the probe make the mapper say is no news
    found = examine(settings_of(options), sink)
    _print(found, text_lines(found), output_format)


def _print(found: object, lines: Iterable[str], output_format: str) -> None:
    if output_format == "json":
        import msgspec

        click.echo(msgspec.json.encode(found))
        return
    for line in lines:
        click.echo(line)
