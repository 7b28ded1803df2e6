"""From settings to the objects that do the work: what `run` and `replay` have in common."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import tomli_w

from forwarder.app.config import Settings, SinkSettings
from forwarder.app.intake import MakeMapper
from forwarder.app.redaction_key import redaction_key
from forwarder.app.registry import available_sources, make_source
from forwarder.clock import Clock
from forwarder.events import Event, Notification, Session
from forwarder.journal import Journal
from forwarder.pipeline.encoding import Encoder, origin_maker, renamed
from forwarder.pipeline.mapping import Mapped, Mapper
from forwarder.pipeline.pricing import Prices
from forwarder.pipeline.pseudonyms import Pseudonyms
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.pipeline.tightening import tighten
from forwarder.source import Source


def make_redactor(settings: Settings) -> Redactor:
    """The built-in rules and those of the configuration. Raises `ConfigError` and `MissingExtra`."""
    wanted = settings.rules
    rules = Rules.load_builtin()
    for path in wanted.files:
        rules += Rules.from_toml(path)
    if wanted.rules:
        written = tomli_w.dumps({"rules": list(wanted.rules)}).encode()
        rules += Rules.from_toml(written, origin=f"{settings.path}, [[redaction_rules]]")
    if wanted.allow:
        rules = rules.allowing(wanted.allow, origin=f"{settings.path}, redaction_allow")
    return Redactor(rules, pseudonyms=_pseudonyms(settings))


def _pseudonyms(settings: Settings) -> Pseudonyms | None:
    """The key is made when pseudonyms are wanted for the first time. Raises `StateError`."""
    if not settings.rules.pseudonyms:
        return None
    key = redaction_key(settings.key_dir or settings.state_dir)
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a number without a name, as in containers
        user = ""
    return Pseudonyms(settings.rules.pseudonyms, key=key, user=user, host=settings.host)


def host_name(settings: Settings, redactor: Redactor) -> str:
    """This machine's name as events tell it."""
    return redactor.name(settings.host) if "hosts" in settings.rules.pseudonyms else settings.host


def make_sources(settings: Settings) -> dict[str, Source[Any]]:
    """The configured sources; without any, every installed one (a folder that does not exist costs nothing)."""
    return {name: make_source(one) for name, one in (settings.sources or available_sources()).items()}


def open_journal(settings: Settings, clock: Clock, redactor: Redactor) -> Journal:
    """The journal in the state folder, for the configured sinks; enter it to open it."""
    kept, is_raw = settings.journal, loosest(settings.sinks.values()) is Level.RAW
    return Journal(
        settings.state_dir,
        sinks=list(settings.sinks),
        max_bytes=kept.max_bytes,
        keep_seconds=kept.keep_seconds,
        remember_seconds=kept.remember_seconds,
        clock=clock,
        path_of=str if is_raw else redactor.path,
        has_secret=(lambda _: False) if is_raw else redactor.has_secret,
    )


def loosest(sinks: Iterable[SinkSettings]) -> Level:
    """What the journal has to hold: the level of the least strict sink."""
    return max((sink.level for sink in sinks), default=Level.FULL)


def fingerprint_key(settings: Settings) -> bytes | None:
    """What fingerprints of secrets are made with; None when nothing is taken out. Raises `StateError`."""
    if loosest(settings.sinks.values()) is Level.RAW:
        return None
    return redaction_key(settings.key_dir or settings.state_dir)


def make_encoder(settings: Settings, redactor: Redactor, *, key: bytes | None = None) -> Encoder:
    """What turns all events of this run into lines, at the level of the least strict sink; `key` makes fingerprints."""
    level = loosest(settings.sinks.values())
    return Encoder(host=host_name(settings, redactor), level=level, redactor=redactor, prices=Prices.load(), key=key)


def mapper_maker(
    settings: Settings,
    redactor: Redactor,
    encoder: Encoder,
    *,
    clock: Clock,
    is_replay: bool = False,
    wanted: Callable[[Event], bool] | None = None,
) -> MakeMapper:
    """A function that makes the mapper of one stream."""
    level = loosest(settings.sinks.values())

    def make(name: str, source: Source[Any], path: Path) -> Mapper:
        return Mapper(
            source,
            name=name,
            path=path,
            encoder=encoder,
            redactor=redactor,
            level=level,
            now=clock.now,
            is_replay=is_replay,
            wanted=wanted,
        )

    return make


def name_keeper(settings: Settings, redactor: Redactor) -> Callable[[str], str]:
    """A function that makes a name such as the journal may hold it."""
    return str if loosest(settings.sinks.values()) is Level.RAW else redactor.name


def loss_announcer(settings: Settings, encoder: Encoder, clock: Clock) -> Callable[[int], Mapped]:
    """A function that makes the event which tells how many events a full journal has cost."""

    def announce(count: int) -> Mapped:
        now = clock.now()
        event = Notification(
            key=(settings.host, "events_given_up", now.isoformat()),
            time=now,
            session=Session(agent="forwarder", id=encoder.host),
            kind="events_given_up",
            message=f"{count} undelivered events: the journal is full and on_full is drop",
        )
        line, fact = encoder.encode(event, origin_maker(source="forwarder", file="", is_replay=False)(0, False))
        return Mapped(lines=[line], facts=[fact])

    return announce


def transform_for(sink: SinkSettings, level: Level, redactor: Redactor) -> Callable[[bytes], bytes] | None:
    """What makes a journal line into this sink's, cut to its stricter level and renamed; None if nothing is to do."""
    steps: list[Callable[[bytes], bytes]] = []
    if sink.level < level:
        steps.append(lambda line: tighten(line, sink.level, redactor))
    if sink.rename:
        steps.append(lambda line: renamed(line, sink.rename))
    if not steps:
        return None
    first, *others = steps
    return first if not others else lambda line: others[0](first(line))
