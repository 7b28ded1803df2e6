"""The TOML file into typed settings; every complaint names file, table and key."""

from __future__ import annotations

import os
import platform
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from forwarder.app.access import ReceiverSettings, ServerSettings, receiver_settings, server_settings
from forwarder.app.suggest import did_you_mean
from forwarder.app.table import Table, texts
from forwarder.app.units import parse_bytes, parse_seconds
from forwarder.catalogue import EVENT_TYPES
from forwarder.errors import ConfigError
from forwarder.pipeline.pseudonyms import KINDS, Kind
from forwarder.pipeline.redaction import Level

FILE_VARIABLE = "FORWARDER_CONFIG"
STDOUT = "stdout"
LEVELS = ("full", "preview", "none")

DAY = 86400.0


@dataclass(frozen=True)
class RuleSettings:
    """The user's redaction rules: files in gitleaks' format, ``[[redaction_rules]]`` entries, what is no secret.

    `pseudonyms` are the kinds of names that are replaced.
    """

    files: tuple[Path, ...] = ()
    rules: tuple[dict[str, object], ...] = ()
    allow: tuple[str, ...] = ()
    pseudonyms: tuple[Kind, ...] = ()


@dataclass(frozen=True)
class JournalSettings:
    """`keep_seconds` is how long delivered events stay, `remember_seconds` how long a fact is known.

    `on_full`: ``wait`` lets the source files be the overflow, ``drop`` gives up the oldest events and counts them.
    """

    max_bytes: int = 1 << 30
    keep_seconds: float = 7 * DAY
    remember_seconds: float = 180 * DAY
    on_full: Literal["wait", "drop"] = "wait"


@dataclass(frozen=True)
class SourceSettings:
    """``[sources.NAME]``; `place` begins a complaint about `options`, which the plugin's class decides about."""

    name: str
    use: str
    options: dict[str, object] = field(default_factory=dict[str, object])
    place: str = ""


@dataclass(frozen=True)
class SinkSettings:
    """``[sinks.NAME]``. `level` combines the sink's own `redaction` and `scrub` with the defaults for all sinks.

    Empty `types`, `agents` and `projects` take everything. `rename` maps a field's name on the wire to the sink's. The
    `batch_…` are None where the plugin's own default stands.
    """

    name: str
    use: str
    level: Level
    options: dict[str, object] = field(default_factory=dict[str, object])
    types: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    rename: dict[str, str] = field(default_factory=dict[str, str])
    batch_events: int | None = None
    batch_bytes: int | None = None
    batch_wait_seconds: float | None = None
    place: str = ""

    @property
    def owner(self) -> str:
        """Whom the journal knows its notes by: those of another plugin would mean nothing to it."""
        return f"sinks.{self.name} ({self.use})"


@dataclass(frozen=True)
class Settings:
    """The whole configuration. `path` is the file it came from, None without one.

    `start`: at the first start, files changed within so many seconds are read from their beginning. `redaction` is the
    level of whatever sink names none, with `scrub` combined. No `sources`: every agent found on this machine. The key
    of pseudonyms and fingerprints is in `key_dir` where that is not the state folder.
    """

    path: Path | None
    state_dir: Path
    redaction: Level
    scrub: bool
    start: float | Literal["all", "none"]
    host: str
    max_line_bytes: int
    drain_seconds: float
    sweep_seconds: float
    rules: RuleSettings
    journal: JournalSettings
    sources: dict[str, SourceSettings]
    sinks: dict[str, SinkSettings]
    receivers: dict[str, ReceiverSettings] = field(default_factory=dict[str, ReceiverSettings])
    server: ServerSettings = field(default_factory=ServerSettings)
    stdout_format: str | None = None
    key_dir: Path | None = None

    def on_stdout(self, name: str) -> SinkSettings:
        """A sink to standard output that the file does not name."""
        options: dict[str, object] = {"format": self.stdout_format} if self.stdout_format else {}
        return SinkSettings(name, use=STDOUT, level=self.redaction, options=options, place=f"--to {name}")

    def with_format(self, name: str) -> Settings:
        """The same settings with another format of events on standard output."""
        sinks = {
            key: replace(sink, options={**sink.options, "format": name}) if sink.use == STDOUT else sink
            for key, sink in self.sinks.items()
        }
        return replace(self, sinks=sinks, stdout_format=name)


def load(
    *,
    path: Path | None = None,
    is_ignored: bool = False,
    state_dir: Path | None = None,
    redaction: str | None = None,
) -> Settings:
    """Settings from `path`, else ``$FORWARDER_CONFIG``, else the user's config folder; defaults when `is_ignored`.

    `state_dir` goes before the file's. So does `redaction`, except for a sink that asks for a stricter level itself:
    nothing on the command line may send more than the file allows. Raises `ConfigError`.
    """
    found = None if is_ignored else _find(path)
    values = _read(found) if found else {}
    if redaction is not None:
        values.pop("scrub", None)
        values["redaction"] = redaction
    if state_dir is not None:
        values["state_dir"] = str(state_dir.absolute())
    table = Table(
        values,
        place=found.name if found else "command line",
        folder=found.parent.absolute() if found else Path.cwd(),
    )
    return _settings(table, path=found, at_most=redaction)


def from_values(values: Mapping[str, object], *, place: str, folder: Path) -> Settings:
    """Settings from what a file would hold; `place` begins complaints, relative paths start from `folder`."""
    return _settings(Table(values, place=place, folder=folder), path=None, at_most=None)


