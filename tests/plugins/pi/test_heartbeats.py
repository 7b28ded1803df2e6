"""Heartbeats become transitions: what a process does, how full its context is, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from forwarder_pi.activity import derived
from forwarder_pi.heartbeat import Heartbeat
from forwarder_pi.heartbeats import observe, quiet, vanish
from forwarder_pi.instance import Instance

from forwarder import (
    Activity,
    BadRecord,
    ContextSnapshot,
    Event,
    ModelChange,
    Record,
    SessionEnd,
    SessionStart,
    SessionState,
)

from .lines import only

SAMPLES = Path(__file__).parent / "samples"
RECORDED = [path.parent.name for path in sorted(SAMPLES.glob("*/heartbeats.jsonl"))]
START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

HEARTBEAT = msgspec.json.Decoder(Heartbeat)


def decode(text: str) -> Heartbeat:
    """As a record: JavaScript writes texts that strict JSON refuses."""
    line = text.encode()
    return Record(line=line, offset=0, size=len(line), first_line=bytes(16)).decode(HEARTBEAT)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ms(seconds: float) -> int:
    return round(at(seconds).timestamp() * 1000)


class Pi:
    """One process, of which a test says what it publishes."""

    def __init__(self, pid: int = 7, started: float = 0, session: str = "s1", **fields: Any) -> None:
        self.pid, self.started, self.session, self.fields = pid, started, session, fields
        self.seq, self.event, self.activity = 0, "session_start", "waiting_input"
        self.percent: float | None = None
        self.pressure = "normal"
        self.model = "acme-large"

    def beat(self, seconds: float, **fields: Any) -> Heartbeat:
        """The next heartbeat, `seconds` after the start of the test."""
        self.seq += 1
        process = {"pid": self.pid, "startedAt": ms(self.started), "updatedAt": ms(seconds), "heartbeatSeq": self.seq}
        process |= {"uptimeMs": round((seconds - self.started) * 1000), "heartbeatMs": 1500}
        whole: dict[str, Any] = {"schemaVersion": 2, "process": process, "session": {"id": self.session}}
        whole |= {"state": {"activity": self.activity}, "lastEvent": self.event, "capabilities": {"hasUI": False}}
        whole |= {"workspace": {"cwd": "/home/dev/shop", "git": {"branch": "main"}}}
        whole |= {"model": {"provider": "acme", "id": self.model}}
        whole |= {"context": {"tokens": 1, "contextWindow": 100, "percent": self.percent, "pressure": self.pressure}}
        return decode(json.dumps(whole | self.fields | fields))


def seen(instance: Instance, *heartbeats: Heartbeat) -> list[Event]:
    """The events of contents that were read as soon as they were written."""
    return [
        event
        for heartbeat in heartbeats
        for event in observe(instance, heartbeat, datetime.fromtimestamp(heartbeat.process.updated_at / 1000, UTC))
    ]


def ends(events: Iterable[Event]) -> list[tuple[str, str, bool]]:
    return [(end.session.id, end.reason, end.inferred) for end in only(SessionEnd, events)]


def states(events: Iterable[Event]) -> list[tuple[Activity | None, Activity]]:
    return [(state.previous, state.state) for state in only(SessionState, events)]


def told_once(values: Iterable[Any]) -> list[Any]:
    return [value for value, _ in groupby(values)]


# --- the recordings ---


def played(scenario: str) -> list[Event]:
    """The events of a recorded folder. A process lives as long as it is seen again; each gap is told as quiet."""
    lines = (SAMPLES / scenario / "heartbeats.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["op"] == "unlink" or (row["op"] == "rename" and "data" in row)]
    events: list[Event] = []
    for name in dict.fromkeys(row["name"] for row in rows):
        instance, own = Instance(), [row for row in rows if row["name"] == name]
        for row, following in [*pairwise(own), (own[-1], None)]:
            read_at = datetime.fromtimestamp(row["t"] / 1000, UTC)
            if row["op"] == "unlink":
                events += vanish(instance, read_at)
            else:
                events += observe(instance, decode(row["data"]), read_at)
            seconds = (following["t"] - row["t"]) / 1000 if following else 60.0
            lives_on = bool(following) and is_same_life(row, following)
            events += quiet(instance, seconds, is_alive=lives_on)
    return events


def is_same_life(row: dict[str, Any], following: dict[str, Any]) -> bool:
    if following["op"] == "unlink":
        return True
    started = [json.loads(one["data"])["process"]["startedAt"] for one in (row, following) if one["op"] == "rename"]
    return len(set(started)) == 1


def of_process(events: list[Event], process: dict[str, Any]) -> list[Event]:
    return [event for event in events if event.key[:2] == (process["startedAt"], process["pid"])]


def processes(scenario: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((SAMPLES / scenario / "expected.json").read_text())["processes"]
    return found


@pytest.mark.parametrize("scenario", RECORDED)
def test_a_recording_gives_the_states_that_follow_from_its_events(scenario: str) -> None:
    """Each process has exactly the states worked out independently, in order."""
    events = played(scenario)

    for process in processes(scenario):
        own = only(SessionState, of_process(events, process))
        assert told_once(state.state for state in own if state.state != "stalled") == process["derived_state"]


@pytest.mark.parametrize("scenario", RECORDED)
def test_a_recording_gives_the_pressures_that_were_published(scenario: str) -> None:
    """In order; a percentage of null is unknown and tells nothing."""
    events = played(scenario)

    for process in processes(scenario):
        own = only(ContextSnapshot, of_process(events, process))
        known = [level for level in process["pressure_null_is_unknown"] if level != "unknown"]
        assert told_once(snapshot.pressure for snapshot in own) == told_once(known)


REASONS = {
    "unlink": {"exit", "switched"},
    "left behind": {"killed"},
    "overwritten by another process (pid reused)": {"killed"},
}


@pytest.mark.parametrize("scenario", RECORDED)
def test_a_recordings_sessions_end_as_they_did(scenario: str) -> None:
    """An unlink is an exit, or a switch if the same process goes on; who vanishes without one was killed."""
    events = played(scenario)

    for process in processes(scenario):
        *earlier, last = only(SessionEnd, of_process(events, process))
        assert last.reason in REASONS[process["ended"]["how"]]
        assert {end.reason for end in earlier} <= {"switched"}
        assert [end.session.id for end in (*earlier, last)] == process["sessions"]


def test_new_sessions_of_one_process_are_switches() -> None:
    """pi 0.87 unlinks the file and writes another; 0.58 goes on in the same one. Only the last end is an exit."""
    for scenario, count in (("rpc-main-0.87.1", 4), ("tui-1.5.2", 2), ("tui-0.58.4", 2)):
        events = played(scenario)

        assert [reason for _, reason, _ in ends(events)] == ["switched"] * (count - 1) + ["exit"]
        assert [start.reason for start in only(SessionStart, events)] == ["startup"] * count


def test_a_stopped_process_stalls_and_resumes() -> None:
    """SIGSTOP for 12 s: alive, the same start time, the next sequence number."""
    [process] = [one for one in processes("fleet-0.73.1") if one["pid"] == 23118]

    assert states(of_process(played("fleet-0.73.1"), process))[-2:] == [
        ("waiting_input", "stalled"),
        ("stalled", "waiting_input"),
    ]


def test_two_processes_on_one_session_are_two() -> None:
    """The second one resumed what the first one has open."""
    [first, second] = [one for one in processes("fleet-0.73.1") if one["pid"] in {23118, 23283}]
    assert first["sessions"] == second["sessions"]

    starts = [s for s in only(SessionStart, played("fleet-0.73.1")) if s.session.id == first["sessions"][0]]
    assert [(start.pid, start.reason) for start in starts] == [(23118, "startup"), (23283, "resume")]


# --- the rules ---


def test_equal_heartbeats_tell_nothing() -> None:
    """However many."""
    pi, instance = Pi(), Instance()
    seen(instance, pi.beat(1))

    assert seen(instance, *(pi.beat(1 + number * 1.5) for number in range(10_000))) == []


def test_a_heartbeat_that_is_read_again_tells_nothing() -> None:
    """The sequence number is the position."""
    pi, instance = Pi(), Instance()
    first = pi.beat(1)
    seen(instance, first)
    pi.event = "turn_start"
    second = pi.beat(2)

    assert len(seen(instance, second)) == 1
    assert seen(instance, second, first) == []


def test_the_state_survives_the_journal() -> None:
    """It is saved as MessagePack between any two heartbeats."""
    pi, instance = Pi(), Instance()
    pi.percent = 40
    seen(instance, pi.beat(1))

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(instance), type=Instance) == instance


def test_the_first_sight_tells_who_it_is() -> None:
    """With the same key as the session's own header, so the two are one fact."""
    [start, state] = seen(Instance(), Pi().beat(0.2))

    assert isinstance(start, SessionStart)
    assert (start.key, start.reason, start.time, start.pid) == (("s1",), "startup", at(0), 7)
    assert (start.model, start.provider, start.entrypoint, start.context_window) == ("acme-large", "acme", "exec", 100)
    assert (start.session.cwd, start.session.git_branch) == ("/home/dev/shop", "main")
    assert states([state]) == [(None, "waiting_input")]


