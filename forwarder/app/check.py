"""What `check` finds out without side effects: what would run, and why something would not."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field

from forwarder.app.assembly import make_redactor
from forwarder.app.config import Settings, SinkSettings
from forwarder.app.options import do_not_run
from forwarder.app.registry import (
    RECEIVERS,
    SINKS,
    SOURCES,
    available_sources,
    installed,
    make_receiver,
    make_sink,
    make_source,
)
from forwarder.app.serving import places_to_be
from forwarder.app.units import show_bytes, show_seconds
from forwarder.clock import SystemClock
from forwarder.errors import ConfigError
from forwarder.receiver import Receiver
from forwarder.sink import Sink
from forwarder.tail.watch import Watch


@dataclass
class CheckReport:
    """`lines` say what would run; `problems` is empty when all of it would."""

    lines: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])


def check(settings: Settings) -> CheckReport:
    """Make everything that `run` would make, and start nothing. Looks at files' names, not into them."""
    report = CheckReport([f"config   {settings.path or 'none: every agent on this machine, to stdout'}"])
    _check_state_dir(settings, report)
    _check_rules(settings, report)
    _check_sources(settings, report)
    made = {name: _check_sink(sink, report) for name, sink in settings.sinks.items()}
    _check_listening(settings, {name: sink for name, sink in made.items() if sink is not None}, report)
    configured = {(SOURCES, one.use) for one in settings.sources.values()}
    configured |= {(SINKS, one.use) for one in settings.sinks.values()}
    configured |= {(RECEIVERS, one.use) for one in settings.receivers.values()}
    for plugin in (*installed(SOURCES), *installed(SINKS), *installed(RECEIVERS)):
        if plugin.problem and (plugin.group, plugin.name) not in configured:
            report.problems.append(plugin.problem)
    return report


def _check_state_dir(settings: Settings, report: CheckReport) -> None:
    folder, kept = settings.state_dir, settings.journal
    report.lines.append(
        f"journal  in {folder}, up to {show_bytes(kept.max_bytes)}, keeps {show_seconds(kept.keep_seconds)}, "
        f"remembers {show_seconds(kept.remember_seconds)}, on_full = {kept.on_full}"
    )
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        report.problems.append(f"the state folder {folder} cannot be written; choose another with --state-dir")


def _check_rules(settings: Settings, report: CheckReport) -> None:
    rules = settings.rules
    try:
        unused = make_redactor(settings).problems
        report.problems += [f"{one.origin}: rule {one.rule} is not in use: {one.reason}" for one in unused]
    except ConfigError as error:
        report.problems.append(str(error))
    own = f", {len(rules.files)} rule files and {len(rules.rules)} rules of yours" if rules.files or rules.rules else ""
    report.lines.append(f"redact   {_level(settings.redaction.name)} by default{own}")


def _check_sources(settings: Settings, report: CheckReport) -> None:
    patterns: dict[str, list[str]] = {}
    uses: dict[str, str] = {}
    for name, source in (settings.sources or available_sources()).items():
        try:
            patterns[name] = make_source(source, run_command=do_not_run).patterns()
            uses[name] = source.use
        except ConfigError as error:
            report.problems.append(str(error))
    counts = _count_files(patterns)
    for name, globs in patterns.items():
        report.lines.append(f"source   {_named(name, uses[name])}: {_files(counts[name])} at {', '.join(globs)}")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _count_files(patterns: dict[str, list[str]]) -> Counter[str]:
    watch = Watch(patterns, clock=SystemClock(), sweep_seconds=1.0)
    return Counter(file.source for file in asyncio.run(watch.sweep(is_full=True)))


def _check_sink(sink: SinkSettings, report: CheckReport) -> Sink | None:
    try:
        made = make_sink(sink, run_command=do_not_run)
    except ConfigError as error:
        report.problems.append(str(error))
        return None
    filters = [
        f"{name} {', '.join(values)}"
        for name, values in (("types", sink.types), ("agents", sink.agents), ("projects", sink.projects))
        if values
    ]
    report.lines.append(f"sink     {_named(sink.name, sink.use)}: {'; '.join([_level(sink.level.name), *filters])}")
    return made


def _check_listening(settings: Settings, sinks: dict[str, Sink], report: CheckReport) -> None:
    """What would be listened at; whether a port is free is only known when it is used."""
    receivers: dict[str, Receiver] = {}
    for name, one in settings.receivers.items():
        try:
            receivers[name] = make_receiver(one, run_command=do_not_run)
        except ConfigError as error:
            report.problems.append(str(error))
    try:
        places = places_to_be(settings, receivers, sinks)
    except ConfigError as error:
        report.problems.append(str(error))
        return
    for address, routing in places.items():
        for mount in routing.mounts:
            use = settings.receivers[mount.name].use if mount.name in receivers else mount.name
            guard = "with a token" if mount.token else "without a token"
            report.lines.append(f"listen   {_named(mount.name, use)}: at {address}, {guard}")


def _named(name: str, use: str) -> str:
    return name if name == use else f"{name} ({use})"


def _level(name: str) -> str:
    return 'redaction "none", secrets NOT scrubbed' if name == "RAW" else f'redaction "{name.lower()}"'
