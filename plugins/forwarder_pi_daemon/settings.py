"""pi-daemon's own ``config.json``, read as it is.

Keys and defaults of its documentation. Keys that are not in it are left alone: a newer pi-daemon may know them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from forwarder import ConfigError

PLACES = ("~/.pi/daemon/config.json", "/etc/pi-daemon/config.json")  # a user's, and that of the systemd unit
REDACTED = "[REDACTED]"

Positive = Annotated[int, Meta(ge=1)]


class ServerTable(Struct, rename="camel", frozen=True):
    """Where it listens; `max_payload_size` is in bytes."""

    listen_address: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 9876
    max_payload_size: Positive = 1 << 20


class MetricsTable(Struct, rename="camel", frozen=True):
    """Limits; a series that is not told anything for `retention_minutes` is forgotten."""

    enabled: bool = True
    retention_minutes: Annotated[float, Meta(gt=0)] = 60
    max_label_count: Annotated[int, Meta(ge=0)] = 10
    max_metric_names: Positive = 1000


class PluginsTable(Struct, rename="camel", frozen=True):
    """Parts of pi-daemon that can be switched off."""

    metrics: bool = True


class AuthTable(Struct, rename="camel", frozen=True):
    """Without a token one is made where `enabled` asks for it."""

    enabled: bool = False
    token: Annotated[str, Meta(min_length=1)] | None = None

    def __repr__(self) -> str:
        return f"AuthTable(enabled={self.enabled})"


class LoggingTable(Struct, rename="camel", frozen=True):
    """Of no effect here: the forwarder's log is the forwarder's."""

    level: Literal["debug", "info", "warn", "error"] = "info"


class DaemonConfig(Struct, rename="camel", frozen=True):
    """The whole file; what it does not say is the default."""

    server: ServerTable = ServerTable()
    metrics: MetricsTable = MetricsTable()
    plugins: PluginsTable = PluginsTable()
    auth: AuthTable = AuthTable()
    logging: LoggingTable = LoggingTable()

    @property
    def listen(self) -> str:
        """``HOST:PORT``."""
        host = self.server.listen_address
        return f"[{host}]:{self.server.port}" if ":" in host else f"{host}:{self.server.port}"

    @property
    def has_metrics(self) -> bool:
        return self.metrics.enabled and self.plugins.metrics

    def shown(self) -> DaemonConfig:
        """Without the token."""
        auth = AuthTable(self.auth.enabled, None if self.auth.token is None else REDACTED)
        return msgspec.structs.replace(self, auth=auth)


def place_of(given: str | None) -> Path | None:
    """The file to read: the one that is given, else the first of pi-daemon's own places that exists, else none."""
    if given:
        return Path(given).expanduser()
    return next((path for path in map(Path, map(os.path.expanduser, PLACES)) if path.exists()), None)


def read_config(path: Path | None) -> DaemonConfig:
    """The file's content, or the defaults where there is no file. Raises `ConfigError` that names file and key."""
    if path is None:
        return DaemonConfig()
    try:
        return msgspec.json.decode(path.read_bytes(), type=DaemonConfig)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {in_words(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error


def in_words(error: msgspec.ValidationError) -> str:
    """What is wrong with which key; never a value, which may be a secret in the wrong place."""
    problem, key = parted(error)
    return f"{key}: {problem}" if key else problem


def parted(error: msgspec.ValidationError) -> tuple[str, str]:
    """What is wrong, and the key; an empty one for the whole."""
    found = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", str(error), re.DOTALL)
    assert found is not None
    return found[1], found[2] or ""
