"""Which receiver answers what, of all that share an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from forwarder.errors import ConfigError, Refused
from forwarder.receiver import Accept, Listening, Request, Route, SocketRoute
from forwarder.sink import Secret

OPENING = "WEBSOCKET"  # stands for the method where a socket is opened

_PARAM = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Mount:
    """A receiver, or a sink that listens, in its place.

    `name` is the user's, `place` begins complaints about its table. `accept` makes what a handler gives the events of
    one request to; the text is the path of its route.
    """

    name: str
    place: str
    receiver: Listening
    accept: Callable[[str, Request], Accept]
    max_body_bytes: int
    token: Secret | None = None
    cors_origins: frozenset[str] = frozenset()


class Found(NamedTuple):
    """The route of a request, whose it is, and what its path's parts are."""

    mount: Mount
    route: Route | SocketRoute
    params: dict[str, str]


class Routing:
    """All routes of one address. Raises `ConfigError` when two receivers want the same."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self.mounts = tuple(mounts)
        self._table: dict[str, tuple[re.Pattern[str], dict[str, tuple[Mount, Route | SocketRoute]]]] = {}
        for mount in self.mounts:
            for route in mount.receiver.routes():
                self._add(mount, route)

    @property
    def speaker(self) -> Mount | None:
        """Whose form an answer has that concerns none of the routes."""
        return self.mounts[0] if len(self.mounts) == 1 else None

    def methods(self, path: str) -> list[str]:
        """What can be asked of a path; nothing for one that is not there."""
        methods = {method for by_method, _ in self._matching(path) for method in by_method if method != OPENING}
        return sorted(methods | ({"HEAD"} if "GET" in methods else set()))

    def find(self, method: str, path: str) -> Found:
        """Raises `Refused`: 404, or 405 with the methods that are there."""
        wanted = "GET" if method == "HEAD" else method
        for by_method, params in self._matching(path):
            if wanted in by_method:
                return Found(*by_method[wanted], params)
        if methods := self.methods(path):
            raise Refused(f"{method} cannot be asked of {path}", status=405, headers={"Allow": ", ".join(methods)})
        raise Refused(f"there is nothing at {path}", status=404)

    def mount_of(self, path: str) -> Mount | None:
        """Whose path it is, whatever the method."""
        return next((mount for by_method, _ in self._matching(path) for mount, _ in by_method.values()), self.speaker)

    def template(self, path: str) -> str:
        """The path as its routes write it, ``{name}`` for what varies; empty for one that is not there."""
        return next((route.path for by_method, _ in self._matching(path) for _, route in by_method.values()), "")

    def _add(self, mount: Mount, route: Route | SocketRoute) -> None:
        method = route.method if isinstance(route, Route) else OPENING
        shape = _PARAM.sub("{}", route.path)
        _, by_method = self._table.setdefault(shape, (_pattern(route.path), {}))
        if method in by_method:
            other = by_method[method][0]
            taken = f"{other.name} answers {method} {route.path} at this address already"
            raise ConfigError(f'{mount.place}: {taken}; give one of them another "listen"')
        by_method[method] = (mount, route)

    def _matching(self, path: str) -> Iterator[tuple[dict[str, tuple[Mount, Route | SocketRoute]], dict[str, str]]]:
        if path in self._table and "{" not in path:
            yield self._table[path][1], {}
        for shape, (pattern, by_method) in self._table.items():
            if "{" in shape and (found := pattern.fullmatch(path)):
                yield by_method, found.groupdict()


def params_of(path: str) -> list[str]:
    """The names of a route's ``{name}``."""
    return _PARAM.findall(path)


def _pattern(path: str) -> re.Pattern[str]:
    parts = _PARAM.split(path)
    return re.compile("".join(f"(?P<{one}>[^/]+)" if i % 2 else re.escape(one) for i, one in enumerate(parts)))
