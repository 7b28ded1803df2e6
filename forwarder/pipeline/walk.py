"""One pattern after another through a text, in time that grows with the text whatever the pattern is.

A single search with RE2 is linear; a search for every match is not: ``a.*b|a`` looks through the whole rest of
``aaaa…`` before it takes one letter. So only the first search sees all of the text. Later ones see a window, which
grows when nothing is found in it or when a match touches its end; what all windows together may grow by is limited.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Protocol

from forwarder.pipeline.patterns import Match, Pattern

WINDOW = 4096  # bytes; searching them takes RE2 about as long as Python takes to handle the match
GROWTH = 4  # a window that was too small is followed by one so many times as large
ALLOWANCE = 8  # what windows may grow by in all, in lengths of the text; honest rules and texts need one or two
OVERLAP = 1024  # bytes seen again by the next window when the allowance is used up


class Walk(Protocol):
    """Finds the matches of a pattern in a text, one after the other."""

    def next(self, position: int) -> Match | None:
        """The first match at or behind `position`, which must not go back."""
        ...


class WindowWalk:
    """Looks through the whole text, or from where it was last asked up to `end`."""

    __slots__ = ("_allowance", "_data", "_is_first", "_pattern", "end")

    def __init__(self, pattern: Pattern, data: bytes) -> None:
        self._pattern = pattern
        self._data = data
        self._allowance = ALLOWANCE * len(data)
        self._is_first = True
        self.end = len(data)

    def next(self, position: int) -> Match | None:
        """As a `Walk` promises."""
        size = self.end
        end = size if self._is_first else min(position + WINDOW, size)
        self._is_first = False
        while True:
            match = self._pattern.search(self._data, position, end)
            if end == size or (match and match.span()[1] < end):
                return match
            if self._allowance > 0:
                self._allowance -= GROWTH * (end - position)
                end = min(position + GROWTH * (end - position), size)
            elif match:
                return match
            else:
                position, end = end - OVERLAP, min(end - OVERLAP + WINDOW, size)


Place = Callable[[int], int | None]
"""The next byte at or behind a position in whose line a match may begin at the position or later."""


def searched(shape: Pattern, data: bytes) -> Place:
    """Where a shape occurs, looked for when it is asked for; once a line, for a line may have thousands."""
    line_end = -1

    def place(position: int) -> int | None:
        nonlocal line_end
        if position < line_end:
            return position
        match = shape.search(data, position)
        if match is None:
            return None
        position = match.span()[0]
        end = data.find(b"\n", position)
        line_end = len(data) if end < 0 else end
        return position

    return place


def ending(ends: Sequence[int]) -> Place:
    """Where a shape ends, every time, known already and in order."""

    def place(position: int) -> int | None:
        index = bisect_right(ends, position)
        return ends[index] - 1 if index < len(ends) else None

    return place


class LineWalk:
    """Looks only at lines that have a place: for patterns whose every match has one in it, and no newline."""

    __slots__ = ("_data", "_place", "_walk")

    def __init__(self, pattern: Pattern, place: Place, data: bytes) -> None:
        self._place = place
        self._data = data
        self._walk = WindowWalk(pattern, data)
        self._walk.end = -1

    def next(self, position: int) -> Match | None:
        """As a `Walk` promises."""
        while (place := self._place(position)) is not None:
            if place >= self._walk.end:
                end = self._data.find(b"\n", place)
                self._walk.end = len(self._data) if end < 0 else end
                position = max(position, self._data.rfind(b"\n", position, place) + 1)
            if match := self._walk.next(position):
                return match
            position = max(self._walk.end, place + 1)
        return None


_PART = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\(\?[a-zA-Z]*|\\.|[\s\S]")
_MANY_CHARACTERS = re.compile(r"\\[snvWDHVNCpPQx0]|\[:|[\x00-\x1f]")


def stays_in_line(regex: str) -> bool:
    """Whether no match contains a newline, as far as one can tell; False when in doubt."""
    return all(map(_is_not_newline, _PART.findall(regex)))


def _is_not_newline(part: str) -> bool:
    if part.startswith("[^"):
        return r"\n" in part or r"\s" in part
    if part.startswith("(?"):
        return "s" not in part
    return _MANY_CHARACTERS.search(part) is None
