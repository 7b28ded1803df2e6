"""A receiver on a real loopback port, and a check of what a receiver promises."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

from forwarder.errors import Refused
from forwarder.events import Event
from forwarder.pipeline.encoding import Encoder, origin_maker
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.receiver import Accept, Receiver, Request
from forwarder.server.address import Address
from forwarder.server.routing import Mount, Routing
from forwarder.sink import NO_NOTES, Notes, Secret

if TYPE_CHECKING:
    import httpx

    from forwarder.server.listener import Limits

COME_AGAIN = {503, 429}  # the second for protocols that know no other word for it

GARBAGE = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'"text"',
    b"[null]",
    b'{"type":',
    b"NaN",
    b'{"data":Infinity}',
    b"\xff\xfe",
    b"[" * 100_000,
    b"9" * 10_000,
)


class Posted:
    """What a receiver under test has made of its requests, and noted. While `is_full`, the journal takes nothing."""

    def __init__(self, known: set[bytes], notes: dict[str, bytes]) -> None:
        self.events: list[Event] = []
        self.url = ""
        self.port = 0
        self.is_full = False
        self.notes = notes
        self._known = known
        self._encoder = Encoder(host="localhost", level=Level.NONE, redactor=Redactor(Rules()), prices=None)

    def accept(self, path: str, request: Request) -> Accept:
        """Takes what can be sent and was not seen before."""
        return _Accept(self, path, request)

    def take(self, events: Iterable[Event], notes: Notes, *, path: str, is_lossy: bool) -> int:
        """How many of the events are new. Raises `Refused`."""
        origin = origin_maker(source="test", file=path, is_replay=False)(0, is_lossy)
        facts = {self._encoder.encode(event, origin)[1]: event for event in events}
        if self.is_full:
            raise Refused("the journal is full", status=503, retry_after=1)
        new = [event for fact, event in facts.items() if fact not in self._known]
        self._known.update(facts)
        self.events += new
        for key, body in notes.items():
            if body is None:
                self.notes.pop(key, None)
            else:
                self.notes[key] = body
        return len(new)


class _Accept:
    """`Accept` for one request."""

    def __init__(self, posted: Posted, path: str, request: Request) -> None:
        self._posted = posted
        self._path = path
        self._request = request

    async def __call__(self, events: Iterable[Event], /, *, notes: Notes = NO_NOTES) -> int:
        return self._posted.take(events, notes, path=self._path, is_lossy=self._request.lossy)

    def clean(self, text: str, /) -> str:
        return _redactor().name(text)


@cache
def _redactor() -> Redactor:
    """With our own rules, which take their time to be read."""
    return Redactor(Rules.load_builtin())


@asynccontextmanager
async def receiving(
    receiver: Receiver,
    *,
    token: str | None = None,
    cors_origins: Sequence[str] = (),
    limits: Limits | None = None,
    drain_seconds: float = 10.0,
    known: set[bytes] | None = None,
    notes: dict[str, bytes] | None = None,
) -> AsyncGenerator[Posted]:
    """The receiver at ``Posted.url``, on a free port of 127.0.0.1, as `forwarder run` would have it answer.

    `known` are facts seen before, `notes` what was noted, as a journal remembers them over restarts; new ones are
    added. Needs the extra `server`.
    """
    from forwarder.server.listener import Limits, Listener

    posted = Posted(set() if known is None else known, {} if notes is None else notes)
    serving = receiver.serving()
    mount = Mount(
        name="test",
        place="[receivers.test]",
        receiver=receiver,
        accept=posted.accept,
        max_body_bytes=serving.max_body_bytes,
        token=Secret(token) if token else serving.token,
        cors_origins=frozenset(cors_origins),
    )
    receiver.recall(dict(posted.notes))
    async with receiver.lifespan():
        listener = Listener(
            Address("127.0.0.1", 0), Routing([mount]), limits=limits or Limits(), clean=_redactor().name
        )
        posted.port, posted.url = listener.address.port, f"http://{listener.address}"
        await listener.start()
        try:
            yield posted
        finally:
            await listener.stop(drain_seconds)


async def check_receiver(make_receiver: Callable[[], Receiver], *samples: Request) -> list[Event]:
    """Raise `AssertionError` with the promise that the receiver breaks; return the events of the samples.

    Each sample is a request that tells something new. Wanted are: its answer is a success; the same request again tells
    nothing new, also after a restart, and is no error of ours; with a full journal it is answered 503 (or 429) and may
    come again; and whatever else is posted there is answered with a success or a 4xx.
    """
    known, notes = set[bytes](), dict[str, bytes]()
    async with receiving(make_receiver(), known=known, notes=notes) as posted, _client() as client:
        for sample in samples:
            posted.is_full = True
            answer = await _asked(client, posted, sample)
            busy = f"a full journal must be answered 503, not {answer.status_code}"
            _require(answer.status_code in COME_AGAIN, busy)
            _require("retry-after" in answer.headers, "a full journal's answer must say when to come again")
            posted.is_full = False
            await _check_told(client, posted, sample)
        events = posted.events
    async with receiving(make_receiver(), known=known, notes=notes) as again, _client() as client:
        for sample in samples:
            await _check_repeated(client, again, sample)
            for body in (*GARBAGE, sample.body[: len(sample.body) // 2], sample.body + b"}"):
                answer = await _asked(client, again, Request(sample.method, sample.path, sample.headers, body=body))
                _require(answer.status_code < 500, f"{body[:40]!r} was answered {answer.status_code}: {answer.text}")
    return events


async def ask(posted: Posted, request: Request) -> httpx.Response:
    """The answer to a request over a connection of its own."""
    async with _client() as client:
        return await _asked(client, posted, request)


def _client() -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(trust_env=False)


async def _asked(client: httpx.AsyncClient, posted: Posted, request: Request) -> httpx.Response:
    return await client.request(
        request.method,
        posted.url + request.path,
        params=dict(request.query),
        headers=dict(request.headers),
        content=request.body,
    )


async def _check_told(client: httpx.AsyncClient, posted: Posted, sample: Request) -> None:
    before = len(posted.events)
    answer = await _asked(client, posted, sample)
    what = f"{sample.method} {sample.path} was answered {answer.status_code}: {answer.text}"
    _require(answer.is_success, what)
    _require(len(posted.events) > before, f"{what}, but no new event was given to `accept`")
    await _check_repeated(client, posted, sample)


async def _check_repeated(client: httpx.AsyncClient, posted: Posted, sample: Request) -> None:
    before = len(posted.events)
    answer = await _asked(client, posted, sample)
    _require(answer.status_code < 500, f"a repeated request was answered {answer.status_code}: {answer.text}")
    _require(len(posted.events) == before, "a repeated request told something new: its events need keys of their own")


def _require(is_kept: bool, promise: str) -> None:
    if not is_kept:
        raise AssertionError(promise)
