"""Takes secrets out of texts before they are stored, logged or sent: scrub first, then cut.

A preview shows 50 characters, so only a window of the text is searched. That is exact, not a guess: whether a rule
matches at some place is decided within `REACH` bytes from there (`STRETCH` times as many where characters are escaped)
or within the same run of non-blank characters, so everything before the last `REACH` bytes of a window is judged as it
would be in the whole text; a match that reaches further makes the window grow. A property
test holds ``preview(text) == cut(scrub(text))``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Literal, NamedTuple

from forwarder.errors import ConfigError, MissingExtra
from forwarder.pipeline.detection import Detectors, Hit
from forwarder.pipeline.patterns import Engine
from forwarder.pipeline.pseudonyms import Pseudonyms
from forwarder.pipeline.rules import BUILTIN, Problem, Rule, Rules
from forwarder.pipeline.shapes import installed_engines
from forwarder.pipeline.spelling import STRETCH, may_be_escaped

REDACTED = "[REDACTED]"
PREVIEW_CHARS = 50

REACH = 352  # bytes: 256, to which tests hold every built-in rule, in base64
WINDOW = 384  # characters: the preview, 256, and some room so that one short secret needs no second look
SEARCHED = 512  # characters: the same with the reach in base64, for the few texts that are searched
LONGEST_RUN = 4096  # characters: keys and passwords are shorter, and images in base64 must not cost much more
LONGEST_HEAD = 1 << 16  # characters that are scrubbed for the first few: ten times what a key in escapes takes
LONGEST_NAME = 1024  # characters of a name that is kept in memory for the next time

_BLANK = re.compile(r"\s")
_END = attrgetter("end")


class Level(IntEnum):
    """How much of a content field remains, ordered from strict to lax. `RAW` is `none` with ``scrub = false``."""

    FULL = 0
    PREVIEW = 1
    NONE = 2
    RAW = 3


class Taken(NamedTuple):
    """A secret that was taken out of a text. For fingerprints only: `value` is the secret, and may not be kept."""

    rule: str
    value: bytes


class Finding(NamedTuple):
    """A secret at characters ``start`` to ``end`` of the text; the value itself is not told."""

    rule: str
    start: int
    end: int


class Redactor:
    """The rules at work. `counts` has the secrets found so far by rule id, `problems` the rules that are not in use."""

    def __init__(
        self, rules: Rules, *, engine: Literal["auto"] | Engine = "auto", pseudonyms: Pseudonyms | None = None
    ) -> None:
        """`auto` takes the fastest that is installed.

        Raises `MissingExtra` when re2 is asked for or needed and absent: `re` can be made to hang by patterns that were
        not written with that in mind.
        """
        builtin = [rule for rule in rules.rules if rule.origin == BUILTIN]
        added = [rule for rule in rules.rules if rule.origin != BUILTIN]
        chosen = installed_engines()[0] if engine == "auto" else engine
        if engine == "auto" and chosen == "re" and rules.foreign:
            raise MissingExtra(f"regular expressions of your own ({rules.foreign[0]})", extra="redact")
        groups = [_compiled(tuple(group), chosen) for group in (builtin, added) if group]
        self.engine = chosen
        self.counts: Counter[str] = Counter()
        self.problems: tuple[Problem, ...] = (*rules.problems, *chain.from_iterable(g.problems for g in groups))
        if refused := [problem for problem in self.problems if problem.origin == BUILTIN]:
            raise ConfigError(f"{', '.join(rules.foreign) or BUILTIN}: {refused[0].reason}")
        self._groups = groups
        self._pseudonyms = pseudonyms
        self._name = lru_cache(maxsize=4096)(self.scrub)
        self._secretless = lru_cache(maxsize=4096)(self._scrubbed)

    def scrub(self, text: str, taken: list[Taken] | None = None) -> str:
        """The text with every secret replaced by ``[REDACTED]``, and names by pseudonyms where these are wanted.

        What was found is added to `taken`, each secret once.
        """
        return self._scrubbed(self._pseudonyms.replace(text) if self._pseudonyms else text, taken)

    def _scrubbed(self, text: str, taken: list[Taken] | None = None) -> str:
        data = text.encode("utf-8", "surrogatepass")
        secrets = [hit for hit in self._hits(data) if hit.is_secret]
        if not secrets:
            return text
        spans = _merged(secrets)
        self._count(spans)
        if taken is not None:
            taken += _told(data, secrets)
        return _replaced(data, spans, len(data))

    def preview(self, text: str, taken: list[Taken] | None = None) -> str:
        """The scrubbed text cut to 50 characters, ``…`` appended when it was longer; cheap also for long texts.

        To `taken` is added what was found up to the cut.
        """
        if self._pseudonyms:
            text = self._pseudonyms.replace(text)
        begin = text[:WINDOW].encode("utf-8", "surrogatepass")
        for group in self._groups:
            if group.may_hold(begin):
                return self._searched_preview(text, taken)
        return _cut(text)  # a secret that shows would have its shape in the window

    def _searched_preview(self, text: str, taken: list[Taken] | None) -> str:
        size = _window(text, SEARCHED)
        while True:
            data = text[:size].encode("utf-8", "surrogatepass")
            hits = self._hits(data)
            limit = len(data) if size >= len(text) else _decided(data, hits)
            secrets = [hit for hit in hits if hit.is_secret and hit.last <= limit]
            spans = _merged(secrets)
            shown = _replaced(data, spans, limit)
            if size >= len(text) or len(shown) > PREVIEW_CHARS:
                self._count(spans)
                if taken is not None:
                    taken += _told(data, secrets)
                return _cut(shown)
            size = _window(text, 2 * size)

    def content(self, text: str, level: Level, taken: list[Taken] | None = None) -> str | None:
        """A content field at a level: None when the field is to be left out. What was found is added to `taken`."""
        match level:
            case Level.PREVIEW:
                return self.preview(text, taken)
            case Level.NONE:
                return self.scrub(text, taken)
            case Level.FULL:
                return None
            case Level.RAW:
                return text

    def name(self, text: str) -> str:
        """A short text that comes again and again (folder, branch, tool): scrubbed, never cut, remembered."""
        return self._name(text) if len(text) <= LONGEST_NAME else self.scrub(text)

    def secretless(self, text: str) -> str:
        """The text without its secrets; names stay also where pseudonyms are wanted. Remembered like a name."""
        return self._secretless(text) if len(text) <= LONGEST_NAME else self._scrubbed(text)

    def path(self, path: str) -> str:
        """A file's path without secrets, in one of its names or across them; it is no longer where the file is."""
        return self.secretless("/".join(map(self.secretless, path.split("/"))))

    def has_secret(self, text: str) -> bool:
        """Whether there is a secret in the text; it is not counted, for nothing is taken out."""
        return any(True for _ in self.findings(text))

    def head(self, text: str, chars: int) -> str:
        """So many characters of the scrubbed text; of a very long one only the beginning is looked at."""
        return self.scrub(text[:LONGEST_HEAD])[:chars]

    def taken_from(self, name: str) -> list[Taken]:
        """What `name` takes out of a name."""
        taken: list[Taken] = []
        self.scrub(name, taken)
        return taken

    def findings(self, text: str) -> Iterator[Finding]:
        """Where the secrets of a text are, in order, one for every place that `scrub` replaces."""
        data = text.encode("utf-8", "surrogatepass")
        for rule, first, last in _merged(hit for hit in self._hits(data) if hit.is_secret):
            start, end = _boundary(data, first, step=-1), _boundary(data, last, step=1)
            before = _length(data[:start])
            yield Finding(rule, before, before + _length(data[start:end]))

    def _hits(self, data: bytes) -> list[Hit]:
        hits: list[Hit] = []
        for group in self._groups:
            hits += group.hits(data)
        return hits

    def _count(self, spans: Iterable[Finding]) -> None:
        for span in spans:
            self.counts[span.rule] += 1


