"""Secrets of many kinds, made up at run time, in the spellings that a redactor must read, and how to look for them."""

from __future__ import annotations

import html
import re
import sqlite3
import string
import sys
import urllib.parse
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MARK_LENGTH = 12  # long enough not to occur by accident in megabytes, short enough to see a secret that was cut
ALPHANUMERIC = string.ascii_letters + string.digits
SPELLED: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "base64": lambda text: b64encode(text.encode()).decode(),
    "url": lambda text: "".join(f"%{ord(char):02X}" for char in text),
    "html": lambda text: "".join(f"&#{ord(char)};" for char in text),
}

# "{12}" is so many letters and digits, "{12x}" hex digits, "{12d}" digits, "{12A}" capitals and digits. Nothing here
# looks like a whole secret to scanners of source code.
KINDS = {
    "aws access key": "AKI" + "A{16A}",
    "aws pair": "AKI" + "A{16A} {40}",
    "aws session": "FwoGZXIv" + "YXdz{60}",
    "google api key": "AIz" + "a{35}",
    "google oauth": "ya2" + "9.{60}",
    "azure storage": "Account" + "Key={86}==",
    "github": "gh" + "p_{36}",
    "github fine-grained": "github" + "_pat_{22}_{59}",
    "gitlab": "glp" + "at-{20}",
    "slack bot": "xox" + "b-{12d}-{12d}-{24}",
    "slack webhook": "https://hooks.slack" + ".com/services/T{9A}/B{9A}/{24}",
    "openai": "sk-" + "proj-{48}",
    "anthropic": "sk-" + "ant-api03-{80}",
    "hugging face": "hf" + "_{34}",
    "stripe": "sk_" + "live_{24}",
    "sendgrid": "SG" + ".{22}.{43}",
    "telegram": "{10d}:A" + "A{33}",
    "twilio": "S" + "K{32x}",
    "shopify": "shp" + "at_{32x}",
    "npm": "np" + "m_{36}",
    "pypi": "py" + "pi-AgEIcHlwaS5vcmc{80}",
    "digitalocean": "dop" + "_v1_{64x}",
    "jwt": "ey" + "J{40}.eyJ{60}.{43}",
    "private key": "-----BEGIN" + " RSA PRIVATE KEY-----\n{64}\n{64}\n-----END" + " RSA PRIVATE KEY-----",
    "age": "AGE-SECRET" + "-KEY-1{58A}",
    "database url": "postgres://shop:" + "{24}@db.internal/shop",
    "url password": "https://deploy:" + "{24}@git.internal/shop.git",
    "e-mail": "{14}@mail" + ".example.org",
    "bearer": "Authorization: Bear" + "er {32}",
    "password": "pass" + 'word = "{24}"',
    "exported key": "export API" + "_KEY='{24}'",
    "cookie": "Cook" + "ie: sid={40}",
    "api key header": "X-Api-" + "Key: {32}",
}

_ALPHABETS = {"": ALPHANUMERIC, "x": "0123456789abcdef", "d": string.digits, "A": string.ascii_uppercase + "234567"}


@dataclass(frozen=True)
class Planted:
    """A text with a secret in it. No window of `MARK_LENGTH` characters of `values` may show anywhere."""

    kind: str
    spelling: str
    text: str
    values: tuple[str, ...]


def planted(spellings: Iterable[str] = SPELLED) -> list[Planted]:
    """Every kind in each spelling, each with a value of its own."""
    return [_made(kind, form, spelling) for kind, form in KINDS.items() for spelling in spellings]


def _made(kind: str, form: str, spelling: str) -> Planted:
    random, values = Random(f"{kind} {spelling}"), list[str]()

    def value(place: re.Match[str]) -> str:
        made = "".join(random.choices(_ALPHABETS[place[2]], k=int(place[1])))
        values.append(made)
        return made

    text = re.sub(r"\{(\d+)([xdA]?)\}", value, form)
    return Planted(kind, spelling, SPELLED[spelling](text), tuple(one for one in values if len(one) >= MARK_LENGTH))


_RUN = re.compile(rb"[A-Za-z0-9]{12,}")
_ENCODED = re.compile(rb"[A-Za-z0-9+/_-]{20,}")


class Search:
    """Looks for the planted values in bytes, whatever way they are spelled.

    Lines and words that were looked at before are passed over, also when they come from somewhere else: every sink
    writes the same ones, and a search reads a hundred times of what there is to be found.
    """

    def __init__(self, secrets: list[Planted]) -> None:
        self._marks: dict[bytes, Planted] = {}
        self._lines = set[bytes]()
        self._seen: dict[re.Pattern[bytes], set[bytes]] = {_RUN: set(), _ENCODED: set()}
        for one in secrets:
            for value in one.values:
                for start in range(len(value) - MARK_LENGTH + 1):
                    self._marks[value[start : start + MARK_LENGTH].encode()] = one

    def found(self, data: bytes) -> Iterator[tuple[str, str, str]]:
        """Kind, spelling when planted, and what is around each place where a value shows."""
        new = set(data.split(b"\n")) - self._lines
        self._lines |= new
        for read in self._readings(b"\n".join(new)):
            for run in self._unread(_RUN, read):
                for start in range(len(run) - MARK_LENGTH + 1):
                    if one := self._marks.get(run[start : start + MARK_LENGTH]):
                        place = read.find(run)
                        around = read[max(place - 120, 0) : place + start + 30]
                        yield one.kind, one.spelling, around.decode(errors="replace")
                        break

    def _readings(self, data: bytes) -> Iterator[bytes]:
        """The bytes as they are, without escapes, and what runs of base64 in either of these say."""
        text = data.decode("latin-1")
        plain = re.sub(r"\\+u00([0-9a-fA-F]{2})", lambda at: chr(int(at[1], 16)), text)
        plain = html.unescape(urllib.parse.unquote(plain, "latin-1"))
        for one in {text, plain}:
            read = one.encode("latin-1", "replace")
            yield b"\n".join(part for run in self._unread(_ENCODED, read) for part in _decoded(run))
            yield read

    def _unread(self, words: re.Pattern[bytes], data: bytes) -> set[bytes]:
        new = set(words.findall(data)) - self._seen[words]
        self._seen[words] |= new
        return new


def _decoded(run: bytes) -> Iterator[bytes]:
    letters = run.replace(b"-", b"+").replace(b"_", b"/")
    for shift in range(4):
        part = letters[shift:]
        yield a2b_base64(part[: len(part) // 4 * 4])


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below the folder with its name, as it is and unpacked, and each cell of a database."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), str(path.relative_to(folder)).encode() + b"\n" + path.read_bytes()
            if path.suffix == ".zst":
                yield str(path), zstd.decompress(path.read_bytes())
            if path.suffix == ".sqlite3":
                yield from _cells(path)


def _cells(path: Path) -> Iterator[tuple[str, bytes]]:
    """A value may lie on two pages of the file."""
    with closing(sqlite3.connect(path)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            for row in database.execute(f"SELECT * FROM {table}"):
                for column, cell in zip(columns, row, strict=True):
                    if isinstance(cell, str | bytes):
                        yield f"{table}.{column}", cell.encode() if isinstance(cell, str) else cell
