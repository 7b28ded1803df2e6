"""Commits one after the other: who waits, who goes together, and what is known when one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from forwarder_pi_daemon.posted import Reader
from forwarder_pi_daemon.refusals import Problem
from forwarder_pi_daemon.requests import Identity
from forwarder_pi_daemon.series import Limits, Registry
from forwarder_pi_daemon.taking import Post, Taking

from forwarder import Event, Notes, Refused
from forwarder.testing import ManualClock
from tests.plugins.pi_daemon.posting import COUNTER

BUSY = Refused("the disk is slow: come again", status=503, retry_after=5)


class Disk:
    """An `Accept` of which every call waits until it `is_open`; then it raises the first of `troubles`, if any.

    `ids` are the keys of the events of each call, also of those that failed; `notes` what is on the disk.
    """

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.troubles: list[BaseException] = []
        self.keys: list[list[tuple[str | int, ...]]] = []
        self.notes: dict[str, bytes] = {}
        self.is_late = False  # what was refused reaches the disk all the same

    async def __call__(self, events: Iterable[Event], /, *, notes: Notes | None = None) -> int:
        self.keys.append([event.key for event in events])
        await self.is_open.wait()
        if self.troubles and not self.is_late:
            raise self.troubles.pop(0)
        self.notes |= {key: body for key, body in (notes or {}).items() if body is not None}
        if self.troubles:
            raise self.troubles.pop(0)
        return len(self.keys[-1])

    def clean(self, text: str, /) -> str:
        return text


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.taking = Taking(Registry(Limits()), self.clock)
        self.disk = Disk()

    def post(
        self, count: int = 1, *, id: str | None = None, path: str = "/a", is_lossy: bool = False
    ) -> asyncio.Task[None]:
        same = None if id is None else Identity.of(id, b"")
        metrics = {place: Reader().read(COUNTER, str) for place in range(count)}
        post = Post(metrics, {}, self.clock.now(), (path, is_lossy), same)
        return asyncio.create_task(self.taking.take(post, self.disk))

    async def until(self, calls: int) -> None:
        """So many have reached the disk."""
        async with asyncio.timeout(5):
            while len(self.disk.keys) < calls:
                await asyncio.sleep(0)

    @property
    def total(self) -> float:
        return sum(one.value for series in self.taking.registry.families().values() for one in series)

    def restarted(self) -> float:
        """The total that another process would find."""
        taking = Taking(Registry(Limits()), self.clock)
        taking.recall(self.disk.notes)
        return sum(one.value for series in taking.registry.families().values() for one in series)


async def outcomes(*tasks: asyncio.Task[None]) -> list[str]:
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(one).__name__ for one in found]


async def test_what_waits_for_a_commit_goes_together() -> None:
    """A thousand posts are no thousand commits."""
    scene = Scene()
    first = scene.post()
    await scene.until(1)
    others = [scene.post() for _ in range(50)]
    await asyncio.sleep(0)
    scene.disk.is_open.set()

    assert set(await outcomes(first, *others)) == {"NoneType"}
    assert [len(keys) for keys in scene.disk.keys] == [1, 50]
    assert (scene.total, scene.restarted()) == (51, 51)


async def test_a_commit_has_a_limit() -> None:
    """What does not fit goes with the next, in order."""
    scene = Scene()
    first = scene.post()
    await scene.until(1)
    others = [scene.post(1500), scene.post(1500), scene.post(400)]
    await asyncio.sleep(0)
    scene.disk.is_open.set()
    await outcomes(first, *others)

    assert [len(keys) for keys in scene.disk.keys] == [1, 1500, 1900]


async def test_what_came_in_another_way_goes_by_itself() -> None:
    """Events tell where they came, and whether their text was mended; a commit says it of all that are in it."""
    scene = Scene()
    first = scene.post()
    await scene.until(1)
    others = [scene.post(2), scene.post(3), scene.post(4, is_lossy=True), scene.post(5, path="/b"), scene.post(6)]
    await asyncio.sleep(0)
    scene.disk.is_open.set()
    await outcomes(first, *others)

    assert [len(keys) for keys in scene.disk.keys] == [1, 5, 4, 5, 6]


async def test_what_waits_in_memory_has_a_limit() -> None:
    """Beyond it clients are asked to come again, at once."""
    scene = Scene()
    first = scene.post()
    await scene.until(1)
    waiting = [scene.post(10_500), scene.post(10_500)]
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="too much is waiting"):
        await scene.post()
    scene.disk.is_open.set()

    assert set(await outcomes(first, *waiting)) == {"NoneType"}
    assert scene.total == 21_001


async def test_a_failed_commit_counts_nothing() -> None:
    """For all that were in it, and only for them."""
    scene = Scene()
    scene.disk.troubles.append(BUSY)
    first = scene.post(3)
    await scene.until(1)
    second = scene.post(5)
    scene.disk.is_open.set()

    assert await outcomes(first, second) == ["Refused", "NoneType"]
    assert (scene.total, scene.restarted()) == (5, 5)


async def test_what_was_refused_but_reached_the_disk_counts_once() -> None:
    """The same batch again brings the same facts, and its values hold."""
    scene = Scene()
    scene.disk.is_open.set()
    scene.disk.is_late = True
    scene.disk.troubles.append(BUSY)
    refused = await outcomes(scene.post(2, id="r1"))
    scene.clock.advance(200)
    again = await outcomes(scene.post(2, id="r1"))
    scene.clock.advance(200)
    repeated = await outcomes(scene.post(2, id="r1"))

    assert (refused, again, repeated) == (["Refused"], ["NoneType"], ["Problem"])
    assert scene.disk.keys[0] == scene.disk.keys[1]
    assert (scene.total, scene.restarted()) == (2, 2)


async def test_a_batch_that_is_tried_for_an_hour_stays_the_same() -> None:
    """As long as it comes again within five minutes each time."""
    scene = Scene()
    scene.disk.is_open.set()
    for _ in range(20):
        scene.disk.troubles.append(BUSY)
        assert await outcomes(scene.post(1, id="r1")) == ["Refused"]
        scene.clock.advance(200)
    scene.disk.troubles.append(BUSY)
    await outcomes(scene.post(1, id="r2"))
    scene.clock.advance(301)
    await outcomes(scene.post(1, id="r1"))

    assert len({keys[0] for keys in scene.disk.keys}) == 3


async def test_a_batch_that_nobody_tries_any_more_is_forgotten() -> None:
    """Whatever else is tried meanwhile."""
    scene = Scene()
    scene.disk.is_open.set()
    for seconds, id in ((0, "r1"), (0, "r2"), (200, "r1"), (200, "r2")):
        scene.clock.advance(seconds)
        scene.disk.troubles.append(BUSY)
        await outcomes(scene.post(1, id=id))

    assert scene.disk.keys[0] == scene.disk.keys[2]
    assert scene.disk.keys[1] != scene.disk.keys[3]


async def test_a_series_that_disappears_while_it_is_told_of_stays() -> None:
    """Somebody who looks at the page meanwhile changes nothing, here or on the disk."""
    scene = Scene()
    scene.disk.is_open.set()
    await scene.post()
    scene.disk.is_open.clear()
    scene.clock.advance(3599)
    second = scene.post()
    await scene.until(2)
    scene.clock.advance(2)
    scene.taking.registry.expire(scene.clock.now().timestamp())
    scene.disk.is_open.set()
    await second

    assert (scene.taking.registry.forgotten(), scene.total, scene.restarted()) == ([], 2, 2)


async def test_a_repeat_waits_for_what_becomes_of_the_first() -> None:
    """To say "taken" before it is would lose it; if the first fails, the second is not told that it was taken."""
    scene = Scene()
    scene.disk.troubles.append(BUSY)
    first = scene.post(1, id="r1")
    await scene.until(1)
    second, third = scene.post(1, id="r1"), scene.post(1, id="r1")
    await asyncio.sleep(0)
    scene.disk.is_open.set()

    assert await outcomes(first, second, third) == ["Refused", "NoneType", "Problem"]
    assert (scene.total, scene.restarted()) == (1, 1)


async def test_who_leaves_takes_nobody_along() -> None:
    """The one that commits for all may be cancelled: the others may come again; one that waits just goes."""
    scene = Scene()
    first = scene.post()
    await scene.until(1)
    second, third, fourth = scene.post(), scene.post(), scene.post()
    await asyncio.sleep(0)
    third.cancel()
    scene.disk.is_open.set()
    assert await outcomes(first, third) == ["NoneType", "CancelledError"]
    assert await outcomes(second, fourth) == ["NoneType", "NoneType"]
    scene.disk.is_open.clear()
    leader = scene.post()
    await scene.until(3)
    leader.cancel()
    await outcomes(leader)
    scene.disk.is_open.set()
    await scene.post()

    assert (scene.total, scene.restarted()) == (4, 4)


async def test_a_bug_ends_the_commit_for_all() -> None:
    """One is told of the bug, the others may come again."""
    scene = Scene()
    first = scene.post()
    await scene.until(1)
    second, third = scene.post(), scene.post()
    await asyncio.sleep(0)
    scene.disk.troubles += [ZeroDivisionError()]
    scene.disk.is_open.set()

    assert sorted(await outcomes(first, second, third)) == ["NoneType", "NoneType", "ZeroDivisionError"]
    assert scene.total == 2


async def test_a_problem_is_the_clients_own() -> None:
    """What one post has no place for concerns no other."""
    scene = Scene()
    scene.disk.is_open.set()
    gauge = Reader().read(COUNTER | {"type": "gauge", "set": 1}, str)
    wrong = Post({0: gauge}, {}, scene.clock.now(), ("/a", False))
    await scene.post()
    await scene.taking.take(wrong, scene.disk)

    assert isinstance(wrong.failed[0], Problem)
    assert (len(scene.disk.keys), scene.total) == (1, 1)