@lru_cache(maxsize=4)
def _compiled(rules: tuple[Rule, ...], engine: Engine) -> Detectors:
    """Once for the same rules: a process scrubs its log lines and its events, and Hyperscan takes 0.15 s to compile."""
    return Detectors(rules, engine)


def _cut(text: str) -> str:
    return text if len(text) <= PREVIEW_CHARS else text[:PREVIEW_CHARS] + "…"


def _window(text: str, size: int) -> int:
    """Where a window of at least `size` characters ends: at a blank, if there is one in reach."""
    if size >= len(text):
        return len(text)
    end = size + LONGEST_RUN
    blank = _BLANK.search(text, size, end)
    return blank.start() if blank else min(end, len(text))


def _decided(data: bytes, hits: list[Hit]) -> int:
    """Up to where the window is judged as the whole text would be: before the reach, and before what crosses that."""
    limit = len(data) - (REACH * STRETCH if may_be_escaped(data) else REACH)
    for hit in sorted(hits, key=lambda hit: hit.last, reverse=True):
        if hit.last > limit:
            limit = min(limit, hit.first)
    return _boundary(data, max(limit, 0), step=-1)


def _merged(hits: Iterable[Hit]) -> list[Finding]:
    """Byte spans to replace, in order; overlapping ones are one, named after the rule that begins first."""
    spans: list[Finding] = []
    for start, minus_end, rule in sorted((hit.start, -hit.end, hit.rule) for hit in hits):  # of two, the longer first
        end = -minus_end
        if spans and start < spans[-1].end:
            spans[-1] = spans[-1]._replace(end=max(end, spans[-1].end))
        else:
            spans.append(Finding(rule, start, end))
    return spans


