"""Where to listen: ``HOST:PORT`` into sockets that are bound."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from typing import NamedTuple, Self

from forwarder.errors import ConfigError

BACKLOG = 512  # connections that the system keeps while the loop is busy


class Address(NamedTuple):
    """A host, as a name or a number, and a port; 0 is any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with words that follow the option's name."""
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f'wants brackets around the host: "[{host}]:{port}"')
        if not (host and colon and port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise ValueError(f'wants HOST:PORT, for instance "127.0.0.1:9876", not "{text}"')
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can reach it. A name other than ``localhost`` is not looked up."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host's name or number can only mean this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def bound(address: Address, *, place: str) -> list[socket.socket]:
    """Sockets that listen at the address, one for each number that its host has. Blocks on a name server.

    Raises `ConfigError`, which begins with `place`.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, *_, number in found[:1] if address.port == 0 else dict.fromkeys(found):
            sockets.append(_listening(family, number))
    except OSError as error:
        for one in sockets:
            one.close()
        raise ConfigError(f"{place}: {_explained(address, error)}") from error
    return sockets


def _listening(family: int, number: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> socket.socket:
    # Without its protocol's name asyncio does not know it for TCP, and leaves answers to wait 40 ms for a full packet.
    one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(number)
        one.listen(BACKLOG)
        one.setblocking(False)
    except OSError:
        one.close()
        raise
    return one


def _explained(address: Address, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f'{address} is in use by another program; stop that one or choose another "listen"'
        case errno.EACCES:
            return f"this user may not listen on port {address.port}; take one above 1023"
        case errno.EADDRNOTAVAIL:
            return f"this machine has no address {address.host}"
        case _:
            return f"cannot listen on {address}: {error.strerror}"
