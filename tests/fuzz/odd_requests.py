"""Requests that no well-meaning client sends, made out of a receiver's description.

Raw bytes, since no client library would send most of them: bodies that lie about their length or encoding or unpack to
a thousand times their size, texts that are no UTF-8, numbers that are none, times of 1970 and 2970, labels without end,
wrong tokens.
"""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from tests.raw_http import request

Json = Any
Body: TypeAlias = "dict[str, Body] | list[Body] | str | float | None"
Path = tuple[str | int, ...]

MARK = "@@mark@@"
BOMB_BYTES = 32 << 20  # more than any receiver takes
MANY = 5_000

VALUES: dict[str, bytes] = {
    "NaN": b"NaN",
    "infinity": b"Infinity",
    "no float": b"1e999",
    "no float, negative": b"-1e999",
    "400 digits": b"9" * 400,
    "64 bits": b"9223372036854775808",
    "almost nothing": b"5e-324",
    "true": b"true",
    "null": b"null",
    "no UTF-8": b'"\xff\xfe\x80"',
    "half a surrogate pair": b'"\\ud83d"',
    "NUL": b'"a\\u0000b"',
    "empty": b'""',
    "long": b'"' + b"x" * 100_000 + b'"',
    "1970": b"0",
    "1970 in words": b'"1970-01-01T00:00:00Z"',
    "2970": b"31556995200",
    "2970 in milliseconds": b"31556995200000",
    "2970 in words": b'"2970-01-01T00:00:00.000Z"',
    "before the calendar": b'"0001-01-01T00:00:00+14:00"',
    "behind the calendar": b'"9999-12-31T23:59:59-14:00"',
    "behind the calendar in milliseconds": b"1e17",
    "before 1970": b"-1",
    "many labels": json.dumps({f"label_{number}": str(number) for number in range(MANY)}).encode(),
    "no label": b'{"":"x","\\u0000":"x","a b":"c","__name__":"x","le":"1"}',
    "a long label": json.dumps({"x" * 50_000: "y" * 50_000}).encode(),
    "many items": b"[" + b"0," * MANY + b"0]",
    "deep": b'{"a":' * MANY + b"0" + b"}" * MANY,
}
MORE: dict[str, Body] = {"": "x", "\0": "x", "__proto__": {"x": "y"}, "a b": ["x"], "type ": None, "\ud800": 1.5}


class Odd(NamedTuple):
    """A request; `statuses` are those it may get, where that is known; an end without an answer counts as 0."""

    name: str
    raw: bytes
    statuses: frozenset[int] = frozenset()


class Target(NamedTuple):
    """Where a body is posted to, and one that is taken."""

    path: str
    body: Body
    token: str

    def request(self, body: bytes, **headers: str) -> bytes:
        """The request with another body, and the right token unless it is given."""
        named = {"Content_Type": "application/json", "Authorization": f"Bearer {self.token}"} | headers
        return request("POST", self.path, body, **named)

    @property
    def raw(self) -> bytes:
        """The body as it is taken."""
        return json.dumps(self.body).encode()


def targets(description: Json, token: str) -> Iterator[Target]:
    """A body of each form of each operation that takes any; each names something else, as a metric has but one type."""
    schemas, number = description["components"]["schemas"], itertools.count()
    for path, item in description["paths"].items():
        wanted = item.get("post", {}).get("requestBody")
        if wanted:
            for schema in _forms(wanted["content"]["application/json"]["schema"], schemas):
                yield Target(path, _example(schema, schemas, f"x{next(number)}"), token)


def odd_values(target: Target) -> Iterator[Odd]:
    """The body with something odd in each of its places."""
    for place in _places(target.body):
        marked = json.dumps(_replaced(target.body, place, MARK)).encode()
        for name, value in VALUES.items():
            body = marked.replace(json.dumps(MARK).encode(), value)
            where = ".".join(map(str, place)) or "the body"
            yield Odd(f"{target.path}: {name} at {where}", target.request(body))


