"""Who may ask: the checks that come before a request is read."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from forwarder.errors import Refused, WrongToken
from forwarder.server.address import is_loopback
from forwarder.sink import Secret

ANYBODY = "*"


def check_host(headers: Mapping[str, str], *, known: str) -> None:
    """Refuse a request that was meant for another name than `known` or this machine's own.

    A page on the web can have its own name resolved to 127.0.0.1 and then talks to us as to its own server (DNS
    rebinding); the name in the `Host` header is what gives it away. Clients without the header are no browsers.
    """
    if (host := headers.get("host")) is None:
        return
    name = _name(host)
    if name.lower() != known.lower() and not is_loopback(name.lower()):
        raise Refused(f'this server is not "{name}": use localhost, or the address that it listens on', status=403)


def check_origin(headers: Mapping[str, str], allowed: Collection[str]) -> None:
    """Refuse what a page of another origin sends: it would get no answer, but what it posts would be taken."""
    origin = headers.get("origin")
    if origin is None or origin in allowed or ANYBODY in allowed:
        return
    if urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        raise Refused(f"pages of {origin} may not use this server: add it to cors_origins to let them", status=403)


def check_token(headers: Mapping[str, str], token: Secret | None) -> None:
    """Refuse a request without the bearer token, where there is one; takes the same time for every wrong one.

    Raises `WrongToken` for a wrong one.
    """
    if token is None:
        return
    scheme, _, given = headers.get("authorization", "").partition(" ")
    is_right = hmac.compare_digest(given.strip().encode(), token.reveal().encode())
    if scheme.lower() != "bearer" or not is_right:
        refusal = WrongToken if "authorization" in headers else Refused
        raise refusal("the bearer token is missing or wrong", status=401, headers={"WWW-Authenticate": "Bearer"})


def cors_headers(headers: Mapping[str, str], allowed: Collection[str]) -> dict[str, str]:
    """What lets a page of an allowed origin see the answer."""
    origin = headers.get("origin")
    if origin is None or not (origin in allowed or ANYBODY in allowed):
        return {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def _name(host: str) -> str:
    """The name in a `Host` header, without port and brackets."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.strip("[]").rstrip(".")
