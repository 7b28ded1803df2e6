"""`forwarder track` where it must explain itself, and `forwarder log` for scripts that report by themselves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from forwarder_tool_usage import log
from forwarder_tool_usage.calling import read_call
from forwarder_tool_usage.track import track

F = TypeVar("F", bound=Callable[..., Any])
USAGE = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "total_tokens", "cost_usd")
SCRUB = "forwarder.scrub"  # under this name the engine leaves its scrubber in the context of a plugin's command
CANCELLED = {129, 130, 143}  # hung up, interrupted, terminated

as_kind = click.option("--kind", type=click.Choice(log.KINDS), default="script", show_default=True)
in_file = click.option("--file", metavar="FILE", help=f"The log; otherwise ${log.VARIABLE}, or {log.DEFAULT_PATH}.")
of_task = click.option("--task", metavar="ID", help="What the invocation is for.")
of_session = click.option("--session", metavar="ID", help="The agent's session that it belongs to.")


@click.command("track", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@as_kind
@click.option("--name", help="Of the helper; otherwise the command's file name.")
@click.option(
    "--scope", type=click.Choice(log.SCOPES), help="Where it is installed; project if below the folder with .git."
)
@of_task
@of_session
@in_file
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def track_command(command: tuple[str, ...], **options: str | None) -> None:
    """Run COMMAND and add a line to the tool-usage log: how long it took, and how it ended.

    Input, output, environment, signals and exit status are the command's own; its arguments are not logged. 127: it was
    not found, 126: it cannot be executed, 128 + N: signal N killed it. Works without a running forwarder.
    """
    sys.exit(track({name: value for name, value in options.items() if value is not None}, list(command)))


@click.group("log")
def log_command() -> None:
    """Add lines to the tool-usage log: `start` and `finish`, or one line with `write`."""


def described(command: F) -> F:
    """What a line says of a helper beside how it ended."""
    scope = click.option("--scope", type=click.Choice(log.SCOPES), default="global", show_default=True)
    cwd = click.option("--cwd", metavar="FOLDER", help="Where it ran; otherwise the working folder.")
    for option in (in_file, of_session, of_task, cwd, scope, click.option("--name", required=True), as_kind):
        command = option(command)
    return command


def ended(command: F) -> F:
    """How an invocation ended."""
    for option in (
        click.option("--usage", "usage", multiple=True, metavar="NAME=N", help=f"Spent: {', '.join(USAGE)}."),
        click.option("--error", metavar="TEXT", help="Why it failed; secrets are removed, 200 characters are kept."),
        click.option("--exit-code", type=int, help="Decides the status where that is not given."),
        click.option("--status", type=click.Choice(["succeeded", "failed", "cancelled"])),
    ):
        command = option(command)
    return command


@log_command.command()
@described
def start(*, file: str | None, **given: Any) -> None:
    """Say that a helper has started, and print the id that `finish` wants."""
    invocation = log.invocation()
    _add(file, _described(**given) | {"status": "started", "invocation_id": invocation})
    click.echo(invocation)


@log_command.command()
@click.argument("invocation", metavar="ID")
@ended
@in_file
def finish(*, invocation: str, file: str | None, **given: Any) -> None:
    """Say how the invocation ID ended; name, folder and the rest are those of its start."""
    result = _ended(**given)
    path = log.log_path(file)
    try:
        call = read_call(path, invocation)
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from error
    if call is None:
        raise click.UsageError(f"{path} has no start of {invocation}: write the whole line with `forwarder log write`")
    if call.is_over:
        raise click.UsageError(f"{invocation} is over already, says {path}")
    took = max(0, int((time.time() - call.started) * 1000))
    _add(file, call.fields | _now() | result | {"duration_ms": took, "invocation_id": invocation})


@log_command.command()
@described
@ended
@click.option("--duration-ms", type=click.FloatRange(min=0, max=2**53), help="How long it took.")
@click.option("--invocation", metavar="ID", help="An id of your own: a line that is written twice counts once.")
def write(
    *,
    file: str | None,
    status: str | None,
    exit_code: int | None,
    error: str | None,
    usage: tuple[str, ...],
    duration_ms: float | None,
    invocation: str | None,
    **given: Any,
) -> None:
    """Add the only line of an invocation that is over."""
    result = _ended(status=status, exit_code=exit_code, error=error, usage=usage)
    took = None if duration_ms is None else round(duration_ms)
    _add(file, _described(**given) | result | {"duration_ms": took, "invocation_id": invocation or log.invocation()})


def _now() -> dict[str, object]:
    return {"ts": log.timestamp(time.time())}


def _described(
    *, kind: str, name: str, scope: str, cwd: str | None, task: str | None, session: str | None
) -> dict[str, object]:
    from pathlib import Path

    if not name.strip():
        raise click.UsageError("--name is empty")
    where = str(Path(cwd).expanduser().absolute()) if cwd else str(Path.cwd())
    return _now() | {
        "kind": kind,
        "name": name,
        "cwd": where,
        "scope": scope,
        "session_id": session,
        "task_id": task,
    }


def _ended(
    *, status: str | None, exit_code: int | None, error: str | None, usage: tuple[str, ...]
) -> dict[str, object]:
    """The fields of a final line. Raises `click.UsageError` for what does not go together."""
    if status is None and exit_code is None:
        raise click.UsageError("say how it ended: --status or --exit-code")
    is_bad = bool(exit_code)
    known = status or ("cancelled" if exit_code in CANCELLED else "failed" if is_bad else "succeeded")
    if error is not None and known != "failed":
        raise click.UsageError(f"--error goes with a failure, not with {known}")
    scrubbed = None if error is None else log.summary(click.get_current_context().meta[SCRUB](error))
    return {"status": known, "exit_code": exit_code, "error_summary": scrubbed, "usage": _usage(usage) or None}


def _usage(given: tuple[str, ...]) -> dict[str, int | float]:
    found: dict[str, int | float] = {}
    for one in given:
        name, _, number = one.partition("=")
        if name not in USAGE:
            raise click.UsageError(f"--usage has no {name!r}; there are {', '.join(USAGE)}")
        try:
            value = float(number) if name == "cost_usd" else int(number)
        except ValueError as error:
            raise click.UsageError(f"--usage {name} wants a number, not {number!r}") from error
        if not 0 <= value < 2**53:
            raise click.UsageError(f"--usage {name} cannot be {number}")
        found[name] = value
    return found


def _add(file: str | None, fields: dict[str, object]) -> None:
    path = log.log_path(file)
    try:
        log.append(path, log.encoded(fields))
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from error
