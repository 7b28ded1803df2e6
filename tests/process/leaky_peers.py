"""A destination for every sink: each takes nearly all, and repeats what it was sent where it refuses something.

A token is no secret that rules know: it may be in the head of a request and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.http_peer import HttpPeer, Reply, Request
from tests.plugins.air.server import AirServer
from tests.plugins.pai.server import RealServer, SeedServer
from tests.plugins.pi_daemon.daemon import DaemonPeer, Failing
from tests.process.planted import Planted

TOKENS = {name: f"plainWordsFor{name}" for name in ("team", "air", "seed", "server", "daemon", "gateway")}


def tokens() -> list[Planted]:
    """To be searched for like the secrets of agents."""
    return [Planted(f"token of {name}", "plain", token, (token,)) for name, token in TOKENS.items()]


def repeated(request: Request, status: int = 422) -> Reply:
    """An answer that says what was sent, credentials included."""
    said = " ".join(request.headers.values()).encode() + b" " + request.content()
    return Reply(status=status, body=said[:5000])


class Collector(HttpPeer):
    """Takes events at any path, but not all at ``/refusing``."""

    def judge(self, request: Request, reply: Reply) -> Reply:
        is_refused = request.path == "/refusing" and b'"session_start"' in request.body
        return repeated(request) if is_refused else reply


class Air(AirServer):
    """Is overloaded at first, then refuses a few events: each costs some requests until it is alone."""

    def judge(self, request: Request, reply: Reply) -> Reply:
        if not self.requests:
            return repeated(request, 503)
        return repeated(request) if DISLIKED.search(request.body) else super().judge(request, reply)


class Seed(SeedServer):
    """Refuses the ends of sessions."""

    def judge(self, request: Request, reply: Reply) -> Reply:
        return repeated(request) if b'"session_end"' in request.body else super().judge(request, reply)


class Real(RealServer):
    """Refuses the ends of sessions."""

    def judge(self, request: Request, reply: Reply) -> Reply:
        return repeated(request) if b'"session.end"' in request.body else super().judge(request, reply)


class Daemon(DaemonPeer):
    """Is overloaded at first, then says of some metrics that they are none, in the words of the request."""

    _words = ""

    def judge(self, request: Request, reply: Reply) -> Reply:
        self._words = repeated(request).body.decode()
        return super().judge(request, reply) if self.requests else repeated(request, 503)

    def failed_form(self, index: int, name: str, code: str) -> object:
        return {"index": index, "name": name, "error": self._words, "code": code}


class Gateway(HttpPeer):
    """Is overloaded at first."""

    def judge(self, request: Request, reply: Reply) -> Reply:
        return reply if self.requests else repeated(request, 503)


DISLIKED = re.compile(rb'"sessionId":"air-\d*7",[^{}]*"type":"mcp_request"')


@dataclass(frozen=True)
class Peers:
    """All destinations that listen."""

    team: Collector
    air: Air
    seed: Seed
    server: Real
    daemon: Daemon
    gateway: Gateway

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncGenerator[Peers]:
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            seed, server, daemon = await enter(Seed()), await enter(Real()), await enter(Daemon())
            stack.callback(seed.close)
            stack.callback(server.close)
            daemon.failing["agent_sessions_ended_total"] = Failing("VALIDATION_ERROR")
            yield cls(await enter(Collector()), await enter(Air()), seed, server, daemon, await enter(Gateway()))

    def sinks(self, folder: Path, port: int) -> list[str]:
        """A table for each, and for the sinks that write or are asked; the scraped page is at this port."""
        team = self.team.url.removesuffix("/v1/events")
        archive = f'use = "jsonl"\npath = "{folder}/archive'
        return [
            '[sinks.lines]\nuse = "stdout"\nformat = "json"\n',
            '[sinks.feed]\nuse = "stdout"\nformat = "pretty"\n',
            f'[sinks.archive]\n{archive}/{{agent}}/{{project}}/{{date}}.jsonl"\n',
            f'[sinks.packed]\n{archive}/packed/{{date}}.jsonl"\ncompress = "zstd"\nrotate_bytes = "64KiB"\n',
            f'[sinks.usage]\nuse = "tool_usage"\npath = "{folder}/archive/usage.jsonl"\nstarts = true\n',
            _sink("team", "http", url=f"{team}/taking"),
            _sink("team", "http", name="gzip", url=f"{team}/gzip", compress="gzip", body="json"),
            _sink("team", "http", name="refusing", url=f"{team}/refusing")
            + 'types = ["session_start"]\nagents = ["codex"]\n',
            _sink("air", "air", url=self.air.url),
            # Every event is a request of its own there: one agent's are as good as another's.
            _sink("seed", "pai", url=self.seed.base) + 'agents = ["pi"]\n',
            _sink("server", "pai", url=self.server.base, profile="server") + 'agents = ["pai"]\n',
            _sink("daemon", "pi_daemon", daemon_url=self.daemon.base) + "session_label = true\nposted_metrics = true\n",
            _sink("gateway", "pushgateway", url=self.gateway.url.removesuffix("/v1/events")),
            f'[sinks.prometheus]\nlisten = "127.0.0.1:{port}"\n',
        ]

    def sent(self) -> Iterator[tuple[str, bytes]]:
        """Everything that any of them was sent, but for the tokens where these belong."""
        for name, peer in vars(self).items():
            assert isinstance(peer, HttpPeer)
            assert peer.requests, name
            for request in peer.requests:
                headers = {key: value for key, value in request.headers.items() if key != "authorization"}
                yield f"{name} {request.path}", f"{request.path} {headers}".encode() + b"\n" + request.content()


def _sink(peer: str, use: str, *, name: str = "", **options: str) -> str:
    told = {"use": use, **options, "token": TOKENS[peer]}
    return f"[sinks.{name or peer}]\n" + "".join(f'{key} = "{value}"\n' for key, value in told.items())
