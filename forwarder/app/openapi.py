"""What is answered to others, by receivers and sinks that listen, as an OpenAPI 3.1 document of their routes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from forwarder import __version__
from forwarder.app.access import ReceiverSettings
from forwarder.app.config import Settings, SinkSettings
from forwarder.app.openapi_routes import TOKEN, Described, Json, paths_of, schemas_of
from forwarder.app.options import do_not_run
from forwarder.app.registry import RECEIVERS, SINKS, installed, is_listening, make_receiver, make_sink
from forwarder.app.serving import places_to_be
from forwarder.app.suggest import did_you_mean
from forwarder.errors import ConfigError
from forwarder.server.address import Address
from forwarder.server.routing import Routing

OWN_ADDRESS = Address("127.0.0.1", 9464)  # where the forwarder answers about itself in the description of everything


def document(settings: Settings, *, name: str | None = None, is_all: bool = False) -> Json:
    """The description of what is configured, or of `name` alone; of all that is installed where nothing is configured.

    Nothing is run, kept or opened. Raises `ConfigError`.
    """
    asked = {name: one for name, one in settings.sinks.items() if is_listening(one)}
    if is_all or not (asked or settings.receivers or settings.server.access.listen):
        settings = _with_everything(settings)
        asked = {name: one for name, one in settings.sinks.items() if is_listening(one)}
    receivers = {name: make_receiver(one, run_command=do_not_run) for name, one in settings.receivers.items()}
    sinks = {name: make_sink(one, run_command=do_not_run) for name, one in asked.items()}
    return described(places_to_be(settings, receivers, sinks), name=name)


def json_text(found: Json) -> str:
    """The document as it is printed."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _with_everything(settings: Settings) -> Settings:
    """Every installed plugin that needs no option, configured or not, and the forwarder's own address."""
    receivers = {
        name: ReceiverSettings(name, use=name, place=f"[receivers.{name}]") for name in _without_options(RECEIVERS)
    }
    sinks = {
        name: SinkSettings(name, use=name, level=settings.redaction, place=f"[sinks.{name}]")
        for name in _without_options(SINKS)
    }
    access = replace(settings.server.access, listen=settings.server.access.listen or OWN_ADDRESS)
    return replace(
        settings,
        receivers=receivers | settings.receivers,
        sinks=sinks | settings.sinks,
        server=replace(settings.server, access=access),
    )


def _without_options(group: str) -> list[str]:
    return [
        one.name for one in installed(group) if not (one.problem or any(option.is_required for option in one.options))
    ]


def described(places: Mapping[Address, Routing], *, name: str | None = None) -> Json:
    """The document of all that is listened at, or of one name there. Raises `ConfigError` if there is no such name."""
    names = [mount.name for routing in places.values() for mount in routing.mounts]
    if name is not None and name not in names:
        raise ConfigError(f'nothing named "{name}" listens{did_you_mean(name, names)}')
    found = [
        Described(address, mount, route)
        for address, routing in places.items()
        for mount in routing.mounts
        for route in mount.receiver.routes()
        if name in (None, mount.name)
    ]
    schemas, components = schemas_of(found)
    paths = paths_of(found, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"forwarder: {name or 'everything that listens'}", "version": __version__},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {TOKEN: {"type": "http", "scheme": "bearer"}}},
    }
