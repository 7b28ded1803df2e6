"""The command `forwarder`: commands that something waits for at once, all others through `forwarder.app.cli`.

To import `forwarder` and click takes longer than a command that wraps another may cost. A plugin names such commands in
the entry point group `forwarder.quick_commands`: a function of the arguments that returns the exit status, or None to
leave the answer (``--help``, mistakes) to the click command that the plugin has under the same name. It works only as
long as neither the function's module nor its package imports `forwarder`.
"""

from __future__ import annotations

import os
import sys

SECTION = "[forwarder.quick_commands]"


def main() -> None:
    """The entry point."""
    point = find(sys.argv[1]) if len(sys.argv) > 1 else None
    status = call(point, sys.argv[2:]) if point else None
    if status is not None:
        sys.exit(status)
    from forwarder.app.cli import main as start

    start()


def find(name: str) -> str | None:
    """The value of the entry point of that name, ``package.module:function``.

    Read without `importlib.metadata`, whose import alone takes longer than everything else here.
    """
    if name.startswith("-"):
        return None
    for folder in sys.path:
        for file in _installed(folder):
            value = _value(file, name)
            if value:
                return value
    return None


def call(point: str, arguments: list[str]) -> int | None:
    """What the function returns; None if it cannot be imported, which the slow way explains."""
    module, _, function = point.partition(":")
    try:
        __import__(module)
        quick = getattr(sys.modules[module], function)
    except (ImportError, AttributeError):
        return None
    status: int | None = quick(arguments)
    return status


def _installed(folder: str) -> list[str]:
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []  # a zip file, or nothing
    return [os.path.join(folder, name, "entry_points.txt") for name in names if name.endswith(".dist-info")]


def _value(file: str, name: str) -> str | None:
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read()
    except OSError:
        return None  # a package without entry points
    _, found, rest = text.partition(SECTION + "\n")
    for line in rest.partition("\n[")[0].splitlines() if found else ():
        key, _, value = line.partition("=")
        if key.strip() == name:
            return value.strip()
    return None