def _find(path: Path | None) -> Path | None:
    if path is not None:
        return path
    if named := os.environ.get(FILE_VARIABLE):
        return Path(named).expanduser()
    import platformdirs

    default = platformdirs.user_config_path("forwarder") / "config.toml"
    try:
        return default if default.is_file() else None
    except OSError as error:
        raise ConfigError(f"cannot look for the configuration {default}: {error.strerror}; try --no-config") from error


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except ValueError as error:  # `TOMLDecodeError`, or a number of thousands of digits
        raise ConfigError(f"{path.name}: not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path.name}: lists or tables are nested too deeply in each other") from error


def _settings(table: Table, *, path: Path | None, at_most: str | None) -> Settings:
    redaction, scrub = _level(table, Level.PREVIEW)
    limit = redaction if at_most is not None else Level.RAW
    settings = Settings(
        path=path,
        state_dir=table.path("state_dir", default_state_dir()),
        redaction=redaction,
        scrub=scrub,
        start=table.take("start", _start, DAY),
        host=table.text("host", platform.node()),
        max_line_bytes=table.take("max_line_bytes", _line_bytes, 8 << 20),
        drain_seconds=table.take("drain_seconds", parse_seconds, 10.0),
        sweep_seconds=table.take("sweep_seconds", _sweep_seconds, 7.5),
        rules=RuleSettings(
            files=table.paths("redaction_rule_files"),
            rules=table.tables("redaction_rules"),
            allow=table.texts("redaction_allow"),
            pseudonyms=table.take("redaction_pseudonyms", _pseudonyms, ()),
        ),
        journal=_journal(table.table("journal")),
        sources={name: _source(name, one) for name, one in table.named_tables("sources").items()},
        sinks={name: _sink(name, one, redaction, limit) for name, one in table.named_tables("sinks").items()}
        or {STDOUT: SinkSettings(STDOUT, use=STDOUT, level=redaction, place=f"{table.place}, [sinks.stdout]")},
        receivers={name: receiver_settings(name, one) for name, one in table.named_tables("receivers").items()},
        server=server_settings(table.table("server")),
    )
    table.finish()
    return settings


def _pseudonyms(value: object) -> tuple[Kind, ...]:
    wanted = texts(value)
    for one in wanted:
        if one not in KINDS:
            raise ValueError(f'has "{one}"{did_you_mean(one, KINDS)}; there are {", ".join(KINDS)}')
    return tuple(kind for kind in KINDS if kind in wanted)


def default_state_dir() -> Path:
    """Where the journal lies unless the file or ``--state-dir`` says otherwise."""
    import platformdirs

    return platformdirs.user_state_path("forwarder")


def _level(table: Table, inherited: Level) -> tuple[Level, bool]:
    """The level that a table asks for with `redaction` and `scrub`, and whether it scrubs."""
    own = table.choice("redaction", LEVELS, "")
    scrub = table.flag("scrub", None)
    level = Level[own.upper()] if own else inherited
    if scrub is False:
        if level not in (Level.NONE, Level.RAW):
            raise table.complaint('scrub = false stands only beside redaction = "none"')
        return Level.RAW, False
    if level is Level.RAW and scrub:
        return Level.NONE, True
    return level, level is not Level.RAW


def _journal(table: Table) -> JournalSettings:
    default = JournalSettings()
    settings = JournalSettings(
        max_bytes=table.take("max_bytes", _journal_bytes, default.max_bytes),
        keep_seconds=table.take("keep", parse_seconds, default.keep_seconds),
        remember_seconds=table.take("remember", parse_seconds, default.remember_seconds),
        on_full=cast('Literal["wait", "drop"]', table.choice("on_full", ("wait", "drop"), default.on_full)),
    )
    table.finish()
    return settings


def _source(name: str, table: Table) -> SourceSettings:
    return SourceSettings(name, use=table.text("use", name), options=table.rest(), place=table.place)


def _sink(name: str, table: Table, inherited: Level, limit: Level) -> SinkSettings:
    level, _ = _level(table, inherited)
    return SinkSettings(
        name,
        use=table.text("use", name),
        level=min(level, limit),
        types=table.take("types", _types, ()),
        agents=table.texts("agents"),
        projects=table.texts("projects"),
        rename=table.pairs("rename"),
        batch_events=table.count("batch_events", None),
        batch_bytes=table.take("batch_bytes", _batch_bytes, None),
        batch_wait_seconds=table.take("batch_wait_seconds", parse_seconds, None),
        options=table.rest(),
        place=table.place,
    )


def _start(value: object) -> float | Literal["all", "none"]:
    return value if value in ("all", "none") else parse_seconds(value)


def _sweep_seconds(value: object) -> float:
    if (seconds := parse_seconds(value)) < 0.1:
        raise ValueError("wants at least 0.1 seconds: a sweep looks at every folder")
    return seconds


def _journal_bytes(value: object) -> int:
    if (size := parse_bytes(value)) < 1 << 20:
        raise ValueError("wants at least 1MiB: one batch of events has to fit")
    return size


def _line_bytes(value: object) -> int:
    if (size := parse_bytes(value)) < 4096:
        raise ValueError("wants at least 4KiB: that much is kept of the head of a longer line")
    return size


def _batch_bytes(value: object) -> int:
    if (size := parse_bytes(value)) < 1:
        raise ValueError("wants at least 1 byte")
    return size


def _types(value: object) -> tuple[str, ...]:
    known = {str(kind.__struct_config__.tag) for kind in EVENT_TYPES}
    for one in (names := texts(value)):
        if one not in known:
            raise ValueError(f'names "{one}"{did_you_mean(one, known)}')
    return names