def test_the_oldest_heartbeats_are_read() -> None:
    """Releases differ in what they leave out: all but process and session may be missing."""
    bare = Pi().beat(0.2, state=None, context=None, model=None, workspace=None, capabilities=None, lastEvent=None)

    assert [type(event) for event in seen(Instance(), bare)] == [SessionStart]


def test_a_process_that_was_running_already_is_seen() -> None:
    """The forwarder came later."""
    [start] = only(SessionStart, seen(Instance(), Pi().beat(60)))

    assert start.reason == "seen"


def test_a_leftover_stays_silent() -> None:
    """Killed long before the forwarder came; but one that was only stopped comes back."""
    pi, instance = Pi(), Instance()
    leftover = pi.beat(1)

    assert observe(instance, leftover, at(600)) == []
    assert quiet(instance, 60, is_alive=False) == []
    assert [start.reason for start in only(SessionStart, seen(instance, pi.beat(700)))] == ["seen"]


@pytest.mark.parametrize(
    ("event", "activity", "previous", "has_pending", "wanted"),
    [
        ("before_agent_start", "waiting_input", "waiting_input", False, "working"),
        ("turn_end", "working", "working", False, "working"),
        ("agent_end", "working", "working", False, "waiting_input"),
        ("agent_end", "working", "working", True, "working"),
        ("session_start", "unknown", "working", False, "unknown"),
        ("session_compact", "working", "waiting_input", False, "waiting_input"),
        ("session_compact", "working", "working", False, "working"),
        ("session_compact", "working", None, False, "working"),
        ("model_select", "waiting_input", "working", False, "waiting_input"),
        ("command:pi-telemetry", "working", "waiting_input", False, "waiting_input"),
        (None, "working", None, False, "working"),
    ],
)
def test_the_last_event_decides_what_pi_is_doing(
    event: str | None, activity: str, previous: str | None, has_pending: bool, wanted: str
) -> None:
    """What pi publishes is wrong since 0.65, and stale after a compaction."""
    assert derived(event, activity, previous, has_pending=has_pending) == wanted


