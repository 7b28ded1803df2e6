"""Inputs made from recorded ones: mutations of bytes, of lines, and of the JSON in them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from random import Random
from typing import Any, cast

# Made up, in the formats of three providers. Between blanks, where every rule has to find them.
SECRETS = (
    "ghp_" + "Zq7xW2mK9vLr4TnB8sYd1HcF6gJpA3eU5iOw",
    "AKIA" + "Q3EGRY7WVKTNPLZM",
    "xoxb-" + "210987654321-2109876543210-" + "Kq7xW2mK9vLr4TnB8sYd1HcF",
)
PLANTED = tuple(f"before {secret} behind" for secret in SECRETS)

ODD_TIMES = (
    "2026-11-21T01:12:22.123Z",
    "2026-11-21T01:12:22.123456789+23:59",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-14:00",
    "2026-11-21T01:12:22",
    "2026-02-30T25:61:61Z",
    "2026-11-21",
)
ODD_NUMBERS = (
    *(0, 1, -1, 0.5, -0.0, 1e-9, 1e308, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1),
    *(1795222107650, 1795222756681122101, 253402300800, 253402300800000, -62135596801, 10**30),
)
ODD_TEXTS = (
    "",
    " ",
    "\0",
    "\n",
    "a",
    "\ud83d",
    "\udc00x\ud800",
    "\ufeff",
    "…" * 60,
    "1e400",
    "NaN",
    "../../etc/passwd",
)
ODD: tuple[Any, ...] = (
    *(None, True, False, [], {}, [None], [[]], {"": None}, ["a", 1, None], {"type": "text", "text": "a"}),
    *ODD_NUMBERS,
    *ODD_TEXTS,
    *ODD_TIMES,
)
RAW: tuple[bytes, ...] = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1E-400", b"01", b"+1", b"tru", b"'a'", b"0x10", b""),
    *(b"9" * 400, b"9" * 5000, b"0." + b"3" * 400, b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\x41"'),
    *(b'{"a":1,"a":2}', b'{"type":"a","type":"b"}', b"[" * 400 + b"]" * 400, b'{"a":' * 400 + b"1" + b"}" * 400),
    *(b"[" * 20_000 + b"]" * 20_000, b'{"content":[' * 3000 + b"]}" * 3000, b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\t"'),
    *(b'"' + b"long " * 20_000 + b'"', b'"' + b"\\n" * 5000 + b'"', b'"' + "ü€😀".encode() * 3000 + b'"'),
)
_HOLE = "\x02hole\x03"  # stands in a record for what JSON cannot say

Place = tuple[Any, Any]  # a list or dict, and an index or key of it


class Mutator:
    """Mutates texts of several records, `separator` between them. Knows the values that recordings have under a key."""

    def __init__(self, samples: Iterable[bytes], *, separator: bytes = b"\n", most: int = 80) -> None:
        self._separator = separator
        self._most = most
        self._records = [record for sample in samples for record in sample.split(separator) if record]
        self._values: defaultdict[str, list[Any]] = defaultdict(list)
        for record in self._records:
            for container, key in places(_parsed(record)):
                if isinstance(key, str) and len(known := self._values[key]) < 200:
                    known.append(container[key])

    def mutated(self, data: bytes, random: Random) -> bytes:
        """Between one and eight changes; never more than `most` records."""
        records = data.split(self._separator)[: self._most]
        for _ in range(min(8, 1 + int(random.expovariate(0.5)))):
            change = random.choices(_CHANGES, _WEIGHTS)[0]
            change(self, records, random)
        return self._separator.join(records)

    def _change_value(self, records: list[bytes], random: Random) -> None:
        _rewritten(records, random, self._with_other_value)

    def _with_other_value(self, value: Any, random: Random) -> Any:
        for _ in range(random.choice((1, 1, 2, 5))):
            if not (found := list(places(value))):
                break
            container, key = random.choice(found)
            container[key] = deepcopy(self._other(container, key, random))
        return value

    def _other(self, container: Any, key: Any, random: Random) -> Any:
        known = self._values.get(key) if isinstance(key, str) else None
        match random.randrange(8):
            case 0 | 1 | 2 if known:
                return random.choice(known)
            case 3:
                return container[key] if len(str(container[key])) > 1000 else [container[key]]
            case 4:
                return random.choice(random.choice(list(self._values.values()))) if self._values else None
            case 5:
                return random.choice(PLANTED)
            case _:
                return random.choice(ODD)

    def _change_shape(self, records: list[bytes], random: Random) -> None:
        _rewritten(records, random, self._reshaped)

    def _reshaped(self, value: Any, random: Random) -> Any:
        found = [place for place in places(value) if isinstance(place[0], dict)]
        if not found:
            return value
        container, key = random.choice(found)
        match random.randrange(4):
            case 0 | 1:
                del container[key]
            case 2:
                container[random.choice(list(self._values) or [""])] = container.pop(key)
            case _:
                name = random.choice(list(self._values) or [""])
                container[name] = deepcopy(random.choice(self._values.get(name) or [None]))
        return value

    def _put_raw(self, records: list[bytes], random: Random) -> None:
        def with_hole(value: Any, random: Random) -> Any:
            if found := list(places(value)):
                container, key = random.choice(found)
                container[key] = _HOLE
            return value

        at = _rewritten(records, random, with_hole)
        records[at] = records[at].replace(json.dumps(_HOLE).encode(), random.choice(RAW))

    def _insert_known(self, records: list[bytes], random: Random) -> None:
        records.insert(random.randrange(len(records) + 1), random.choice(self._records or [b"{}"]))

    def _move(self, records: list[bytes], random: Random) -> None:
        record = records.pop(random.randrange(len(records)))
        records.insert(random.randrange(len(records) + 1), record)

    def _repeat(self, records: list[bytes], random: Random) -> None:
        records.insert(random.randrange(len(records) + 1), random.choice(records))

    def _drop(self, records: list[bytes], random: Random) -> None:
        if len(records) > 1:
            del records[random.randrange(len(records))]

    def _join(self, records: list[bytes], random: Random) -> None:
        at = random.randrange(len(records))
        records[at : at + 2] = [b"".join(records[at : at + 2])]

    def _spoil(self, records: list[bytes], random: Random) -> None:
        at = random.randrange(len(records))
        records[at] = spoilt(records[at], random)


Change = Callable[[Mutator, list[bytes], Random], None]
_WEIGHTED: tuple[tuple[Change, int], ...] = (
    (Mutator._change_value, 10),  # pyright: ignore[reportPrivateUsage] - its own table
    (Mutator._change_shape, 5),  # pyright: ignore[reportPrivateUsage]
    (Mutator._put_raw, 2),  # pyright: ignore[reportPrivateUsage]
    (Mutator._insert_known, 3),  # pyright: ignore[reportPrivateUsage]
    (Mutator._move, 2),  # pyright: ignore[reportPrivateUsage]
    (Mutator._repeat, 2),  # pyright: ignore[reportPrivateUsage]
    (Mutator._drop, 2),  # pyright: ignore[reportPrivateUsage]
    (Mutator._join, 1),  # pyright: ignore[reportPrivateUsage]
    (Mutator._spoil, 2),  # pyright: ignore[reportPrivateUsage]
)
_CHANGES = [change for change, _ in _WEIGHTED]
_WEIGHTS = [weight for _, weight in _WEIGHTED]


def places(value: Any) -> Iterator[Place]:
    """Every place in a JSON value that holds another."""
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        keys: Sequence[Any] = ()
        if isinstance(one, dict):
            keys = list(cast("dict[str, Any]", one))
        elif isinstance(one, list):
            keys = range(len(cast("Sequence[Any]", one)))
        for key in keys:
            yield one, key
            waiting.append(one[key])


def _parsed(record: bytes) -> Any:
    """The JSON of a record; None for what is none, or nested too deeply to be changed."""
    try:
        return json.loads(record.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None


def _rewritten(records: list[bytes], random: Random, change: Callable[[Any, Random], Any]) -> int:
    """Change the JSON of one of the records, and say which."""
    at = random.randrange(len(records))
    value = _parsed(records[at])
    if value is not None:
        changed = change(value, random)
        try:
            text = json.dumps(changed, ensure_ascii=random.random() < 0.5, separators=(",", ":"))
            records[at] = text.encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):  # numbers of thousands of digits, a list that was put into itself
            pass
    return at


_BYTES = (
    b"\0",
    b"\0" * 100,
    b"\r",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b" ",
)


def spoilt(data: bytes, random: Random) -> bytes:
    """A few bytes changed, put in, taken out, or doubled, as a torn or careless write leaves them."""
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((1, 1, 2, 8, 100)))
    match random.randrange(6):
        case 0:
            return data[:at] + random.choice(_BYTES) + data[at:]
        case 1:
            return data[:at] + data[end:]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + random.randbytes(end - at) + data[end:]
        case 4:
            return data[:end] + data[at:]
        case _:
            return data[:at] + bytes(byte ^ (1 << random.randrange(8)) for byte in data[at:end]) + data[end:]
