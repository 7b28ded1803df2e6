"""Allowlists, compiled: what is no secret although a rule matched it."""

from __future__ import annotations

from typing import NamedTuple

from forwarder.pipeline.patterns import Compile, Pattern, scoped
from forwarder.pipeline.rules import Allowlist

Span = tuple[int, int]


class Found(NamedTuple):
    """A match of a rule in `data`, and the part of it that would be the secret."""

    data: bytes
    match: Span
    secret: Span


class Allow:
    """One allowlist. Raises `BadPattern` when the engine does not take one of its patterns."""

    __slots__ = ("_demands_both", "_line", "_pattern", "_stopwords", "target")

    def __init__(self, allow: Allowlist, compile_pattern: Compile) -> None:
        """All regexes become one alternation: each search costs the engine a call."""
        self.target = allow.target
        self._demands_both = allow.demands_all and bool(allow.regexes) and bool(allow.stopwords)
        self._stopwords = tuple(word.encode() for word in allow.stopwords)
        regexes = "|".join(map(scoped, allow.regexes))
        for regex in allow.regexes:  # each alone first: "a)|(b" is one pattern only together
            compile_pattern(regex, captures=False)
        self._pattern: Pattern | None = compile_pattern(regexes, captures=False) if regexes else None
        self._line: tuple[bytes, int, int, bool] | None = None

    def permits(self, found: Found) -> bool:
        """Whether the allowlist holds for this match."""
        if self._stopwords:
            has_stopword = self._has_stopword(found)
            if has_stopword != self._demands_both:
                return has_stopword
        return self._pattern is not None and self._fits(self._pattern, found)

    def _has_stopword(self, found: Found) -> bool:
        lowered = found.data[slice(*found.secret)].lower()
        return any(word in lowered for word in self._stopwords)

    def _fits(self, pattern: Pattern, found: Found) -> bool:
        if self.target == "line":
            return self._fits_line(pattern, found)
        return pattern.search(found.data[slice(*(found.match if self.target == "match" else found.secret))]) is not None

    def _fits_line(self, pattern: Pattern, found: Found) -> bool:
        """Every line is looked at once: a long one may hold thousands of matches."""
        first, last = found.match
        seen = self._line
        if seen and seen[0] is found.data and seen[1] <= first and last <= seen[2]:
            return seen[3]
        end = found.data.find(b"\n", last)
        start, end = found.data.rfind(b"\n", 0, first) + 1, len(found.data) if end < 0 else end
        fits = pattern.search(found.data[start:end]) is not None
        self._line = found.data, start, end, fits
        return fits
