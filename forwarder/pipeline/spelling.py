"""Other spellings of a text: JSON, URL and HTML escapes of ASCII characters, and base64; with the way back.

A `View` is what some bytes say when such spellings are read, and knows which of the original bytes say it. Views are
searched like the text itself, so that ``jo%40example.org`` and the base64 of a key are found.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Protocol

from forwarder.pipeline.shapes import Shape

# The repetitions are limited, so that a long row of backslashes is not gone through from each of them.
_ESCAPE = re.compile(
    rb"\\{1,16}(?:u00|x)(?P<json>[2-7][0-9A-Fa-f])"
    rb"|%(?:25){0,4}(?P<url>[2-7][0-9A-Fa-f])"
    rb"|&(?:amp;){0,4}(?:#0{0,5}(?P<decimal>3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6]);|#[xX]0{0,5}(?P<hex>[2-7][0-9A-Fa-f]);"
    rb"|(?P<name>quot|apos|amp|lt|gt|commat|colon|sol|equals|lowbar|period|dollar|percnt|excl|num);)"
)
_NAMES = {
    b"quot": b'"',
    b"apos": b"'",
    b"amp": b"&",
    b"lt": b"<",
    b"gt": b">",
    b"commat": b"@",
    b"colon": b":",
    b"sol": b"/",
    b"equals": b"=",
    b"lowbar": b"_",
    b"period": b".",
    b"dollar": b"$",
    b"percnt": b"%",
    b"excl": b"!",
    b"num": b"#",
}
_ESCAPE_SHAPE = r"\\(?:u00|x)[2-7][0-9A-Fa-f]|%[2-7][0-9A-Fa-f]|&(?:#[xX0-9]|[a-z]+;)"
_ESCAPE_SIGNS = (b"%", b"&", b"\\u00", b"\\x")

# Four letters say three bytes. When these are ASCII, their highest bits leave a letter of the first three places half
# of its values: five such groups in a row are no accident, and are rare in code and paths. They begin where a word
# does: with groups that begin anywhere, RE2's automaton has so many states that it is ten times slower.
_SECOND, _THIRD = "[A-HQ-Xg-nw-z0-3]", "[ABEFIJMNQRUVYZcdghklopstwx014589]"
_GROUP = f"[A-Za-f]{_SECOND}{_THIRD}[A-Za-z0-9+/_-]"
_BASE64_SHAPE = rf"(?:^|[^A-Za-z0-9]|\\[nrt])(?:{_GROUP}){{5}}"
_BASE64 = re.compile(
    rf"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:{_GROUP}){{5,}}"
    rf"(?:[A-Za-f][AQgw](?:==)?|[A-Za-f]{_SECOND}[AEIMQUYcgkosw048]=?)?".encode()
)
_STANDARD_LETTERS = bytes.maketrans(b"-_", b"+/")

SPELLINGS = (Shape(_ESCAPE_SHAPE), Shape(_BASE64_SHAPE))
"""What occurs in a text for which there is a view: of escapes, and of base64."""

STRETCH = 8
"""How many original bytes commonly say one byte of a view of escapes: ``&#x0040;`` is one character."""


class View(Protocol):
    """What the original says, in plain bytes."""

    data: bytes

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that says ``data[start:end]``; the span must not be empty."""
        ...


def views(data: bytes, spellings: Sequence[int]) -> Iterator[View]:
    """The views of `data` for those `SPELLINGS` that occur in it."""
    if 0 in spellings:
        yield Unescaped(data)
    if 1 in spellings:
        for match in _BASE64.finditer(data):
            yield Decoded(match)


def may_be_escaped(data: bytes) -> bool:
    """Whether there is a sign that begins an escape."""
    return any(sign in data for sign in _ESCAPE_SIGNS)


class Unescaped:
    """`data` with every escaped ASCII character written plainly, however often it was escaped again."""

    __slots__ = ("_ends", "_original", "_plain", "_starts", "data")

    def __init__(self, original: bytes) -> None:
        self._original = original
        self._plain: list[int] = []
        self.data = _ESCAPE.sub(_character, original)

    def original(self, start: int, end: int) -> tuple[int, int]:
        """As a `View` promises."""
        if not self._plain:
            self._trace()
        first, last = bisect_right(self._plain, start) - 1, bisect_right(self._plain, end - 1) - 1
        is_escape = last % 2 == 1  # literal pieces and escapes take turns
        stop = self._ends[last] if is_escape else self._starts[last] + end - self._plain[last]
        return self._starts[first] + start - self._plain[first], stop

    def _trace(self) -> None:
        """Note for every piece where it begins in `data`, and where it begins and ends in the original."""
        self._plain, self._starts, self._ends = [0], [0], [0]
        length = position = 0
        for match in _ESCAPE.finditer(self._original):
            length += match.start() - position
            self._ends[-1] = match.start()
            self._add(length, match.start(), match.end())
            length += 1
            position = match.end()
            self._add(length, position, position)
        self._ends[-1] = len(self._original)

    def _add(self, plain: int, start: int, end: int) -> None:
        self._plain.append(plain)
        self._starts.append(start)
        self._ends.append(end)


def _character(match: re.Match[bytes]) -> bytes:
    kind, value = match.lastgroup, match[match.lastindex or 0]
    if kind == "name":
        return _NAMES[value]
    return bytes([int(value, 10 if kind == "decimal" else 16)])


class Decoded:
    """What a run of base64 says, in either alphabet."""

    __slots__ = ("_end", "_start", "data")

    def __init__(self, match: re.Match[bytes]) -> None:
        self._start, self._end = match.span()
        letters = match[0].rstrip(b"=").translate(_STANDARD_LETTERS)
        self.data = a2b_base64(letters + b"=" * (-len(letters) % 4))

    def original(self, start: int, end: int) -> tuple[int, int]:
        """As a `View` promises: whole groups of four letters."""
        return self._start + start // 3 * 4, min(self._start + (end + 2) // 3 * 4, self._end)
