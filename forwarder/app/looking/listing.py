"""The installed plugins for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from forwarder.app.options import Option
from forwarder.app.registry import RECEIVERS, SINKS, SOURCES, Plugin, installed
from forwarder.sink import Secret


def plugin_lines() -> Iterator[str]:
    """Sources, sinks, receivers: package, version and what each is for, below it its options with types."""
    for title, group in (("Sources", SOURCES), ("Sinks", SINKS), ("Receivers", RECEIVERS)):
        yield f"{title}"
        for plugin in installed(group):
            yield from _plugin(plugin)


def _plugin(plugin: Plugin) -> Iterator[str]:
    if plugin.problem:
        yield f"  {plugin.name}  ({plugin.package} {plugin.version})  BROKEN: {plugin.problem}"
        return
    yield f"  {plugin.name}  ({plugin.package} {plugin.version})  {plugin.summary}"
    for option in plugin.options:
        variable = plugin.environment.get(option.name)
        yield f"      {option.name}: {option.wanted}; {_default(option)}{f' (or ${variable})' if variable else ''}"


def _default(option: Option) -> str:
    match option.default:
        case _ if option.is_required:
            return "required"
        case None:
            return "not set"
        case bool(value):
            return str(value).lower()
        case str() | Path() as value:
            return f'"{value}"'
        case Secret():
            return "a secret"
        case value:
            return str(value)
