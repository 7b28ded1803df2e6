"""Names of people, machines and addresses replaced by stable ones that say nothing: ``/home/user-3f9a01bc/project``.

A pseudonym is a keyed hash of the name, so that the same person has the same one in every event of this machine, and
nobody without the key can try names. Text that holds pseudonyms already is not changed again.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import blake2b
from typing import Literal

Kind = Literal["users", "hosts", "addresses"]

KINDS: tuple[Kind, ...] = ("users", "hosts", "addresses")
SHORTEST = 3  # characters of a user's or host's name that is looked for outside paths
NOBODY = frozenset(["root", "user", "users", "admin", "default", "public", "shared", "runner", "ubuntu", "localhost"])
NOWHERE = ("127.0.0.1", "0.0.0.0")

# Where homes are, with the separators of paths, of JSON (``\\/`` and ``\\\\``) and of folders named after paths.
_HOME = (
    r"(?P<home>(?:\\{0,4}/|(?<=[A-Za-z]:)\\{1,4})(?:home|Users)(?:\\{0,4}/|\\{1,4}))"
    r"(?P<user>[^\s/\\:\"'<>|,;()\[\]{}]+)"
)
_DASHED_HOME = r"(?P<dashed>(?<![A-Za-z0-9])-(?:home|Users)-)(?P<member>[A-Za-z0-9_]+)"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_ADDRESS = rf"(?<![0-9.])(?P<address>{_BYTE}(?:\.{_BYTE}){{3}})(?![0-9]|\.[0-9])"
_PSEUDONYM = re.compile(r"(?:user|host|ip)-[0-9a-f]{8}")


class Pseudonyms:
    """What to replace. `user` and `host` are this user's and machine's names, replaced wherever they stand."""

    def __init__(self, kinds: Collection[Kind], *, key: bytes, user: str, host: str) -> None:
        self._key = key
        parts: list[str] = []
        if "users" in kinds:
            parts += [_HOME, _DASHED_HOME, *_word("person", user)]
        if "hosts" in kinds:
            parts += _word("machine", host)
        if "addresses" in kinds:
            parts.append(_ADDRESS)
        self._pattern = re.compile("|".join(parts)) if parts else None

    def replace(self, text: str) -> str:
        """The text with pseudonyms; the same for the same text."""
        return self._pattern.sub(self._replaced, text) if self._pattern else text

    def _replaced(self, match: re.Match[str]) -> str:
        found = match.groupdict()
        before = found.get("home") or found.get("dashed") or ""
        name = match[0][len(before) :]
        if name.lower() in NOBODY or name in NOWHERE or _PSEUDONYM.fullmatch(name):
            return match[0]
        kind = "ip" if found.get("address") else "host" if found.get("machine") else "user"
        return before + self._pseudonym(kind, name)

    def _pseudonym(self, kind: str, name: str) -> str:
        digest = blake2b(f"{kind} {name.lower()}".encode("utf-8", "surrogatepass"), digest_size=4, key=self._key)
        return f"{kind}-{digest.hexdigest()}"


def _word(group: str, name: str) -> list[str]:
    """The pattern of a name that stands alone, if it is one that means somebody."""
    if len(name) < SHORTEST or name.lower() in NOBODY:
        return []
    return [rf"(?P<{group}>(?<![A-Za-z0-9])(?i:{re.escape(name)})(?![A-Za-z0-9]))"]
