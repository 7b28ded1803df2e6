"""Where requests go and what they carry: checked when the configuration is read."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit, urlunsplit

import structlog

from forwarder.errors import ConfigError

EXAMPLE = "https://collect.example.com/v1/events"
OURS = {"content-length", "content-encoding", "transfer-encoding"}

_log = structlog.get_logger("forwarder.http")


def checked_url(url: str, *, key: str = "url", example: str = EXAMPLE) -> SplitResult:
    """The parts of an http(s) URL; raises `ConfigError` that names `key` and shows no password."""
    try:
        parsed = urlsplit(url)
        is_usable = parsed.scheme in {"http", "https"} and bool(parsed.hostname) and parsed.port != 0
    except ValueError as error:
        raise ConfigError(f"{key}: {error}; write it like {example}") from error
    if parsed.username is not None:
        raise ConfigError(f"{key} must not hold a password, which messages would show: use token or headers")
    if not is_usable or not url.isprintable() or " " in url:
        raise ConfigError(f"{key} must be like {example}, not {url!r}")
    return parsed


def place_of(url: SplitResult) -> str:
    """The URL as messages may show it: without its query, which may hold a key."""
    return urlunsplit((url.scheme, url.netloc, url.path, "", ""))


def check_header(name: str, value: str, *, key: str, ours: Collection[str] = ()) -> None:
    """Raise `ConfigError` that names `key`, never the value; `ours` (lower case) the plugin sets itself."""
    if name.lower() in OURS or name.lower() in ours:
        raise ConfigError(f"{key}: the forwarder sets this header itself, remove it")
    if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
        raise ConfigError(f"{key}: not the name of a header")
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise ConfigError(f"{key}: the value must be one line of plain ASCII; is there a line break at its end?")


def warn_if_exposed(url: SplitResult, *, has_secret: bool, verify: bool = True) -> None:
    """Log what anybody on the way can read or forge; called at each start, from a sink's `lifespan`."""
    if has_secret and url.scheme == "http" and not _is_loopback(url.hostname or ""):
        _log.warning("credentials travel unencrypted; use https", url=place_of(url))
    if not verify:
        _log.warning("verify = false: anybody on the way can pose as the destination", url=place_of(url))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
