"""What went wrong, in one line, and the exit status that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from forwarder.app.exits import Exit
from forwarder.errors import ConfigError, ForwarderError, StateError
from forwarder.pipeline.redaction import Redactor
from forwarder.pipeline.rules import Rules


def explain(errors: BaseExceptionGroup[ForwarderError]) -> tuple[str, Exit]:
    """The line for stderr, scrubbed by the built-in rules like everything that leaves the process, and the status."""
    leaves = list(dict.fromkeys(_leaves(errors)))
    words = "; ".join(dict.fromkeys(map(str, leaves)))
    return f"forwarder: {Redactor(Rules.load_builtin()).scrub(words)}", _status(leaves[0])


def _status(error: BaseException) -> Exit:
    match error:
        case ConfigError():
            return Exit.USAGE
        case StateError():
            return Exit.STATE
        case _:
            return Exit.PROBLEM


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(one)
    else:
        yield error
