"""Delta debugging: a shorter list of operations that still fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def shrunk(items: Sequence[T], fails: Callable[[list[T]], Awaitable[bool]]) -> list[T]:
    """`items` without every stretch that the failure does not need (ddmin with complements only).

    `fails` may be moody, as races are: a stretch is kept unless the list was seen to fail without it.
    """
    left, parts = list(items), 2
    while len(left) > 1:
        size = -(-len(left) // parts)
        for start in range(0, len(left), size):
            shorter = left[:start] + left[start + size :]
            if shorter and await fails(shorter):
                left, parts = shorter, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(left), parts * 2)
    return left
