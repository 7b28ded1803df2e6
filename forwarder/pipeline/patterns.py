"""The two regex engines behind one door: google-re2 (linear time, extra ``redact``) and the standard library's `re`.

Hyperscan, the third name of an engine, only looks for shapes (`shapes.py`); its rules are RE2's.

Both work on bytes of UTF-8: offsets need no translation, classes such as ``\\w`` and case folding are ASCII in both,
and a negated class matches any byte. A pattern written in the syntax that both share finds the same in both.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, Protocol, cast

from forwarder.errors import MissingExtra

Engine = Literal["hyperscan", "re2", "re"]

# Bytes for the states of one RE2 automaton; there are two of them. With 8 MiB source code makes it start over (7.8 µs a
# preview against 7.3), 32 MiB gain nothing and are held for ever.
MAX_MEMORY = 12 << 20


class Match(Protocol):
    """What is used of an engine's match; positions are bytes."""

    def span(self, group: int = 0, /) -> tuple[int, int]: ...


class Pattern(Protocol):
    """What is used of an engine's pattern."""

    @property
    def groups(self) -> int: ...
    def search(self, data: bytes, pos: int = 0, endpos: int = sys.maxsize, /) -> Match | None: ...


Compile = Callable[..., Pattern]


class BadPattern(Exception):
    """The engine does not take this pattern; the text is the engine's own."""


@cache
def has_re2() -> bool:
    """Whether google-re2 can be imported; it is tried once."""
    try:
        importlib.import_module("re2")
    except ImportError:
        return False
    return True


def compiler(engine: Engine) -> Compile:
    """`compile(regex, *, captures=True)` of an engine. Raises `MissingExtra`; what it returns raises `BadPattern`."""
    if engine == "re":
        return _compile_re
    if not has_re2():
        raise MissingExtra("the redaction engine re2", extra="redact")
    return _compile_re2


def _compile_re(regex: str, *, captures: bool = True) -> Pattern:
    del captures  # costs nothing here
    try:
        return re.compile(_in_re_syntax(regex).encode())
    except (re.error, OverflowError) as error:
        raise BadPattern(str(error)) from error


def _in_re_syntax(regex: str) -> str:
    """RE2's ``\\z`` and ``\\s`` (which has no vertical tab) as `re` writes them."""
    in_class = False

    def translated(token: re.Match[str]) -> str:
        nonlocal in_class
        match token[0]:
            case "[" | "]":
                in_class = token[0] == "["
            case r"\z":
                return r"\Z"
            case r"\s":
                return r"\t\n\f\r " if in_class else r"[\t\n\f\r ]"
            case r"\S":
                return r"\S\v" if in_class else r"[^\t\n\f\r ]"
            case _:
                pass
        return token[0]

    return re.sub(r"\\.|[\[\]]", translated, regex)


def _compile_re2(regex: str, *, captures: bool = True) -> Pattern:
    re2 = cast("Any", importlib.import_module("re2"))
    options = re2_options(re2)
    options.never_capture = not captures
    try:
        return cast("Pattern", re2.compile(regex.encode(), options))
    except re2.error as error:
        text = error.args[0] if error.args else error
        raise BadPattern(text.decode() if isinstance(text, bytes) else str(text)) from error


def re2_options(re2: Any) -> Any:
    """What all patterns are compiled with."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = MAX_MEMORY
    options.log_errors = False
    return options


def scoped(regex: str) -> str:
    """The pattern as a part of an alternation: leading flags hold for it alone."""
    flags = re.match(r"\(\?([a-z]+)\)", regex)
    return f"(?{flags[1]}:{regex[flags.end() :]})" if flags else f"(?:{regex})"