def _told(data: bytes, secrets: list[Hit]) -> list[Taken]:
    """Each secret once, and the same wherever it stands: by the rule that needs the least of what is around it.

    Of matches that overlap this is the one that ends first: ``https://jo:TOKEN@host`` has a token, credentials that end
    with it, and what looks like an address. What another spelling says counts where it is the whole secret, or none to
    the rules as it stands there: a JWT is one secret, whoever's address is encoded in it.
    """
    plain = [hit for hit in secrets if hit.plain is None]
    if len(plain) < len(secrets):
        spans, known = _merged(plain), {(hit.start, hit.end) for hit in plain}
        secrets = [
            hit for hit in secrets if hit.plain is None or (hit.start, hit.end) in known or not _overlaps(hit, spans)
        ]
    taken: list[Taken] = []
    position = 0
    for hit in sorted(secrets, key=_standing_alone):
        if hit.start >= position:
            taken.append(Taken(hit.rule, data[hit.start : hit.end] if hit.plain is None else hit.plain))
            position = hit.end
    return taken


def _standing_alone(hit: Hit) -> tuple[int, int, bool, int, str]:
    return hit.end, -hit.start, hit.plain is None, hit.last - hit.first, hit.rule


def _overlaps(hit: Hit, spans: list[Finding]) -> bool:
    behind = bisect_right(spans, hit.start, key=_END)
    return behind < len(spans) and spans[behind].start < hit.end


def _replaced(data: bytes, spans: list[Finding], limit: int) -> str:
    """``data[:limit]`` as text, with the spans replaced."""
    pieces: list[bytes] = []
    position = 0
    for _, start, end in spans:
        pieces += data[position : max(position, _boundary(data, start, step=-1))], REDACTED.encode()
        position = _boundary(data, end, step=1)
    pieces.append(data[position:limit])
    return b"".join(pieces).decode("utf-8", "surrogatepass")


def _length(data: bytes) -> int:
    return len(data.decode("utf-8", "surrogatepass"))


def _boundary(data: bytes, position: int, *, step: int) -> int:
    """The next place between two characters: patterns see bytes, and may end inside one."""
    while 0 < position < len(data) and data[position] & 0xC0 == 0x80:
        position += step
    return position
