"""What mappers remember, as the journal may keep it.

A state holds what later records rely on: folders, branches, models, the input of a call that has not ended. In memory
it is whole, so that nothing is taken out twice; on the disk it holds no secrets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec

_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode


def without_secrets(state: bytes, scrub: Callable[[str], str]) -> bytes:
    """A state in MessagePack, each of its texts as `scrub` returns it; the same bytes when that changes nothing."""
    whole: object = _decode(state)
    clean = _scrubbed(whole, scrub)
    return state if clean is whole else _encode(clean)


def _scrubbed(value: object, scrub: Callable[[str], str]) -> object:
    """The value itself when nothing in it changes: most states hold no secret."""
    match value:
        case str():
            clean = scrub(value)
            return value if clean == value else clean
        case dict():
            return _scrubbed_map(cast("dict[object, object]", value), scrub)
        case list():
            items = cast("list[object]", value)
            done = [_scrubbed(one, scrub) for one in items]
            return items if all(map(_is, done, items)) else done
        case _:
            return value


def _scrubbed_map(value: dict[object, object], scrub: Callable[[str], str]) -> dict[object, object]:
    done = [(_scrubbed(key, scrub), _scrubbed(one, scrub)) for key, one in value.items()]
    is_same = all(key is old and one is value[old] for (key, one), old in zip(done, value, strict=True))
    return value if is_same else dict(done)


def _is(one: object, other: object) -> bool:
    return one is other