def odd_fields(target: Target) -> Odd:
    """The body with fields that nobody knows."""
    return Odd(f"{target.path}: fields of odd names", target.request(json.dumps(_with_more(target.body)).encode()))


def odd_frames(target: Target) -> Iterator[Odd]:
    """What lies about length, encoding and who asks."""
    good = target.raw
    refused, unread = frozenset({400, 413, 415}), frozenset({0, 400})
    size = len(good)
    yield Odd("longer than it says", target.request(good, Content_Length=str(size - 1)), refused)
    yield Odd("no length", target.request(good, Content_Length="ten"), unread)
    yield Odd("a negative length", target.request(good, Content_Length="-1"), unread)
    yield Odd("two lengths", target.request(good, Content_Length=f"{size}, {size + 1}"), unread)
    yield Odd("a length without end", target.request(good, Content_Length="9" * 30), unread | refused)
    yield Odd("chunks of no size", target.request(b"zz\r\nx", Transfer_Encoding="chunked"), unread | refused)
    yield Odd("chunks and a length", target.request(good + b"\r\n", Transfer_Encoding="chunked"), unread | refused)
    for encoding, packed in _bombs().items():
        yield Odd(f"a bomb in {encoding}", target.request(packed, Content_Encoding=encoding), frozenset({413}))
        yield Odd(f"no {encoding}", target.request(good, Content_Encoding=encoding), frozenset({400}))
        half = packed[: len(packed) // 2]
        yield Odd(f"half a bomb in {encoding}", target.request(half, Content_Encoding=encoding), refused)
    for encoding in ("br", "zstd", "gzip, gzip", "\xe9"):
        yield Odd(f"packed with {encoding}", target.request(good, Content_Encoding=encoding), frozenset({415}))
    yield Odd("UTF-16", target.request(good.decode().encode("utf-16")), refused)
    token = target.token
    for given in ("", "Bearer", "Bearer ", f"Bearer {token}x", f"Bearer {token[:-1]}", "Basic eDp5", "Bearer \xe9\xff"):
        yield Odd(f"with {given!r} for a token", target.request(good, Authorization=given), frozenset({401, 403}))


@cache
def _bombs() -> dict[str, bytes]:
    content = bytes(BOMB_BYTES)
    return {"gzip": gzip.compress(content, 9), "deflate": zlib.compress(content, 9)}


def _forms(schema: Json, schemas: Json) -> Iterator[Json]:
    schema = _resolved(schema, schemas)
    yield from schema.get("anyOf") or schema.get("oneOf") or [schema]


def _resolved(schema: Json, schemas: Json) -> Json:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def _example(schema: Json, schemas: Json, word: str) -> Json:
    """Something that the schema allows, with all that it names; every text is the word."""
    schema = next(_forms(schema, schemas))
    schema = _resolved(schema, schemas)
    if "enum" in schema or "const" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    match schema.get("type"):
        case "string":
            return "2026-01-01T00:00:00Z" if schema.get("format") == "date-time" else word
        case "integer" | "number":
            return max(schema.get("minimum", 1), 1)
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            return [_example(schema["items"], schemas, word)] if schema.get("items") else []
        case _:
            properties: dict[str, Json] = schema.get("properties", {})
            return {name: _example(one, schemas, word) for name, one in properties.items()}


def _places(value: Body, at: Path = ()) -> Iterator[Path]:
    yield at
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _places(one, (*at, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _places(one, (*at, number))


def _with_more(value: Body) -> Body:
    """With fields of odd names in each of its objects."""
    if isinstance(value, dict):
        return {**MORE, **{key: _with_more(one) for key, one in value.items()}}
    return [_with_more(one) for one in value] if isinstance(value, list) else value


def _replaced(value: Body, at: Path, new: str) -> Json:
    if not at:
        return new
    copy: Json = json.loads(json.dumps(value))
    inside = copy
    for key in at[:-1]:
        inside = inside[key]
    inside[at[-1]] = new
    return copy