def test_an_unheard_of_activity_tells_nothing() -> None:
    """Idle with pending messages is idle."""
    pi, instance = Pi(), Instance()
    pi.activity = "unknown"
    assert states(seen(instance, pi.beat(1))) == [(None, "idle")]
    pi.activity = "dreaming"

    assert seen(instance, pi.beat(2)) == []


def test_a_vanished_file_is_an_exit_after_two_seconds() -> None:
    """At the time when it vanished; once."""
    instance = Instance()
    seen(instance, Pi().beat(1))
    assert vanish(instance, at(3)) == []
    assert quiet(instance, 1.9, is_alive=None) == []
    [end] = quiet(instance, 2, is_alive=None)

    assert (end.time, ends([end])) == (at(3), [("s1", "exit", False)])
    assert quiet(instance, 60, is_alive=None) == []


def test_a_reload_is_no_event() -> None:
    """The file vanishes and comes back: same process, same session, another start time."""
    instance = Instance()
    seen(instance, Pi().beat(1))
    vanish(instance, at(3))

    assert seen(instance, Pi(started=3.05).beat(3.06)) == []


def test_a_switch_that_was_not_seen_to_vanish_is_a_switch() -> None:
    """Pollers miss a gap of 14 ms; the process went on within a moment."""
    instance = Instance()
    seen(instance, Pi().beat(1))
    events = seen(instance, Pi(started=2, session="s2").beat(2.01))

    assert ends(events) == [("s1", "switched", False)]
    assert [start.session.id for start in only(SessionStart, events)] == ["s2"]


