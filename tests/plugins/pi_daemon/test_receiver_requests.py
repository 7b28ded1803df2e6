"""A batch with a requestId counts once: repeated, cut off, refused, at the same time, after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from forwarder import Request
from forwarder.testing import ManualClock, check_receiver
from tests.plugins.pi_daemon.posting import COUNTER, Daemon, daemon, made
from tests.raw_http import Reply

MINUTE = 60.0


def details(answer: Reply) -> tuple[int, str, dict[str, object]]:
    body = answer.json()
    return answer.status, body["code"], body["details"]


async def test_another_body_is_a_duplicate_too(pi: Daemon) -> None:
    """The id says that it was sent before; that it was another batch is said beside it."""
    await pi.tell_all(COUNTER, id="r1")
    same = await pi.tell_all(COUNTER, id="r1")
    other = await pi.tell_all(COUNTER, COUNTER, id="r1")

    assert [one.json()["details"]["sameBody"] for one in (same, other)] == [True, False]
    assert "give every batch a requestId of its own" in other.json()["error"]
    assert (other.status, await pi.samples()) == (409, {"acme_runs_total": 1})


async def test_batches_without_an_id_are_all_taken(pi: Daemon) -> None:
    """However alike they are."""
    answers = [await pi.tell_all(COUNTER) for _ in range(3)]

    assert ([one.status for one in answers], pi.values) == ([200] * 3, [1, 1, 1])


async def test_five_minutes_later_it_is_another_batch(tmp_path: Path) -> None:
    """Not a second earlier; and what was remembered is forgotten on the disk, too."""
    clock = ManualClock()
    statuses: list[int] = []
    async with daemon(tmp_path, clock=clock) as pi:
        for seconds in (0, 5 * MINUTE - 1, 1, 1):
            clock.advance(seconds)
            statuses.append((await pi.tell_all(COUNTER, id="r1")).status)
        clock.advance(5 * MINUTE)
        await pi.tell_all(COUNTER, id="r2")
        samples, noted = await pi.samples(), [key for key in pi.posted.notes if key.startswith("request")]

    assert (statuses, samples, len(noted)) == ([200, 409, 200, 409], {"acme_runs_total": 3}, 1)


async def test_a_batch_that_was_taken_in_part_is_taken(pi: Daemon) -> None:
    """Those that failed come in a batch of their own."""
    first = await pi.tell_all(COUNTER, COUNTER | {"increment": -1}, id="r1")
    again = await pi.tell_all(COUNTER, COUNTER, id="r1")

    assert (first.json()["success"], again.status, pi.values) == (1, 409, [1])


async def test_a_batch_of_which_nothing_was_taken_is_remembered(pi: Daemon) -> None:
    """Its answer was 200, and so the next one is a repeat."""
    statuses = [(await pi.tell_all({}, id="r1")).status for _ in range(2)]

    assert (statuses, pi.posted.events) == ([200, 409], [])


async def test_a_batch_that_is_no_batch_is_not_remembered(pi: Daemon) -> None:
    """Nothing of it was taken; mended it may come under the same id."""
    refused = await pi.send("POST", "/api/metrics/batch", b'{"requestId":"r1","metrics":7}')
    mended = await pi.tell_all(COUNTER, id="r1")

    assert (refused.status, mended.status) == (400, 200)


async def test_a_refused_batch_may_come_again(pi: Daemon) -> None:
    """Its facts have the same ids as before: what reached the disk all the same, late, counts once."""
    pi.posted.is_full = True
    refused = [(await pi.tell_all(COUNTER, COUNTER, id="r1")).status for _ in range(2)]
    pi.posted.is_full = False
    taken = await pi.tell_all(COUNTER, COUNTER, id="r1")
    again = await pi.tell_all(COUNTER, COUNTER, id="r1")

    assert (refused, taken.status, again.status) == ([429, 429], 200, 409)
    assert (pi.values, await pi.samples()) == ([1, 1], {"acme_runs_total": 2})


@pytest.mark.parametrize("count", [2, 20])
async def test_of_equal_batches_at_the_same_time_one_is_taken(pi: Daemon, count: int) -> None:
    """The others are told so once it is."""
    answers = await asyncio.gather(*(pi.tell_all(COUNTER, id="r1") for _ in range(count)))

    assert sorted(one.status for one in answers) == [200] + [409] * (count - 1)
    assert (pi.values, await pi.samples()) == ([1], {"acme_runs_total": 1})


async def test_a_restart_remembers_batches_and_values(tmp_path: Path) -> None:
    """For as long as nobody had stopped."""
    clock, notes = ManualClock(), dict[str, bytes]()
    async with daemon(tmp_path, clock=clock, notes=notes) as pi:
        await pi.tell_all(COUNTER | {"increment": 2}, {"name": "h", "type": "histogram", "observe": 4}, id="r1")
        before = await pi.samples()
    clock.advance(4 * MINUTE)
    async with daemon(tmp_path, clock=clock, notes=notes) as pi:
        again = await pi.tell_all(COUNTER, id="r1")
        after = await pi.samples()
        await pi.tell(COUNTER)
        later = await pi.samples()
        clock.advance(MINUTE)
        expired = await pi.tell_all(COUNTER, id="r1")

    assert details(again) == (409, "DUPLICATE_REQUEST", {"ageSeconds": 240.0, "sameBody": False})
    assert (before, later["acme_runs_total"], expired.status) == (after, 3, 200)


async def test_request_ids_are_not_noted_themselves(pi: Daemon) -> None:
    """They come from outside: any text, also a secret."""
    await pi.tell_all(COUNTER, id="a-request-id")

    assert not [key for key, body in pi.posted.notes.items() if "a-request-id" in key + body.decode()]
    assert len(pi.posted.notes) == 2


@pytest.mark.slow
async def test_what_every_receiver_promises(tmp_path: Path) -> None:
    """Repeats, restarts, a full journal, garbage."""
    batch = b'{"requestId":"r1","metrics":[{"name":"acme_runs_total","type":"counter"}]}'

    assert len(await check_receiver(lambda: made(tmp_path), Request("POST", "/api/metrics/batch", body=batch))) == 1
