"""What mappers remember, as the journal may keep it.

A state holds what later records rely on: folders, branches, models, the input of a call that has not ended. In memory
it is whole, so that nothing is taken out twice; on the disk it holds no secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import msgspec

_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode


def without_secrets(state: bytes, scrub: Callable[[str], str]) -> bytes:
    """A state in MessagePack, each of its texts as `scrub` returns it; the same bytes when that changes nothing."""
    whole: object = _decode(state)
    clean = {text: kept for text in _texts(whole) if (kept := scrub(text)) != text}
    return _encode(_replaced(whole, clean)) if clean else state


def _texts(whole: object) -> set[str]:
    """All of them, once each. Written flat: a long session remembers thousands, and this is asked at every commit."""
    texts: set[str] = set()
    waiting = [whole]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.add(value)
        elif isinstance(value, dict):
            entries = cast("dict[object, object]", value)
            waiting += entries
            waiting += entries.values()
        elif isinstance(value, list):
            waiting += cast("list[object]", value)
    return texts


def _replaced(value: object, clean: Mapping[str, str]) -> object:
    match value:
        case str():
            return clean.get(value, value)
        case dict():
            entries = cast("dict[object, object]", value).items()
            return {_replaced(key, clean): _replaced(one, clean) for key, one in entries}
        case list():
            return [_replaced(one, clean) for one in cast("list[object]", value)]
        case _:
            return value