def test_a_reused_pid_is_another_process() -> None:
    """The dead one's file is overwritten, without an unlink in between."""
    instance = Instance()
    seen(instance, Pi().beat(1))
    events = seen(instance, Pi(started=60, session="s2").beat(60.1))

    assert ends(events) == [("s1", "killed", True)]
    assert events[0].time == at(1)


def test_who_is_gone_was_killed() -> None:
    """When it was last heard of; slower heartbeats have more time."""
    for beat_ms, seconds in ((1500, 10.0), (5000, 20.0)):
        pi, instance = Pi(), Instance()
        heartbeat = pi.beat(1)
        heartbeat.process.heartbeat_ms = beat_ms
        seen(instance, heartbeat)

        assert quiet(instance, seconds - 0.1, is_alive=False) == []
        [end] = quiet(instance, seconds, is_alive=False)
        assert (end.time, ends([end])) == (at(1), [("s1", "killed", True)])


def test_on_another_machine_the_quiet_are_lost() -> None:
    """Nobody can know whether the process lives."""
    instance = Instance()
    seen(instance, Pi().beat(1))

    assert ends(quiet(instance, 10, is_alive=None)) == [("s1", "lost", True)]


def test_a_stall_is_told_once() -> None:
    """And its end with the state that it goes on in."""
    pi, instance = Pi(), Instance()
    seen(instance, pi.beat(1))
    stalled = quiet(instance, 10, is_alive=True)
    assert (states(stalled), stalled[0].time) == ([("waiting_input", "stalled")], at(11))
    assert quiet(instance, 20, is_alive=True) == []

    assert states(seen(instance, pi.beat(30))) == [("stalled", "waiting_input")]


def test_who_comes_back_after_an_end_starts_again() -> None:
    """Thought dead, and was not: its sequence goes on."""
    pi, instance = Pi(), Instance()
    seen(instance, pi.beat(1))
    quiet(instance, 10, is_alive=False)

    assert [type(event) for event in seen(instance, pi.beat(30))] == [SessionStart, SessionState]


def test_instances_that_overwrite_one_another_do_not_switch_to_and_fro() -> None:
    """Two in one process, as a program that embeds pi can have; going back takes two equal sightings."""
    first, second, instance = Pi(session="s1"), Pi(session="s2", started=1), Instance()
    events = seen(instance, first.beat(1))
    for number in range(2, 8):
        events += seen(instance, second.beat(number), first.beat(number + 0.5))

    assert [start.session.id for start in only(SessionStart, events)] == ["s1", "s2"]
    assert ends(seen(instance, first.beat(9))) == [("s2", "switched", False)]


