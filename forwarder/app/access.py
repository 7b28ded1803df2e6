"""The tables that listen: `[receivers.NAME]` and `[server]`, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forwarder.app.table import Table, described
from forwarder.app.units import parse_bytes, parse_seconds
from forwarder.server.address import Address


@dataclass(frozen=True)
class AccessSettings:
    """Where a table listens and who may ask; None and empty where the receiver's own default stands.

    `token` is as written, a reference or text; it is looked up when it is used.
    """

    listen: Address | None = None
    auth: bool | None = None
    token: object = None
    max_body_bytes: int | None = None
    cors_origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReceiverSettings:
    """``[receivers.NAME]``; `place` begins a complaint about `options`, which the plugin's class decides about."""

    name: str
    use: str
    access: AccessSettings = field(default_factory=AccessSettings)
    options: dict[str, object] = field(default_factory=dict[str, object])
    place: str = ""

    @property
    def owner(self) -> str:
        """Whom the journal knows its notes by: those of another plugin would mean nothing to it."""
        return f"receivers.{self.name} ({self.use})"


@dataclass(frozen=True)
class ServerSettings:
    """``[server]``: limits of every address; with `access.listen` an address of the forwarder's own."""

    access: AccessSettings = field(default_factory=AccessSettings)
    max_connections: int = 512
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    place: str = field(default="", compare=False)


def split_access(options: Mapping[str, object], place: str) -> tuple[AccessSettings, dict[str, object]]:
    """Where the table of a sink that listens listens, and the options that are its own. Raises `ConfigError`."""
    table = Table(options, place=place, folder=Path())
    return _access(table), table.rest()


def _access(table: Table) -> AccessSettings:
    return AccessSettings(
        listen=table.take("listen", _address, None),
        auth=table.flag("auth", None),
        token=table.take("token", lambda value: value, None),
        max_body_bytes=table.take("max_body_bytes", _some_bytes, None),
        cors_origins=table.texts("cors_origins"),
    )


def receiver_settings(name: str, table: Table) -> ReceiverSettings:
    """A table ``[receivers.NAME]``. Raises `ConfigError`."""
    use, access = table.text("use", name), _access(table)
    return ReceiverSettings(name, use=use, access=access, options=table.rest(), place=table.place)


def server_settings(table: Table) -> ServerSettings:
    """The table ``[server]``. Raises `ConfigError`."""
    default = ServerSettings()
    settings = ServerSettings(
        access=_access(table),
        max_connections=table.count("max_connections", None) or default.max_connections,
        header_seconds=table.take("header_seconds", parse_seconds, default.header_seconds),
        body_seconds=table.take("body_seconds", parse_seconds, default.body_seconds),
        place=table.place,
    )
    table.finish()
    return settings


def _address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError(f"wants HOST:PORT, not {described(value)}")
    return Address.parse(value)


def _some_bytes(value: object) -> int:
    if (size := parse_bytes(value)) < 1:
        raise ValueError("wants at least 1 byte")
    return size
