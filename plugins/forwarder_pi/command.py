"""`forwarder snapshot`: pi-telemetry's own snapshot command, byte for byte, and with states that are right.

The one place of this plugin that reads the environment, the clock and the machine's processes.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence

import click

from forwarder_pi.document import derived_snapshot, joined, snapshot, to_json
from forwarder_pi.javascript import SPACES, number

STALE_MS = 10_000
PRETTY = "  "


@click.command("snapshot", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--stale-ms N] [--pretty] [--derived]")
def snapshot_command(arguments: tuple[str, ...]) -> None:
    """Print what all running instances of pi are doing, as pi-telemetry-snapshot prints it.

    \b
    --stale-ms N  heartbeats older than N milliseconds do not count; otherwise
                  $PI_TELEMETRY_STALE_MS, otherwise 10000
    --pretty      two spaces of indent
    --derived     correct the states: since pi 0.65 an idle pi publishes that it is working

    Heartbeats are read from $PI_TELEMETRY_DIR, otherwise ~/.pi/agent/telemetry/instances. No such folder, or broken
    files in it, are no errors. Like the original it ignores arguments that it does not know.
    """
    build = derived_snapshot if "--derived" in arguments else snapshot
    document = build(
        directory_of(os.environ, os.path.expanduser("~")),
        now_ms=time.time_ns() // 1_000_000,
        stale_ms=stale_ms_of(arguments, os.environ),
        is_alive=is_alive,
    )
    click.echo(to_json(document, indent=PRETTY if "--pretty" in arguments else "").encode())


def stale_ms_of(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    """What follows the first `--stale-ms`, whatever it is, else the variable; 10000 for what is no number above 0."""
    given = environment.get("PI_TELEMETRY_STALE_MS", "")
    if "--stale-ms" in arguments[:-1]:
        given = arguments[list(arguments).index("--stale-ms") + 1]
    value = number(given)
    return math.floor(value) if math.isfinite(value) and value > 0 else STALE_MS


def directory_of(environment: Mapping[str, str], home: str) -> str:
    """The folder of the heartbeats; a `~` in the variable is not expanded."""
    return environment.get("PI_TELEMETRY_DIR", "").strip(SPACES) or joined(home, ".pi/agent/telemetry/instances")


def is_alive(pid: int) -> bool:
    """Whether this user could send the process a signal: as the original asks, another user's counts as dead."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
