"""Which of many short patterns occur in some bytes? It is asked of every text, and mostly answered "none".

Three answers of the same meaning: Hyperscan's (one pass with SIMD, extra ``redact-fast``, where its wheel exists),
RE2's (one automaton), and one by one with `re`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from threading import local
from typing import Any, NamedTuple, Protocol, cast

from forwarder.pipeline.patterns import Engine, Pattern, compiler, has_re2, re2_options, scoped


class Shape(NamedTuple):
    """A short pattern that occurs in every match of a rule, and literals (in lower case) of which one does.

    `is_placed`: it is asked where it ends, every time, if that costs nothing.
    """

    regex: str | None = None
    keywords: tuple[str, ...] = ()
    is_placed: bool = False


Occurring = Mapping[int, Sequence[int] | None]
"""The indices of shapes that occur; and of some of those that are placed, where they end, in ascending order."""


class Shapes(Protocol):
    """Shapes that are looked for together; one that is empty occurs everywhere."""

    def occurs(self, data: bytes) -> bool:
        """Whether any of them does."""
        ...

    def which(self, data: bytes) -> Occurring:
        """Those that do."""
        ...


def make_shapes(shapes: Sequence[Shape], engine: Engine) -> Shapes:
    """Compile them for an engine; the patterns must be ones that it takes."""
    match engine:
        case "hyperscan":
            return HyperscanShapes(shapes)
        case "re2":
            return Re2Shapes(shapes)
        case "re":
            return ReShapes(shapes)


@cache
def installed_engines() -> tuple[Engine, ...]:
    """The fastest first; Hyperscan needs RE2 beside it. What is optional is tried once."""
    if not has_re2():
        return ("re",)
    try:
        importlib.import_module("hyperscan")
    except ImportError:
        return ("re2", "re")
    return ("hyperscan", "re2", "re")


def _as_regex(shape: Shape) -> str | None:
    if shape.regex or not shape.keywords:
        return shape.regex
    return "(?i:" + "|".join(map(_literal, shape.keywords)) + ")"


def _literal(text: str) -> str:
    return "".join(f"\\{one}" if one in r".\+*?()|[]{}^$" else one for one in text)


class Re2Shapes:
    """One automaton that finds any of them (and stops there) and one that tells which."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        re2 = cast("Any", importlib.import_module("re2"))
        options = re2_options(re2)
        options.never_capture = True
        self._everything = dict.fromkeys(range(len(shapes)))
        self._always = dict.fromkeys(index for index, shape in enumerate(shapes) if _as_regex(shape) is None)
        regexes = [(index, regex) for index, shape in enumerate(shapes) if (regex := _as_regex(shape))]
        self._indices = [index for index, _ in regexes]
        chooser = re2.Set.SearchSet(options)
        for _, regex in regexes:
            chooser.Add(regex.encode())
        chooser.Compile()
        self._which: Callable[[bytes], list[int] | None] = chooser.Match
        any_of_them = "|".join(scoped(regex) for _, regex in regexes) or r"\b\B"
        self._any: Callable[[bytes], object] = re2.compile(any_of_them.encode(), options).search

    def occurs(self, data: bytes) -> bool:
        return bool(self._always) or self._any(data) is not None

    def which(self, data: bytes) -> Occurring:
        """As promised; of all when the automaton says none though there is one, as it does when out of memory."""
        if self._any(data) is None:
            return self._always
        found = self._which(data)
        if not found:
            return self._everything
        return dict.fromkeys(self._indices[index] for index in found) | self._always


class HyperscanShapes:
    """One database, compiled when first asked (0.15 s); every thread scans with a scratch space of its own."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._hyperscan = cast("Any", importlib.import_module("hyperscan"))
        self._once = {index for index, shape in enumerate(shapes) if not shape.is_placed}
        self._regexes = {index: regex for index, shape in enumerate(shapes) if (regex := _as_regex(shape))}
        self._always = dict.fromkeys(index for index in range(len(shapes)) if index not in self._regexes)
        self._of_thread = local()

    @cached_property
    def _database(self) -> Any:
        """Of what Hyperscan takes; all else is always looked for."""
        regexes = list(self._regexes.items())
        try:
            return self._compiled(regexes)
        except self._hyperscan.error:  # of which, it does not say; all of ours one by one take twice as long
            taken = [one for one in regexes if self._takes(one)]
            self._always |= dict.fromkeys(self._regexes.keys() - dict(taken).keys())
            return self._compiled(taken)

    def _takes(self, regex: tuple[int, str]) -> bool:
        try:
            self._compiled([regex])
        except self._hyperscan.error:
            return False
        return True

    def _compiled(self, regexes: Sequence[tuple[int, str]]) -> Any:
        database = self._hyperscan.Database()
        some = regexes or [(0, r"\b\B")]
        database.compile(
            expressions=[regex.encode() for _, regex in some],
            ids=[index for index, _ in some],
            flags=[self._hyperscan.HS_FLAG_SINGLEMATCH if index in self._once else 0 for index, _ in some],
        )
        return database

    def occurs(self, data: bytes) -> bool:
        return bool(self.which(data))

    def which(self, data: bytes) -> Occurring:
        try:
            scan, scratch = self._of_thread.tools
        except AttributeError:
            database = self._database
            scan, scratch = self._of_thread.tools = database.scan, self._hyperscan.Scratch(database)
        found: dict[int, list[int] | None] = self._always.copy()
        scan(data, _note, context=found, scratch=scratch)
        return found


def _note(index: int, start: int, end: int, flags: int, found: dict[int, list[int]]) -> None:
    if ends := found.get(index):
        ends.append(end)
    else:
        found[index] = [end]


class ReShapes:
    """Keywords, then the shape, for one rule after the other; there is no quick answer for all of them."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        compile_pattern = compiler("re")
        self._shapes: list[tuple[tuple[bytes, ...], Pattern | None]] = [
            (
                tuple(keyword.encode() for keyword in shape.keywords),
                compile_pattern(shape.regex) if shape.regex else None,
            )
            for shape in shapes
        ]

    def occurs(self, data: bytes) -> bool:
        del data
        return True

    def which(self, data: bytes) -> Occurring:
        lowered = data.lower()
        return dict.fromkeys(
            index
            for index, (keywords, shape) in enumerate(self._shapes)
            if (not keywords or any(keyword in lowered for keyword in keywords))
            and (shape is None or shape.search(data) is not None)
        )
