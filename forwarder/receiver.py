"""The contract of a receiver: what it listens for, and what a request to it means."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar, runtime_checkable

import msgspec

from forwarder.errors import Refused
from forwarder.events import Event
from forwarder.sink import NO_NOTES, Notes, Secret
from forwarder.source import UNKNOWN_TIME, well_formed

T = TypeVar("T")

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


@dataclass(frozen=True)
class Serving:
    """What holds where the user's ``[receivers.NAME]`` or ``[sinks.NAME]`` says nothing.

    `listen` is ``HOST:PORT``. `max_body_bytes` limits a body as it is sent, and again as it is unpacked. With a `token`
    every route that is not open asks for it; with `auth` one is made where none is given.
    """

    listen: str
    max_body_bytes: int = 1 << 20
    token: Secret | None = None
    auth: bool = False


@dataclass
class Request:
    """One request, read whole and unpacked. Header names are lower case; of a repeated name the last value stands.

    `params` are the parts of the path that the route's ``{name}`` stand for. `client` is the other side's address.
    `time` is when it came, by our own clock.
    `lossy` is set by `decode` when text had to be mended; the events then say so.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    client: str = ""
    time: datetime = UNKNOWN_TIME
    lossy: bool = False

    def json(self) -> Any:
        """The body as plain Python objects. Raises `Refused`."""
        return self.decode(_ANY)

    def decode(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as the decoder's type; fields that the type does not name are skipped. Raises `Refused`.

        Broken UTF-8 and halves of surrogate pairs, as a client leaves them that cuts a text in the middle of a
        character, become U+FFFD. NaN, infinities and anything else that is not JSON is refused.
        """
        try:
            return decoder.decode(self.body)
        except msgspec.ValidationError as error:
            raise Refused(f"unexpected shape: {error}") from error
        except RecursionError as error:
            raise Refused("the body is nested too deeply") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            strict = error
        try:
            value = json.loads(self.body.decode("utf-8", "replace"), parse_constant=_no_number)
            mended = decoder.decode(well_formed(json.dumps(value, ensure_ascii=False, allow_nan=False)))
        except msgspec.ValidationError as error:
            raise Refused(f"unexpected shape: {error}") from error
        except ValueError as error:
            raise Refused(f"the body is not JSON: {strict}") from error
        self.lossy = True
        return mended


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


@dataclass(frozen=True)
class Answer:
    """What a request is answered. A `body` that is an iterable is sent piece by piece, until it ends or we stop."""

    status: int = 200
    body: bytes | AsyncIterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """Anything that msgspec can encode, as JSON."""
        return cls(status, msgspec.json.encode(value), {"Content-Type": "application/json", **(headers or {})})

    @classmethod
    def text(cls, text: str, status: int = 200, *, content_type: str = "text/plain; charset=utf-8") -> Answer:
        return cls(status, text.encode(), {"Content-Type": content_type})


class Accept(Protocol):
    """What a handler gives its events to.

    Returns how many of them were new once all have been redacted, compared with what was seen before, and are on the
    disk: answer after that, and a client that got an answer need not send again. A fact that was seen before costs
    nothing, so a repeated request is harmless as long as its events have the same keys. Raises `Refused`, which is not
    to be caught: with status 503 when the journal is full or cannot be written, 400 for an event that cannot be sent.

    `notes` are what the receiver must still know after a restart. They are on the disk together with the events, or
    none of it is; they are kept also when none of the events was new, and may come without any.
    """

    async def __call__(self, events: Iterable[Event], /, *, notes: Notes = NO_NOTES) -> int: ...

    def clean(self, text: str, /) -> str:
        """A short text such as may be noted, and shown to others: without secrets. Events need no such care."""
        ...


@runtime_checkable
class Socket(Protocol):
    """A WebSocket that is open. `request` is what it was asked for with."""

    @property
    def request(self) -> Request: ...

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """The messages of the other side, until it has gone or we stop."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Send a message; one to a side that has gone is lost."""
        ...


Handler = Callable[[Request, Accept], Awaitable[Answer]]
SocketHandler = Callable[[Socket, Accept], Awaitable[None]]


@dataclass(frozen=True)
class Operation:
    """What a route is for, in the description that ``forwarder openapi`` prints.

    `body` is a type that msgspec can describe, the one that a body is decoded as or a narrower one: whatever it allows
    has to be taken (limits are said like ``Annotated[str, msgspec.Meta(max_length=500)]``). None stands for no body.
    `answers` has the type of an answer's JSON by status; ``str`` is plain text, None no content. `query` has the types
    of what may stand behind the path. Parts of the path, tokens and what the server itself refuses are known anyway.
    """

    summary: str
    body: object = None
    answers: Mapping[int, object] = field(default_factory=dict[int, object])
    query: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class Route:
    """One method of one path, whose parts may be ``{name}``. An open one asks for no token (health checks)."""

    method: str
    path: str
    handler: Handler
    is_open: bool = False
    operation: Operation | None = None


@dataclass(frozen=True)
class SocketRoute:
    """A path at which WebSockets are opened; the `body` of its operation is the type of a message that comes.

    The handler's return closes the socket.
    """

    path: str
    handler: SocketHandler
    is_open: bool = False
    operation: Operation | None = None


class Listening(ABC):
    """What others post to or ask: a receiver, or a sink that is asked for what it has (a `Sink` and a `Listening`).

    Its table takes `listen`, `token`, `auth`, `max_body_bytes` and `cors_origins` beside the options of the class,
    which has none of these names. Before a handler is called the server has looked at host, origin and token, and has
    read and unpacked the body within limits of size and time. Whatever is wrong is a `Refused`; any other exception of
    a handler is a bug in it, answered with 500 and logged as one. Requests are handled at the same time, so what lies
    between two awaits must leave the plugin's own state whole.

    The handlers of a sink get an `accept` that takes nothing: events come from sources and receivers.
    """

    @abstractmethod
    def serving(self) -> Serving:
        """Where to listen, and the limits."""

    @abstractmethod
    def routes(self) -> Sequence[Route | SocketRoute]:
        """What is answered; anything else is a 404, or a 405 with the methods that are there.

        A route with an `operation` is one that others can find out about, and that can be tested by its description.
        """

    def refuse(self, refusal: Refused) -> Answer:
        """The answer to a request that is not taken, in the plugin's own form. `Retry-After` is added to it."""
        return Answer.json({"error": str(refusal)}, refusal.status)

    def answered(  # noqa: B027 - for those who want it
        self, request: Request, status: int, *, path: str, seconds: float
    ) -> None:
        """Take note of an answer before it is sent, for statistics of the plugin's own; of refusals, too.

        `path` is that of the route, empty where there is none: unlike the request's it has few values. The `seconds`
        are those until the answer was known, the time in which the body came included.
        """


class Receiver(Listening):
    """Something that others post to. Subclass as a dataclass: its fields are the options of ``[receivers.NAME]``.

    A handler turns a request into events, gives them to `accept` and then answers.

    `environment` names, by option, the environment variable that the program obeys whose place this takes: where it is
    set, it is the option's default. A receiver never reads the environment itself.
    """

    environment: ClassVar[dict[str, str]] = {}

    def recall(self, notes: Mapping[str, bytes]) -> None:
        """What was noted before, all of it; called once before `lifespan` is entered.

        Whatever else the receiver remembers from an earlier lifespan is to be forgotten: after a damaged journal there
        are no notes. They stay as long as the journal: a receiver that was taken out of the configuration finds them
        when it comes back under its name, with the same `use`.
        """

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold what is needed around the whole run; entered before the first request."""
        yield
