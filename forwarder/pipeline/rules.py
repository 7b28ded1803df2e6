"""Redaction rules as data: the built-in ones, and files in gitleaks' TOML format.

Of a gitleaks file these count: `[[rules]]` with `id`, `regex`, `keywords`, `entropy`, `secretGroup` and their
allowlists, the global `[allowlist]` / `[[allowlists]]` (also with `targetRules`), and `[extend]` with `path` and
`disabledRules`. A text has no file name and no commit: a rule with `path` and `regex` is looked for in every text, one
with `path` alone is named as not in use, an allowlist that needs `paths` or `commits` never holds. Our own file adds
`shape` to some rules: a short pattern that occurs in every match and is cheaper to look for than the rule itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from forwarder.errors import ConfigError

BUILTIN = "built-in"
DEEPEST_EXTEND = 2  # files that one file extends, as in gitleaks: more is a circle
Target = Literal["secret", "match", "line"]


@dataclass(frozen=True)
class Allowlist:
    """What is no secret although a rule matched: a regex found in the `target`, or a stopword in the secret.

    `demands_all`: where it has regexes and stopwords, one of each must be found.
    """

    regexes: tuple[str, ...] = ()
    stopwords: tuple[str, ...] = ()
    target: Target = "secret"
    demands_all: bool = False


@dataclass(frozen=True)
class Rule:
    """One kind of secret. `group` is the regex group that holds it; 0 is the first group that took part, else all.

    `keywords` are lower-case; a text in which none of them occurs is not searched. `entropy` is the smallest Shannon
    entropy in bits per byte that counts as a secret. `origin` says where the rule was read.
    """

    id: str
    regex: str
    keywords: tuple[str, ...] = ()
    entropy: float = 0.0
    group: int = 0
    allowlists: tuple[Allowlist, ...] = ()
    shape: str | None = None
    origin: str = BUILTIN


@dataclass(frozen=True)
class Problem:
    """A rule, or a part of a rule file, that is not in use, and why."""

    rule: str
    origin: str
    reason: str


@dataclass(frozen=True)
class Rules:
    """A set of rules and what could not be loaded; `+` joins two sets.

    `foreign` says where those patterns are from that are not ours.
    """

    rules: tuple[Rule, ...] = ()
    problems: tuple[Problem, ...] = ()
    foreign: tuple[str, ...] = ()

    @classmethod
    def load_builtin(cls) -> Rules:
        """The rules that come with forwarder (`rules.toml` beside this module)."""
        return cls.from_toml(files("forwarder.pipeline").joinpath("rules.toml").read_bytes(), origin=BUILTIN)

    @classmethod
    def from_toml(cls, source: Path | bytes, *, origin: str | None = None, _depth: int = 0) -> Rules:
        """Read a rule file, or its bytes. `origin` names it in messages (default: the path).

        A rule that cannot be used becomes a `Problem`; raises `ConfigError` when the file as a whole cannot be read.
        """
        name = origin or (str(source) if isinstance(source, Path) else "rules")
        try:
            content = source.read_bytes() if isinstance(source, Path) else source
            file = msgspec.convert(tomllib.loads(content.decode()), _File)
        except (OSError, ValueError, RecursionError, msgspec.ValidationError) as error:
            raise ConfigError(f"{name}: not a rule file in gitleaks' format: {error}") from error
        folder = source.parent if isinstance(source, Path) else Path()
        base = cls._extended_by(name, folder / file.extend.path, _depth + 1) if _follows(file, _depth) else cls()
        return base._extended(file, name, _depth)

    @classmethod
    def _extended_by(cls, name: str, path: Path, depth: int) -> Rules:
        """The rules that the file called `name` extends."""
        try:
            return cls.from_toml(path, _depth=depth)
        except ConfigError as error:
            raise ConfigError(f"{name}, [extend]: {error}") from error

    def _extended(self, file: _File, name: str, depth: int) -> Rules:
        """The rules of the file added to these, which it extends; a rule of both changes what it states."""
        known = {rule.id: rule for rule in self.rules if rule.id not in file.extend.disabled_rules}
        problems = [problem for problem in self.problems if problem.rule not in file.extend.disabled_rules]
        for entry in file.rules:
            if entry.regex or entry.id in known:
                known[entry.id] = _rule(entry, known.get(entry.id), name)
            else:
                reason = "it judges by file name, and texts have none" if entry.path else "it has no regex"
                problems.append(Problem(entry.id, name, reason))
        if file.extend.use_default:
            problems.append(
                Problem("[extend]", name, "useDefault: gitleaks' own rules are not here, extend them by path")
            )
        if file.extend.path and depth >= DEEPEST_EXTEND:
            problems.append(Problem("[extend]", name, f"{file.extend.path}: files extend each other too deeply"))
        rules = tuple(_allowed(rule, file) for rule in known.values())
        return Rules(rules, tuple(problems), self.foreign if name == BUILTIN else (*self.foreign, name))

    def allowing(self, regexes: Iterable[str], *, origin: str) -> Rules:
        """The same rules, for which a secret that one of the regexes is found in is none."""
        allow = Allowlist(tuple(regexes))
        rules = tuple(replace(rule, allowlists=(*rule.allowlists, allow)) for rule in self.rules)
        return replace(self, rules=rules, foreign=(*self.foreign, origin))

    def __add__(self, other: Rules) -> Rules:
        return Rules(self.rules + other.rules, self.problems + other.problems, self.foreign + other.foreign)


class _Allow(msgspec.Struct, rename="camel"):
    regexes: list[str] = []
    stopwords: list[str] = []
    regex_target: str = "secret"
    condition: str = "OR"
    paths: list[str] = []
    commits: list[str] = []
    target_rules: list[str] = []

    def applies(self) -> bool:
        """Whether it can decide without a file name: one that also demands a path or commit never holds here."""
        needs_file = self.demands_all() and (self.paths or self.commits)
        return bool(self.regexes or self.stopwords) and not needs_file

    def demands_all(self) -> bool:
        return self.condition.upper() in ("AND", "&&")


class _Entry(msgspec.Struct, rename="camel"):
    id: str
    regex: str = ""
    path: str = ""
    keywords: list[str] = []
    entropy: float = 0.0
    secret_group: int = 0
    shape: str | None = None
    allowlist: _Allow | None = None  # the older spelling, of a rule and of a file
    allowlists: list[_Allow] = []


class _Extend(msgspec.Struct, rename="camel"):
    path: str = ""
    use_default: bool = False
    disabled_rules: list[str] = []


class _File(msgspec.Struct):
    rules: list[_Entry] = []
    allowlist: _Allow | None = None
    allowlists: list[_Allow] = []
    extend: _Extend = msgspec.field(default_factory=_Extend)


def _allows(allowlist: _Allow | None, allowlists: list[_Allow]) -> list[_Allow]:
    return [*allowlists, allowlist] if allowlist else allowlists


def _follows(file: _File, depth: int) -> bool:
    return bool(file.extend.path) and depth < DEEPEST_EXTEND


def _rule(entry: _Entry, base: Rule | None, origin: str) -> Rule:
    """The rule as written; where it extends one of another file, what it does not state is that one's."""
    base = base or Rule(entry.id, "")
    return Rule(
        id=entry.id,
        regex=entry.regex or base.regex,
        keywords=base.keywords + tuple(keyword.lower() for keyword in entry.keywords),
        entropy=entry.entropy or base.entropy,
        group=entry.secret_group or base.group,
        allowlists=base.allowlists + _compiled(_allows(entry.allowlist, entry.allowlists)),
        shape=entry.shape or base.shape,
        origin=origin,
    )


def _allowed(rule: Rule, file: _File) -> Rule:
    """The rule with the file's global allowlists behind its own."""
    of_file = _allows(file.allowlist, file.allowlists)
    shared = [allow for allow in of_file if not allow.target_rules or rule.id in allow.target_rules]
    return replace(rule, allowlists=rule.allowlists + _compiled(shared)) if shared else rule


def _compiled(allows: list[_Allow]) -> tuple[Allowlist, ...]:
    return tuple(_allowlist(allow) for allow in allows if allow.applies())


def _allowlist(allow: _Allow) -> Allowlist:
    target: Target = "match" if allow.regex_target == "match" else "line" if allow.regex_target == "line" else "secret"
    return Allowlist(
        tuple(allow.regexes), tuple(word.lower() for word in allow.stopwords), target, demands_all=allow.demands_all()
    )