def levels(*contexts: tuple[float | None, str]) -> list[tuple[str | None, str]]:
    pi, instance = Pi(), Instance()
    events: list[Event] = []
    for number, (percent, pressure) in enumerate(contexts):
        pi.percent, pi.pressure = percent, pressure
        events += seen(instance, pi.beat(1 + number))
    return [(snapshot.previous_pressure, snapshot.pressure) for snapshot in only(ContextSnapshot, events)]


def test_pressure_is_told_when_it_changes() -> None:
    """Levels may be skipped; null is unknown, not normal."""
    assert levels((40, "normal"), (40, "normal"), (95.1, "near_limit"), (None, "normal"), (11, "normal")) == [
        (None, "normal"),
        ("normal", "near_limit"),
        ("near_limit", "normal"),
    ]


def test_a_context_that_swings_around_a_threshold_does_not_chatter() -> None:
    """Once it has come back to a level it must fall by two points to leave it."""
    swing = [(85.0, "approaching_limit"), (84.9, "normal")] * 50

    assert levels(*swing) == [
        (None, "approaching_limit"),
        ("approaching_limit", "normal"),
        ("normal", "approaching_limit"),
    ]
    assert levels(*swing, (82.9, "normal"))[-1] == ("approaching_limit", "normal")


def test_a_compaction_ends_the_swinging() -> None:
    """The context is another one then."""
    swing = [(85.0, "approaching_limit"), (84.9, "normal"), (85.0, "approaching_limit")]

    assert levels(*swing, (None, "normal"), (84.9, "normal"))[-1] == ("approaching_limit", "normal")


def test_a_level_of_another_name_tells_nothing() -> None:
    """As a later release may have."""
    assert levels((40, "overflowing")) == []


def test_the_clock_of_a_heartbeat_may_be_wrong() -> None:
    """Times never run backwards, nor far ahead of our own clock."""
    pi, instance = Pi(), Instance()
    seen(instance, pi.beat(10, process={"pid": 7, "startedAt": ms(0), "updatedAt": ms(10), "heartbeatSeq": 1}))
    pi.event = "turn_start"
    pi.seq = 1
    [late] = observe(instance, pi.beat(5), at(11))
    pi.event = "agent_end"
    [early] = observe(instance, pi.beat(3600), at(12))

    assert (late.time, early.time) == (at(10), at(17))


def test_another_model_is_told_where_no_file_does() -> None:
    """A session's file has its own line for it; with `--no-session` there is none."""
    for session, wanted in (({"id": "s1"}, [("acme-large", "acme-small")]), ({"id": "s1", "file": "/x/s1.jsonl"}, [])):
        pi, instance = Pi(), Instance()
        seen(instance, pi.beat(1, session=session))
        pi.model = "acme-small"
        events = seen(instance, pi.beat(2, session=session))

        assert [(change.previous_model, change.model) for change in only(ModelChange, events)] == wanted


def test_what_the_assistant_said_is_not_repeated() -> None:
    """The session's file tells it; in a heartbeat it can even be that of the session before."""
    secret = {"lastAssistantText": "the password is hunter2", "lastAssistantHtml": "<div>hunter2</div>"}
    pi, instance = Pi(), Instance()
    events = seen(instance, pi.beat(1, messages=secret), pi.beat(2, messages=secret, lastEvent="agent_end"))

    assert b"hunter2" not in msgspec.json.encode([events, instance])


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"schemaVersion": True},
        {"schemaVersion": "2"},
        {"process": None},
        {"process": {"pid": True, "startedAt": 1, "updatedAt": 1, "heartbeatSeq": 1}},
        {"session": None},
    ],
)
def test_a_heartbeat_in_another_shape_is_refused(change: dict[str, Any]) -> None:
    """It costs itself only, and never a session: what was known before stays."""
    with pytest.raises(BadRecord):
        Pi().beat(1, **change)
