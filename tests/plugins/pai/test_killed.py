"""Recorded sessions through `forwarder run` into a server that goes away, while the forwarder is killed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from forwarder_pai.inputs import Inputs
from forwarder_pai.outgoing import Profile, outgoing

from tests.http_peer import Reply
from tests.plugins.pai.server import PaiServer, RealServer, SeedServer
from tests.process.machine import Machine

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[1] / "codex" / "samples"
RECORDED = ("multitool-A", "errors-A", "subagents-v1-A", "compaction-A")


def facts(profile: Profile, posts: list[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    """What counts of each post, as often as it was stored: what a call was given is not known after a kill."""
    names = ("type", "session_id", "timestamp") if profile == "seed" else ("event_type", "session_id", "id")
    return Counter(
        (*(post[name] for name in names), str(post["data"].get("tool")), str(post["data"].get("duration_ms")))
        for post in posts
    )


def fields(profile: Profile, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The posts that these events are."""
    time, kind = ("timestamp", "type") if profile == "seed" else ("timestamp", "event_type")
    return [
        {"id": post.id, kind: post.kind, "session_id": post.session_id, time: post.time, "data": post.data}
        for post in outgoing(events, profile, Inputs())
    ]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    for name in RECORDED:
        shutil.copytree(SAMPLES / name, machine.home, dirs_exist_ok=True)
    return machine


@pytest.mark.parametrize(("profile", "make"), [("seed", SeedServer), ("server", RealServer)])
async def test_nothing_is_lost_and_nothing_counted_twice(
    machine: Machine, profile: Profile, make: Callable[[], PaiServer]
) -> None:
    """Killed behind a post, the server away, both back: every event that the server knows is stored once."""
    wanted = facts(profile, fields(profile, await machine.replay(machine.home)))
    half = sum(wanted.values()) // 2
    with closing(make()) as server:
        server.otherwise = Reply(delay_seconds=0.01)  # slow enough to be killed in the middle
        async with server:
            machine.configure(f'[sinks.pai]\nprofile = "{profile}"\nurl = "{server.base}"\n')
            process = await machine.started()
            await machine.until(lambda: len(server.posts) >= half // 2, "it has begun", process=process)
            process.kill()
            await process.wait()
            killed_at = len(server.posts)
            process = await machine.started()
            await machine.until(lambda: len(server.posts) >= half, "half is there", process=process)
        left_at = len(server.posts)
        await machine.until(machine.is_read, "all is read while the server is away", process=process)
        async with server:
            await machine.until(lambda: len(server.posts) >= sum(wanted.values()), "all is there", process=process)
            await machine.stopped(process)

    assert 0 < killed_at < left_at < sum(wanted.values())
    assert facts(profile, server.posts) == wanted
