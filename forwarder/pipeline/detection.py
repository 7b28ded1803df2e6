"""Compiled rules: where in some bytes are the secrets?

A cheap question comes first: does anything in the text have the shape of a secret (`shapes`)? Nearly all texts end
there. Only then single rules run, and of those only the ones whose shape was found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from math import log2
from typing import NamedTuple

from forwarder.pipeline.allowing import Allow, Found, Span
from forwarder.pipeline.patterns import BadPattern, Compile, Engine, Match, compiler
from forwarder.pipeline.rules import BUILTIN, Problem, Rule
from forwarder.pipeline.shapes import Occurring, Shape, make_shapes
from forwarder.pipeline.spelling import SPELLINGS, View, views
from forwarder.pipeline.walk import LineWalk, Walk, WindowWalk, ending, searched, stays_in_line

_RUN = re.compile(r"(?:\(\?i\))?\[[^\]]+\]\{\d+\}")  # a shape like ``[0-9a-f]{40}``

LONGEST_KEYWORD = 256  # bytes; without a limit, "key=key=key=…" is searched again from every "key"


class Hit(NamedTuple):
    """A rule matched ``data[first:last]``; of that ``data[start:end]`` is the secret, unless an allowlist says no.

    `plain` is what these bytes say where only another spelling of them matched.
    """

    rule: str
    first: int
    last: int
    start: int
    end: int
    is_secret: bool
    plain: bytes | None = None


class _Verdict(Enum):
    """What a match is: a harmless value may be the keyword of the next match, a harmless place speaks for its value."""

    SECRET = auto()
    HARMLESS_VALUE = auto()
    HARMLESS_PLACE = auto()


class Detector:
    """One rule, compiled. Raises `BadPattern` when the engine does not take one of its patterns."""

    __slots__ = ("_allows", "_entropy", "_group", "_groups", "_pattern", "_shape", "id", "is_placed")

    def __init__(self, rule: Rule, compile_pattern: Compile) -> None:
        self.id = rule.id
        self._pattern = compile_pattern(rule.regex)
        shape = compile_pattern(rule.shape, captures=False) if rule.shape else None
        stays = stays_in_line(rule.regex)
        self._shape = shape if stays else None
        has_shape = bool(rule.shape) or (bool(rule.keywords) and rule.origin == BUILTIN)
        self.is_placed = stays and has_shape and not _RUN.fullmatch(rule.shape or "")
        """Whether its shape, or a keyword, is in the line of every match, and does not end at each byte of a run."""
        self._entropy = rule.entropy
        self._group = rule.group
        self._allows = tuple(Allow(allow, compile_pattern) for allow in rule.allowlists)
        self._groups = range(1, self._pattern.groups + 1)
        if not 0 <= rule.group <= self._pattern.groups:
            raise BadPattern(f"secretGroup {rule.group}, but the regex has {self._pattern.groups} groups")

    def hits(self, data: bytes, ends: Sequence[int] | None = None) -> Iterator[Hit]:
        """Every match, also those that are no secret after all; after one of these the search goes on inside it.

        `ends` says where in the bytes its shape ends, for a detector that is placed.
        """
        walk, position = self._walk(data, ends), 0
        while position <= len(data) and (match := walk.next(position)):
            first, last = match.span()
            start, end = self._secret(match, (first, last))
            verdict = self._judge(Found(data, (first, last), (start, end)))
            yield Hit(self.id, first, last, start, end, verdict is _Verdict.SECRET)
            may_be_keyword = verdict is _Verdict.HARMLESS_VALUE and first < start and end - start <= LONGEST_KEYWORD
            position = max(start if may_be_keyword else last, first + 1)

    def _walk(self, data: bytes, ends: Sequence[int] | None) -> Walk:
        if ends is not None and self.is_placed:
            return LineWalk(self._pattern, ending(ends), data)
        if self._shape:
            return LineWalk(self._pattern, searched(self._shape, data), data)
        return WindowWalk(self._pattern, data)

    def _secret(self, match: Match, whole: Span) -> Span:
        if self._group:
            return match.span(self._group)
        for number in self._groups:
            span = match.span(number)
            if span[1] > span[0]:
                return span
        return whole

    def _judge(self, found: Found) -> _Verdict:
        start, end = found.secret
        if start == end or (self._entropy and _entropy(found.data[start:end]) <= self._entropy):
            return _Verdict.HARMLESS_VALUE
        for allow in self._allows:
            if allow.permits(found):
                return _Verdict.HARMLESS_VALUE if allow.target == "secret" else _Verdict.HARMLESS_PLACE
        return _Verdict.SECRET


class Detectors:
    """Rules that are asked together, behind one prefilter. `problems` names the rules that the engine refused."""

    def __init__(self, rules: Iterable[Rule], engine: Engine) -> None:
        """Compile what the engine takes. Raises `MissingExtra` when the engine itself is not there."""
        compile_pattern = compiler(engine)
        self.problems: list[Problem] = []
        self._detectors: list[Detector] = []
        shapes: list[Shape] = []
        for rule in rules:
            try:
                self._detectors.append(detector := Detector(rule, compile_pattern))
            except BadPattern as error:
                self.problems.append(Problem(rule.id, rule.origin, f"the regex engine refuses it: {error}"))
            else:
                shapes.append(Shape(rule.shape, rule.keywords, detector.is_placed))
        prefilter = make_shapes([*shapes, *SPELLINGS], engine)
        self.may_hold = prefilter.occurs
        """False when there is certainly no secret in the bytes; `re` has no quick answer."""
        self._which = prefilter.which

    def hits(self, data: bytes) -> list[Hit]:
        """All matches of all rules, in no order; also in what the bytes say when escapes and base64 are read."""
        found = self._which(data)
        if not found:
            return []
        hits = list(self._hits(data, found))
        spellings = [index - len(self._detectors) for index in found if index >= len(self._detectors)]
        for view in views(data, spellings) if spellings else ():
            for hit in self._hits(view.data, self._which(view.data)):
                hits += _translated(hit, view)
        return hits

    def _hits(self, data: bytes, found: Occurring) -> Iterator[Hit]:
        for index, ends in found.items():
            if index < len(self._detectors):
                yield from self._detectors[index].hits(data, ends)


def _translated(hit: Hit, view: View) -> Iterator[Hit]:
    """A hit in a view as one in the original."""
    if hit.last > hit.first:
        start, end = view.original(hit.start, hit.end) if hit.end > hit.start else (0, 0)
        first, last = view.original(hit.first, hit.last)
        yield Hit(hit.rule, first, last, start, end, hit.is_secret, view.data[hit.start : hit.end])


def _entropy(secret: bytes) -> float:
    """Shannon entropy in bits per byte."""
    size = len(secret)
    return -sum(count / size * log2(count / size) for count in Counter(secret).values())
