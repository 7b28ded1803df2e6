"""The command `report` and the reports there are."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.app.cli_options import configured, moment, settings_of

if TYPE_CHECKING:
    from forwarder.app.looking.report_tools import By


@click.group()
def report() -> None:
    """Add up what the journal holds."""


@report.command()
@click.option("--since", callback=moment, metavar="TIME", help="Only what ended from this time on: 2026-05-01, 7d.")
@click.option(
    "--by",
    type=click.Choice(["name", "task", "cwd", "scope", "agent"]),
    default="name",
    show_default=True,
    help="What the invocations of a row have in common.",
)
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file to read as well, for what no forwarder has read; repeatable.",
)
@click.option(
    "--format", "output_format", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
@configured
def tools(*, since: datetime | None, by: By, files: tuple[Path, ...], output_format: str, **options: Any) -> None:
    """Count the calls of tools and helpers, of all agents: how often, how long, how many failed, and which are flaky.

    The success rate is that of the calls that succeeded or failed. A call that was cancelled, or whose end nobody told,
    is shown beside it. Flaky is what both succeeded and failed at the same task or in the same folder.
    """
    from forwarder.app.looking.report_text import csv_text, text_lines
    from forwarder.app.looking.report_tools import tool_report

    try:
        found = tool_report(settings_of(options), files=files, since=since, by=by)
    except OSError as error:
        raise click.ClickException(f"cannot read {error.filename or 'a file'}: {error.strerror or error}") from error
    for note in found.notes:
        click.echo(f"note  {note}", err=True)
    match output_format:
        case "json":
            import msgspec

            click.echo(msgspec.json.encode(found))
        case "csv":
            click.echo(csv_text(found), nl=False)
        case _:
            for line in text_lines(found):
                click.echo(line)


@report.command()
@click.option("--since", callback=moment, metavar="TIME", help="Only what was found from this time on: 2026-05-01, 7d.")
@click.option("--format", "output_format", type=click.Choice(["table", "json"]), default="table", show_default=True)
@configured
def secrets(*, since: datetime | None, output_format: str, **options: Any) -> None:
    """Say which secrets were taken out, where each appeared first, and which sinks got events of its sessions after it.

    A secret is known by its rule and a fingerprint that is keyed on this machine; its value is nowhere.
    """
    from forwarder.app.looking.report_secrets import secret_report, table_lines

    found = secret_report(settings_of(options), since=since)
    if output_format == "json":
        import msgspec

        click.echo(msgspec.json.encode(found))
        return
    for line in table_lines(found):
        click.echo(line)
