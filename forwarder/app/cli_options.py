"""What the commands have in common: options, and the settings that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from datetime import datetime

    from forwarder.app.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
LEVELS = click.Choice(["full", "preview", "none"])


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """A date, a time, or how long ago."""
    from datetime import UTC, datetime

    from forwarder.app.units import parse_moment

    ctx.meta[f"forwarder.{param.name}"] = value
    try:
        return None if value is None else parse_moment(value, now=datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def factor(ctx: click.Context, param: click.Parameter, value: str) -> float | None:
    """`1x`, `10`; None for `max`."""
    from forwarder.app.units import parse_speed

    try:
        return parse_speed(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def configured(command: F) -> F:
    """The options that say where settings come from."""
    for option in (
        click.option("--state-dir", type=FILE, help="Folder of the journal."),
        click.option("--no-config", is_flag=True, help="Ignore every configuration file."),
        click.option(
            "--config", type=FILE, help="Configuration file; otherwise $FORWARDER_CONFIG or the user's config folder."
        ),
    ):
        command = option(command)
    return command


def working(command: F) -> F:
    """`configured`, and what the commands that deliver events have in common."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Same as --log-level debug."),
        click.option(
            "--log-format",
            type=click.Choice(["auto", "text", "logfmt", "json"]),
            default="auto",
            show_default=True,
            help="Of the log on stderr; auto is text on a terminal, else logfmt.",
        ),
        click.option(
            "--log-level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            default="info",
            show_default=True,
            help="Least level that is logged.",
        ),
        click.option(
            "--format",
            "stdout_format",
            type=click.Choice(["auto", "json", "pretty"]),
            help="Of events on standard output: JSON lines or a live feed; auto is the feed on a terminal.",
        ),
        click.option("--redaction", type=LEVELS, help="Level of every sink that asks for no stricter one."),
    ):
        command = option(command)
    return configured(command)


def settings_of(options: dict[str, Any]) -> Settings:
    """The configuration that the options ask for. Raises `ConfigError`."""
    if options["config"] and options["no_config"]:
        raise click.UsageError("--config and --no-config exclude each other")
    from forwarder.app.config import load

    settings = load(
        path=options["config"],
        is_ignored=options["no_config"],
        state_dir=options["state_dir"],
        redaction=options.get("redaction"),
    )
    chosen = options.get("stdout_format")
    return settings.with_format(chosen) if chosen else settings
