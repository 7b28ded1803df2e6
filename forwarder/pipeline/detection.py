"""Compiled rules: where in some bytes are the secrets?

A cheap question comes first: does anything in the text have the shape of a secret (`Detectors.may_hold`)? Nearly all
texts end there. Only then single rules run, and of those only the ones whose shape was found. The standard library's
`re` has no such question for all rules at once; there, keyword and shape are looked for rule by rule.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from math import log2
from typing import NamedTuple

from forwarder.pipeline.escapes import SHAPE, Unescaped
from forwarder.pipeline.patterns import BadPattern, Engine, Match, Pattern, ShapeSet, compiler
from forwarder.pipeline.rules import Allowlist, Problem, Rule

Compile = Callable[..., Pattern]

LONGEST_KEYWORD = 256  # bytes; without a limit, "key=key=key=…" is searched again from every "key"

_ESCAPE_SHAPE = re.compile(SHAPE.encode())


class Hit(NamedTuple):
    """A rule matched ``data[first:last]``; of that ``data[start:end]`` is the secret, unless an allowlist says no."""

    rule: str
    first: int
    last: int
    start: int
    end: int
    is_secret: bool


class _Verdict(Enum):
    """What a match is: a harmless value may be the keyword of the next match, a harmless place speaks for its value."""

    SECRET = auto()
    HARMLESS_VALUE = auto()
    HARMLESS_PLACE = auto()


@dataclass(frozen=True)
class _Allow:
    target: str
    patterns: tuple[Pattern, ...]
    stopwords: tuple[bytes, ...]

    def permits(self, data: bytes, match: tuple[int, int], secret: tuple[int, int]) -> bool:
        if self.stopwords:
            lowered = data[slice(*secret)].lower()
            if any(word in lowered for word in self.stopwords):
                return True
        if not self.patterns:
            return False
        text = data[slice(*self._extent(data, match, secret))]
        return any(pattern.search(text) for pattern in self.patterns)

    def _extent(self, data: bytes, match: tuple[int, int], secret: tuple[int, int]) -> tuple[int, int]:
        if self.target == "line":
            end = data.find(b"\n", match[1])
            return data.rfind(b"\n", 0, match[0]) + 1, len(data) if end < 0 else end
        return match if self.target == "match" else secret


class Detector:
    """One rule, compiled. Raises `BadPattern` when the engine does not take one of its patterns."""

    __slots__ = ("_allows", "_entropy", "_group", "_keywords", "_pattern", "_shape", "id")

    def __init__(self, rule: Rule, compile_pattern: Compile) -> None:
        self.id = rule.id
        self._keywords = tuple(keyword.encode() for keyword in rule.keywords)
        self._shape = compile_pattern(rule.shape, captures=False) if rule.shape else None
        self._pattern = compile_pattern(rule.regex)
        self._entropy = rule.entropy
        self._group = rule.group
        self._allows = tuple(_compile_allow(allow, compile_pattern) for allow in rule.allowlists)
        if rule.group > self._pattern.groups:
            raise BadPattern(f"secretGroup {rule.group}, but the regex has {self._pattern.groups} groups")

    def may_hit(self, data: bytes, lowered: bytes) -> bool:
        """False when the rule certainly does not match; `lowered` is `data` in lower case."""
        if self._keywords and not any(keyword in lowered for keyword in self._keywords):
            return False
        return self._shape is None or self._shape.search(data) is not None

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Every match, also those that are no secret after all; after one of these the search goes on inside it."""
        position = 0
        while position <= len(data) and (match := self._pattern.search(data, position)):
            first, last = match.span()
            start, end = self._secret(match)
            verdict = self._judge(data, (first, last), (start, end))
            yield Hit(self.id, first, last, start, end, verdict is _Verdict.SECRET)
            may_be_keyword = verdict is _Verdict.HARMLESS_VALUE and end - start <= LONGEST_KEYWORD
            position = max(start if may_be_keyword else last, first + 1)

    def _secret(self, match: Match) -> tuple[int, int]:
        if self._group:
            return match.span(self._group)
        groups = (match.span(number) for number in range(1, self._pattern.groups + 1))
        return next((span for span in groups if span[1] > span[0]), match.span())

    def _judge(self, data: bytes, match: tuple[int, int], secret: tuple[int, int]) -> _Verdict:
        if secret[0] == secret[1] or (self._entropy and _entropy(data[slice(*secret)]) < self._entropy):
            return _Verdict.HARMLESS_VALUE
        for allow in self._allows:
            if allow.permits(data, match, secret):
                return _Verdict.HARMLESS_VALUE if allow.target == "secret" else _Verdict.HARMLESS_PLACE
        return _Verdict.SECRET


class Detectors:
    """Rules that are asked together, behind one prefilter. `problems` names the rules that the engine refused."""

    def __init__(self, rules: Iterable[Rule], engine: Engine) -> None:
        """Compile what the engine takes. Raises `MissingExtra` when the engine itself is not there."""
        compile_pattern = compiler(engine)
        self.problems: list[Problem] = []
        self._detectors: list[Detector] = []
        shapes: list[str] = []
        for rule in rules:
            try:
                self._detectors.append(Detector(rule, compile_pattern))
            except BadPattern as error:
                self.problems.append(Problem(rule.id, rule.origin, f"the regex engine refuses it: {error}"))
            else:
                shapes.append(_shape(rule))
        self._shapes = ShapeSet([*shapes, SHAPE]) if engine == "re2" else None
        self.may_hold: Callable[[bytes], bool] = self._shapes.occurs if self._shapes else bool
        """False when there is certainly no secret in the bytes; `re` has no quick answer."""

    def hits(self, data: bytes) -> Iterator[Hit]:
        """All matches of all rules, in no order; JSON escapes of ASCII characters are read as the characters."""
        yield from self._plain_hits(data)
        if _ESCAPE_SHAPE.search(data):
            plain = Unescaped(data)
            for hit in self._plain_hits(plain.data):
                yield from _translated(hit, plain)

    def _plain_hits(self, data: bytes) -> Iterator[Hit]:
        for detector in self._candidates(data):
            yield from detector.hits(data)

    def _candidates(self, data: bytes) -> Iterator[Detector]:
        if self._shapes is not None:
            for index in self._shapes.which(data):
                if index < len(self._detectors):  # the last shape is that of an escape
                    yield self._detectors[index]
            return
        lowered = data.lower()
        for detector in self._detectors:
            if detector.may_hit(data, lowered):
                yield detector


def _translated(hit: Hit, plain: Unescaped) -> Iterator[Hit]:
    """A hit in the unescaped text as one in the original."""
    if hit.last > hit.first:
        start, end = plain.original(hit.start, hit.end) if hit.end > hit.start else (0, 0)
        first, last = plain.original(hit.first, hit.last)
        yield Hit(hit.rule, first, last, start, end, hit.is_secret)


def _compile_allow(allow: Allowlist, compile_pattern: Compile) -> _Allow:
    patterns = tuple(compile_pattern(regex, captures=False) for regex in allow.regexes)
    return _Allow(allow.target, patterns, tuple(word.encode() for word in allow.stopwords))


def _shape(rule: Rule) -> str:
    """What to look for before the rule itself is tried; a rule with nothing to offer is always tried."""
    if rule.shape:
        return rule.shape
    if rule.keywords:
        return "(?i:" + "|".join(re.escape(keyword) for keyword in rule.keywords) + ")"
    return rule.regex


def _entropy(secret: bytes) -> float:
    """Shannon entropy in bits per byte."""
    size = len(secret)
    return -sum(count / size * log2(count / size) for count in Counter(secret).values())
