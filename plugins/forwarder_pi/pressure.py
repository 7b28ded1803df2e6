"""How full the context is: a level that is told when it changes, without chatter where it swings around a threshold.

Upwards at once. Downwards the first time too; but a level that was reached a second time within two points falls only
when the context is two points emptier than the threshold, as far as the levels published so far show where that is.
A compaction, another model or another session makes any level credible. After a compaction `percent` is null until the
next answer: that is unknown, not `normal`.
"""

from __future__ import annotations

from msgspec import Struct

from forwarder import Pressure
from forwarder_pi.heartbeat import Context

LEVELS: tuple[Pressure, ...] = ("normal", "approaching_limit", "near_limit", "at_limit")
SWING = 2.0  # points of the window


class Level(Struct):
    """The level told last. `floor` is the emptiest context seen at it; `left` is the level above, if it fell."""

    told: Pressure | None = None
    floor: float = 0.0
    left: Pressure | None = None
    left_floor: float = 0.0
    is_swinging: bool = False


def changed(level: Level, context: Context | None) -> bool:
    """Whether the context is at another level than was told; then `level.told` is the new one."""
    if context is None or context.percent is None or context.pressure not in LEVELS:
        return False
    percent, told, published = context.percent, level.told, LEVELS[LEVELS.index(context.pressure)]
    if told == published:
        level.floor = min(level.floor, percent)
        return False
    is_fall = told is not None and LEVELS.index(published) < LEVELS.index(told)
    if is_fall and level.is_swinging and percent > level.floor - SWING:
        return False
    if is_fall:
        level.left, level.left_floor, level.is_swinging = told, level.floor, False
    else:
        level.is_swinging = published == level.left and percent < level.left_floor + SWING
        level.left = None
    level.told, level.floor = published, min(percent, level.left_floor) if level.is_swinging else percent
    return True


def settle(level: Level) -> None:
    """The context was compacted or is another one: whatever level comes next is no swing."""
    level.left, level.is_swinging = None, False
