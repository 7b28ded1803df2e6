"""One heartbeat file's life: whole documents in, transitions out. Equal heartbeats tell nothing.

A file is `<pid>.json`. Whoever is behind it is known by pid and start time; a position is the sequence number. That the
file vanished, or has been quiet for some time, is told from outside: nothing here has a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from forwarder import Activity, ContextSnapshot, Event, Expectation, ModelChange
from forwarder_pi.activity import derived
from forwarder_pi.heartbeat import Heartbeat, Process
from forwarder_pi.instance import Instance, at_ms, ended, key_of, ms_of, remember, session_of, started, state_changed
from forwarder_pi.pressure import Level, changed, settle

STALE_MS = 10_000  # what pi-telemetry's own command takes; four heartbeats where they are slower than that
STALE_BEATS = 4
GONE_SECONDS = 2.0  # after an unlink a new session of the same process is there within 65 ms
RESTART_MS = 6_000  # from the last heartbeat to a restart in the same process: at most four heartbeats were seen
AHEAD = timedelta(seconds=5)  # of our clock that a heartbeat may be

STATES: dict[str, Activity] = {"working": "working", "waiting_input": "waiting_input", "unknown": "idle"}


def observe(instance: Instance, heartbeat: Heartbeat, read_at: datetime) -> list[Event]:
    """The transitions that a new content of the file tells; `read_at` is our own clock."""
    process = heartbeat.process
    is_same = (process.pid, process.started_at) == (instance.pid, instance.started_ms)
    if is_same and process.heartbeat_seq <= instance.seq:
        return []
    is_leftover = not instance.seq and ms_of(read_at) - process.updated_at > _stale_ms(process.heartbeat_ms)
    if is_leftover:
        remember(instance, process)
        return []
    if _is_alternating(instance, heartbeat):
        return []
    return list(_transitions(instance, heartbeat, read_at))


def vanish(instance: Instance, at: datetime) -> list[Event]:
    """The file was unlinked: a restart, or the end; `quiet` will say."""
    instance.vanished = at
    return []


def quiet(instance: Instance, seconds: float, *, is_alive: bool | None) -> list[Event]:
    """Nothing has happened to the file for so long, by our own monotonic clock. `is_alive` is None if nobody can know.

    A vanished file is an exit. A process that is gone was killed; one that lives stalls; on another machine it is lost.
    """
    if not instance.is_alive:
        return []
    if instance.vanished is not None:
        return ended(instance, "exit", instance.vanished) if seconds >= GONE_SECONDS else []
    if seconds * 1000 < _stale_ms(instance.beat_ms):
        return []
    if not is_alive:
        return ended(instance, "lost" if is_alive is None else "killed", at_ms(instance.updated_ms))
    if instance.is_stalled:
        return []
    instance.is_stalled = True
    at = at_ms(instance.updated_ms + round(seconds * 1000))
    return [state_changed(instance, at, "stalled", instance.state)]


def expected(instance: Instance) -> Expectation | None:
    """What `quiet` is to be asked about next: how long a file may be gone, or as it is."""
    if not instance.is_alive:
        return None
    seconds = GONE_SECONDS if instance.vanished is not None else _stale_ms(instance.beat_ms) / 1000
    return Expectation(quiet_seconds=seconds, pid=instance.pid, host=instance.host)


def _transitions(instance: Instance, heartbeat: Heartbeat, read_at: datetime) -> Iterator[Event]:
    process, session = heartbeat.process, session_of(heartbeat)
    at = max(min(at_ms(process.updated_at), read_at + AHEAD), instance.told or at_ms(0))
    before, is_new_life = instance.session, instance.started_ms != process.started_at
    if instance.is_alive and before is not None and (is_new_life or before.id != session.id):
        if is_new_life and not _is_restart(instance, process):
            yield from ended(instance, "killed", at_ms(instance.updated_ms))
        elif before.id != session.id:
            yield from ended(instance, "switched", at)
            instance.former = (instance.started_ms, before.id)
    is_first, earliest = not instance.is_alive, instance.told
    if is_first:
        instance.state, instance.model, instance.level = None, (None, None), Level()
    was_stalled, instance.is_stalled = instance.is_stalled and not is_first, False
    remember(instance, process)
    instance.host = heartbeat.system.host if heartbeat.system else None
    instance.session, instance.is_alive, instance.vanished, instance.told = session, True, None, at
    if is_first:
        since = at_ms(process.started_at) if is_new_life else at
        yield started(heartbeat, min(at, max(since, earliest or since)))
    yield from _state_changes(instance, heartbeat, at, was_stalled=was_stalled)
    yield from _model_changes(instance, heartbeat, at)
    yield from _context_changes(instance, heartbeat, at)


def _state_changes(instance: Instance, heartbeat: Heartbeat, at: datetime, *, was_stalled: bool) -> Iterator[Event]:
    published = heartbeat.state
    if published is None or published.activity is None:
        return
    instance.activity = derived(
        heartbeat.last_event,
        published.activity,
        instance.activity if instance.state is not None else None,
        has_pending=published.has_pending_messages,
    )
    state = STATES.get(instance.activity)
    if state is not None and (was_stalled or state != instance.state):
        previous: Activity | None = "stalled" if was_stalled else instance.state
        instance.state = state
        yield state_changed(instance, at, state, previous)


def _model_changes(instance: Instance, heartbeat: Heartbeat, at: datetime) -> Iterator[Event]:
    """A session's own file tells of another model; without a file the heartbeat is the only one that does."""
    if heartbeat.model is None:
        return
    before, instance.model = instance.model, (heartbeat.model.provider, heartbeat.model.id)
    if before in {instance.model, (None, None)}:
        return
    settle(instance.level)
    if heartbeat.session.file is None and heartbeat.model.id is not None and instance.session is not None:
        yield ModelChange(
            key=key_of(instance),
            time=at,
            session=instance.session,
            model=heartbeat.model.id,
            previous_model=before[1],
            provider=heartbeat.model.provider,
        )


def _context_changes(instance: Instance, heartbeat: Heartbeat, at: datetime) -> Iterator[Event]:
    context = heartbeat.context
    if heartbeat.last_event == "session_compact" or (context is not None and context.percent is None):
        settle(instance.level)
    previous = instance.level.told
    if changed(instance.level, context) and context is not None and instance.level.told and instance.session:
        yield ContextSnapshot(
            key=key_of(instance),
            time=at,
            session=instance.session,
            used_tokens=context.tokens,
            context_window=context.context_window,
            percent=context.percent,
            pressure=instance.level.told,
            previous_pressure=previous,
        )


def _is_alternating(instance: Instance, heartbeat: Heartbeat) -> bool:
    """Two instances in one process overwrite one another's file: going back takes two equal sightings in a row."""
    seen = (heartbeat.process.started_at, heartbeat.session.id)
    if not instance.is_alive or seen != instance.former:
        instance.former_sightings = 0
        return False
    instance.former_sightings += 1
    return instance.former_sightings < 2


def _is_restart(instance: Instance, process: Process) -> bool:
    """Whether the same process began another session, or was reloaded, and did not die: then hardly a moment passed."""
    return instance.vanished is not None or process.started_at - instance.updated_ms <= RESTART_MS


def _stale_ms(beat_ms: int) -> int:
    return max(STALE_MS, STALE_BEATS * beat_ms)
