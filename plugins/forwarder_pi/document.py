"""The snapshot document of pi-telemetry, schema version 2: what its command prints about all instances of pi.

Built from the heartbeat files of one folder as the original builds it, its quirks included (contract, section 2).
"""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from forwarder import ForwarderError
from forwarder_pi.activity import corrected
from forwarder_pi.javascript import MISSING, is_number, is_truthy, member, number, parse, plain, stringify, text

ACTIVITIES = ("working", "waiting_input", "unknown")
MAX_PID = 2**31 - 1
# A session of such a name is looked up among what every JavaScript object has, and the original ends with a TypeError.
INHERITED = frozenset(
    {
        "__proto__",
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    }
)

Instance = dict[str, Any]
"""A parsed heartbeat."""


class NoSnapshot(ForwarderError):
    """The original command prints nothing either, and ends with an exception."""


def snapshot(directory: str | Path, *, now_ms: int, stale_ms: float, is_alive: Callable[[int], bool]) -> dict[str, Any]:
    """The document about the heartbeats in `directory` at `now_ms` (milliseconds since 1970).

    Active is what `is_alive` (by pid, above 0) and was updated within `stale_ms`. A missing folder and unreadable files
    are no errors. `to_json` writes it. Raises `NoSnapshot` for a session whose id ends the original with an exception.
    """
    return _document(_heartbeats(directory), directory, now_ms=now_ms, stale_ms=stale_ms, is_alive=is_alive)


def derived_snapshot(
    directory: str | Path, *, now_ms: int, stale_ms: float, is_alive: Callable[[int], bool]
) -> dict[str, Any]:
    """The same with the states that follow from the last event; what pi published is kept as `publishedActivity`."""
    heartbeats = [(file, corrected(instance)) for file, instance in _heartbeats(directory)]
    return _document(heartbeats, directory, now_ms=now_ms, stale_ms=stale_ms, is_alive=is_alive)


def to_json(document: dict[str, Any], *, indent: str = "") -> str:
    """The document's text, without the newline behind it; `--pretty` is an indent of two spaces."""
    return stringify(document, indent=indent)


def _heartbeats(directory: str | Path) -> list[tuple[str, Instance]]:
    """Every readable heartbeat with its path, in the order of the names' bytes."""
    folder = os.fsencode(directory)
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(b".json"))
    except OSError:
        return []
    found: list[tuple[str, Instance]] = []
    for name in names:
        try:
            content = Path(os.fsdecode(os.path.join(folder, name))).read_bytes()
            instance = parse(content.decode("utf-8", "replace"))
        except (OSError, ValueError, RecursionError):
            continue  # as the original does: gone again, a folder, empty, torn, no JSON
        if _is_heartbeat(instance):
            found.append((joined(_shown(folder), _shown(name)), instance))
    return found


def _is_heartbeat(value: object) -> bool:
    version = member(value, "schemaVersion")
    return is_number(version) and version == 2 and is_truthy(member(member(value, "process"), "pid"))


def _document(
    heartbeats: Iterable[tuple[str, Instance]],
    directory: str | Path,
    *,
    now_ms: int,
    stale_ms: float,
    is_alive: Callable[[int], bool],
) -> dict[str, Any]:
    instances: list[Instance] = []
    for file, instance in heartbeats:
        age = now_ms - number(_field(instance, "process", "updatedAt"))
        alive, stale = _is_alive(_pid(instance), is_alive), not math.isfinite(age) or age > stale_ms
        if alive and not stale:
            told = {"file": file, "alive": alive, "stale": stale, "ageMs": plain(age)}
            instances.append(instance | {"telemetry": told})
    instances.sort(key=lambda instance: number(_pid(instance)))
    counts = _activities(instances)
    return {
        "schemaVersion": 2,
        "source": "pi-telemetry-snapshot",
        "generatedAt": now_ms,
        "telemetryDir": _shown(os.fsencode(directory)),
        "staleMs": stale_ms,
        "aggregate": _aggregate(len(instances), counts),
        "counts": {"total": len(instances)} | counts,
        "context": {"reporting": len(list(_percents(instances)))} | _context(instances),
        "sessions": _sessions(instances),
        "instancesByPid": {text(_pid(instance)): instance for instance in instances},
        "instances": instances,
    }


def _sessions(instances: Iterable[Instance]) -> dict[str, Any]:
    members: dict[str, list[Instance]] = {}
    for instance in instances:
        name = text(_session_id(instance))
        if name in INHERITED:
            raise NoSnapshot(f"the session id {name!r} is no key that pi-telemetry can hold; it prints nothing then")
        members.setdefault(name, []).append(instance)
    return {name: _session(group) for name, group in members.items()}


def _session(instances: list[Instance]) -> dict[str, Any]:
    """One session, described by its first instance."""
    first = instances[0]
    named = {
        "sessionId": _session_id(first),
        "name": _field(first, "session", "name"),
        "file": _field(first, "session", "file"),
        "cwd": _field(first, "workspace", "cwd"),
    }
    return {name: value for name, value in named.items() if value is not MISSING} | {
        "pids": [_pid(instance) for instance in instances],
        "activities": _activities(instances),
        "context": _context(instances),
    }


def _activities(instances: Iterable[Instance]) -> dict[str, int]:
    published = [_field(instance, "state", "activity") for instance in instances]
    return {activity: published.count(activity) for activity in ACTIVITIES}


def _aggregate(total: int, counts: dict[str, int]) -> str:
    if total == 0:
        return "none"
    return next((name for name in ("working", "waiting_input") if counts[name] == total), "mixed")


def _context(instances: Iterable[Instance]) -> dict[str, object]:
    instances = list(instances)
    return {
        "closeToLimit": sum(is_truthy(_field(instance, "context", "closeToLimit")) for instance in instances),
        "nearLimit": sum(is_truthy(_field(instance, "context", "nearLimit")) for instance in instances),
        "atLimit": sum(_field(instance, "context", "pressure") == "at_limit" for instance in instances),
        "maxPercent": max([0, *_percents(instances)]),
    }


def _percents(instances: Iterable[Instance]) -> Iterable[float]:
    for instance in instances:
        percent = _field(instance, "context", "percent")
        if is_number(percent):
            yield percent


def _field(instance: Instance, group: str, name: str) -> Any:
    return member(member(instance, group), name)


def _pid(instance: Instance) -> Any:
    return _field(instance, "process", "pid")


def _session_id(instance: Instance) -> Any:
    id = _field(instance, "session", "id")
    return id if is_truthy(id) else "unknown"


def _is_alive(pid: object, is_alive: Callable[[int], bool]) -> bool:
    value = number(pid)
    return value.is_integer() and 0 < value <= MAX_PID and is_alive(int(value))


def joined(folder: str, name: str) -> str:
    """Node's `path.join`, which also keeps no double slash at the beginning."""
    path = posixpath.normpath(f"{folder}/{name}")
    return path[1:] if path.startswith("//") else path


def _shown(path: bytes) -> str:
    """As Node reads a path that is not UTF-8."""
    return path.decode("utf-8", "replace")
