"""Tokens that others show when they post to us: given by the user, or made here and shown once."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from forwarder.app.access import AccessSettings
from forwarder.app.options import Reading, RunCommand, convert_options
from forwarder.app.options import run_command as really_run
from forwarder.errors import ConfigError, StateError
from forwarder.server.address import Address
from forwarder.sink import Secret

FOLDER = "tokens"  # in the state folder; one file each, for this user alone
RANDOM_BYTES = 32


@dataclass
class _Option:
    """What of a table the plugins' options know how to read."""

    token: Secret | None = None


def token_of(
    access: AccessSettings,
    address: Address,
    *,
    place: str,
    default: Secret | None = None,
    make: Callable[[], Secret],
    run_command: RunCommand = really_run,
) -> Secret | None:
    """What requests to this table have to show, None if nothing. `make` is called where one is wanted and not given.

    Raises `ConfigError`: for a token that cannot be looked up, and for an address that others can reach without one.
    """
    given = {} if access.token is None else {"token": access.token}
    token: Secret | None = convert_options(_Option, given, Reading(place, run_command)).get("token", default)
    if token is not None and not token.reveal():
        raise ConfigError(f"{place}: the token is empty")
    if access.auth is False:
        if access.token is not None:
            raise ConfigError(f"{place}: auth = false, but there is a token: take one of them out")
        token = None
    elif access.auth and token is None:
        token = make()
    if token is None and not address.is_loopback:
        raise ConfigError(
            f"{place}: {address} can be reached from other machines, and whoever reaches it could post what they like: "
            "add auth = true (a token is made and shown), or listen on 127.0.0.1"
        )
    return token


def made(state_dir: Path, name: str) -> Secret:
    """The token that was made for the table of this name; made now if there is none. Raises `StateError`."""
    path = state_dir / FOLDER / quote(name, safe="")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return Secret(_written(path, name) if not path.exists() else path.read_text().strip())
    except OSError as error:
        raise StateError(f"cannot keep the token of {name} in {path.parent}: {error}") from error


def _written(path: Path, name: str) -> str:
    """A new token, whole on the disk before it is shown: past the log, which removes secrets."""
    token = secrets.token_urlsafe(RANDOM_BYTES)
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    half.rename(path)
    sys.stderr.write(f"forwarder: the token for {name} is {token}\nIt is kept in {path} and not shown again.\n")
    sys.stderr.flush()
    return token
