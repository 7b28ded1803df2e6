"""How long series stay, and what is known of them after a restart."""

from __future__ import annotations

from pathlib import Path

from forwarder.testing import ManualClock
from tests.plugins.pi_daemon.posting import COUNTER, daemon

MINUTE = 60.0
GAUGE = {"name": "acme_depth", "type": "gauge", "set": 1}


def series_notes(notes: dict[str, bytes]) -> int:
    return sum(key.startswith("series") for key in notes)


async def test_a_series_without_update_disappears(tmp_path: Path) -> None:
    """After `retentionMinutes`; a counter then begins at 0, and its name may have another type."""
    clock = ManualClock()
    async with daemon(tmp_path, {"metrics": {"retentionMinutes": 2}}, clock=clock) as pi:
        await pi.tell_all(COUNTER, GAUGE)
        clock.advance(MINUTE)
        await pi.tell(GAUGE)
        clock.advance(MINUTE)
        left = (await pi.samples(), await pi.get("/api/metrics/registry"))
        await pi.tell(COUNTER)
        anew = (await pi.samples())["acme_runs_total"]
        clock.advance(2 * MINUTE)
        other = await pi.tell(GAUGE | {"name": "acme_runs_total"})

    assert (left, anew, other.status) == (({"acme_depth": 1}, ["acme_depth"]), 1, 204)


async def test_the_one_that_is_silent_disappears(tmp_path: Path) -> None:
    """Also when it was told of later than the one that goes on."""
    clock = ManualClock()
    async with daemon(tmp_path, clock=clock) as pi:
        await pi.tell(COUNTER)
        await pi.tell(GAUGE)
        clock.advance(30 * MINUTE)
        await pi.tell(COUNTER)
        clock.advance(30 * MINUTE)

        assert await pi.samples() == {"acme_runs_total": 2}


async def test_what_disappears_makes_room(tmp_path: Path) -> None:
    """For other names and series."""
    clock, config = ManualClock(), {"metrics": {"maxMetricNames": 1, "retentionMinutes": 1}}
    async with daemon(tmp_path, config, clock=clock, max_series=1) as pi:
        await pi.tell(COUNTER)
        full = await pi.tell(GAUGE)
        clock.advance(MINUTE)
        room = await pi.tell(GAUGE)

    assert (full.status, room.status) == (400, 204)


async def test_what_disappears_leaves_the_disk(tmp_path: Path) -> None:
    """With the next commit; what is told in it anew stays."""
    clock, notes = ManualClock(), dict[str, bytes]()
    async with daemon(tmp_path, clock=clock, notes=notes) as pi:
        await pi.tell_all(*({"name": f"n{number}", "type": "counter"} for number in range(5)))
        clock.advance(60 * MINUTE)
        await pi.lines()
        before = series_notes(notes)
        await pi.tell({"name": "n3", "type": "counter"})

    assert (before, series_notes(notes)) == (5, 1)


async def test_time_passes_while_nobody_runs(tmp_path: Path) -> None:
    """What is too old after the restart is not shown, and leaves the disk as well."""
    clock, notes = ManualClock(), dict[str, bytes]()
    async with daemon(tmp_path, clock=clock, notes=notes) as pi:
        await pi.tell(COUNTER)
        clock.advance(30 * MINUTE)
        await pi.tell(GAUGE)
    clock.advance(31 * MINUTE)
    async with daemon(tmp_path, clock=clock, notes=notes) as pi:
        shown = await pi.samples()
        await pi.tell(GAUGE)

    assert (shown, series_notes(notes)) == ({"acme_depth": 1}, 1)


async def test_a_note_of_another_release_costs_its_own_series(tmp_path: Path) -> None:
    """Which begins anew; what the key of a note says nothing about is left alone."""
    notes: dict[str, bytes] = {}
    async with daemon(tmp_path, notes=notes) as pi:
        await pi.tell(COUNTER)
        await pi.tell({"name": "h", "type": "histogram", "observe": 1})
    (histogram,) = [key for key, body in notes.items() if b"histogram" in body]
    notes[histogram] = notes[histogram].replace(b"[0,0,", b"[0,")
    notes |= {"series x": b"{", "request x": b"[]", "other": b"?"}
    async with daemon(tmp_path, notes=notes) as pi:
        after = await pi.samples()

    assert after == {"acme_runs_total": 1}


async def test_a_journal_that_was_set_aside_forgets_all(tmp_path: Path) -> None:
    """A receiver that goes on without notes begins anew."""
    async with daemon(tmp_path, notes={}) as pi:
        await pi.tell_all(COUNTER, id="r1")
        pi.receiver.recall({})
        taken = await pi.tell_all(COUNTER, id="r1")

        assert (taken.status, await pi.samples()) == (200, {"acme_runs_total": 1})
