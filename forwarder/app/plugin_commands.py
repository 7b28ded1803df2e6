"""Commands that plugins bring along: the entry points of one group, each a click command, imported when it is used.

Its context's `meta` holds what a plugin cannot import: under `SCRUB` a function that takes the secrets out of a text.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from forwarder.errors import ConfigError

COMMANDS = "forwarder.commands"
SCRUB = "forwarder.scrub"


def names() -> list[str]:
    """The commands that are installed; nothing is imported."""
    return sorted(_points())


def find(name: str) -> click.Command | None:
    """A stand-in for the plugin's command, enough to be listed; whoever runs it runs the real one."""
    point = _points().get(name)
    return None if point is None else InstalledCommand(point)


class InstalledCommand(click.Command):
    """Imports the plugin's own command when it is run. Raises `ConfigError`, with the reason, if it cannot."""

    def __init__(self, point: EntryPoint) -> None:
        super().__init__(point.name, short_help=f"From the plugin {point.module.partition('.')[0]}.")
        self._point = point

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        command = self._load()
        if parent is not None:
            parent.meta[SCRUB] = _scrub
        return command.make_context(info_name, args, parent, **extra)

    def _load(self) -> click.Command:
        try:
            command = self._point.load()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(f"the command {self.name} ({self._point.value}) cannot be loaded: {reason}") from error
        if not isinstance(command, click.Command):
            raise ConfigError(f"the command {self.name} ({self._point.value}) is no click command")
        return command


@cache
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=COMMANDS)}


def _scrub(text: str) -> str:
    """By the built-in rules and those of the user's configuration, which is read for it. Raises `ConfigError`."""
    from forwarder.app.assembly import make_redactor
    from forwarder.app.config import load

    return make_redactor(load()).scrub(text)
