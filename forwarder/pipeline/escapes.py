"""Texts that hold JSON escapes such as ``\\u0040`` for ``@``: read plain, with the way back to the original offsets."""

from __future__ import annotations

import re
from bisect import bisect_right

_ESCAPE = re.compile(rb"\\+u00([2-7][0-9a-fA-F])")

SHAPE = r"\\u00[2-7]"
"""What must occur in a text for `Unescaped` to differ from it."""


class Unescaped:
    """`data` with every escaped ASCII character written plainly, however many backslashes stand before the ``u``."""

    __slots__ = ("_ends", "_plain", "_starts", "data")

    def __init__(self, original: bytes) -> None:
        """Keep for every piece where it begins in `data`, and where it begins and ends in the original."""
        pieces: list[bytes] = []
        self._plain, self._starts, self._ends = [0], [0], [0]
        length = position = 0
        for match in _ESCAPE.finditer(original):
            literal = original[position : match.start()]
            pieces += literal, bytes.fromhex(match[1].decode())
            self._ends[-1] = match.start()
            self._add(length + len(literal), match.start(), match.end())
            length += len(literal) + 1
            position = match.end()
            self._add(length, position, position)
        self._ends[-1] = len(original)
        self.data = b"".join([*pieces, original[position:]])

    def _add(self, plain: int, start: int, end: int) -> None:
        self._plain.append(plain)
        self._starts.append(start)
        self._ends.append(end)

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that says ``data[start:end]``; the span must not be empty."""
        first, last = bisect_right(self._plain, start) - 1, bisect_right(self._plain, end - 1) - 1
        is_escape = last % 2 == 1  # literal pieces and escapes take turns
        stop = self._ends[last] if is_escape else self._starts[last] + end - self._plain[last]
        return self._starts[first] + start - self._plain[first], stop
