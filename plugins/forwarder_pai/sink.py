"""Events as posts to a PAI observability server, the documented one or the one that exists."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import SplitResult, quote

import msgspec

from forwarder import Batch, Batching, ConfigError, DeliveryError, Rejected, Secret, Sink, Unavailable
from forwarder.http import (
    Client,
    HttpAnswer,
    NotSent,
    Tls,
    check_header,
    checked_url,
    connect,
    failure,
    place_of,
    warn_if_exposed,
)
from forwarder_pai.inputs import Inputs
from forwarder_pai.outgoing import Outgoing, Profile, outgoing
from forwarder_pai.stored import is_stored

URLS: dict[Profile, str] = {"seed": "http://localhost:3001", "server": "http://localhost:8889"}
PATHS: dict[Profile, str] = {"seed": "/api/events", "server": "/events"}
KNOWN_ALREADY = "UNIQUE constraint failed"
CANNOT_SAY = {400, 404, 405, 413, 422, 501}  # answers to the question what a session holds
MAX_SESSION_BYTES = 64 << 20  # of the answer to that question, which has every call of the session


@dataclass
class _Progress:
    """How far a batch has come, so that a retry goes on where the attempt before it ended."""

    batch_id: str = ""
    posts: list[Outgoing] = field(default_factory=list[Outgoing])
    done: int = 0
    refused: dict[str, Rejected] = field(default_factory=dict[str, Rejected])  # by the events' ids


@dataclass
class PaiSink(Sink):
    """Options: `profile`, the documented server or the real one; `url`, where it is; `token`, sent as a bearer token;
    `timeout_seconds` of one post.
    """

    batching: ClassVar[Batching] = Batching(max_events=100)  # each is posted alone; see the README on what a kill costs

    profile: Profile = "seed"
    url: str | None = None
    token: Secret | None = None
    timeout_seconds: float = 10.0
    _base: SplitResult = field(init=False, repr=False)
    _client: Client = field(init=False, repr=False)
    _progress: _Progress = field(init=False, repr=False, default_factory=_Progress)
    _inputs: Inputs = field(init=False, repr=False, default_factory=Inputs)
    _in_doubt: bool = field(init=False, repr=False, default=True)

    def __post_init__(self) -> None:
        self._base = checked_url(self.url or URLS[self.profile], example=URLS[self.profile])
        if self.timeout_seconds <= 0:
            raise ConfigError(f"timeout_seconds must be more than 0, not {self.timeout_seconds}")
        for value in self._headers().values():
            check_header("Authorization", value, key="token")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold one connection open. What is sent first may have been sent before the forwarder was started."""
        warn_if_exposed(self._base, has_secret=self.token is not None)
        self._progress, self._inputs, self._in_doubt = _Progress(), Inputs(), True
        async with connect(
            url=self._base.geturl(),
            place=place_of(self._base),
            headers={"Content-Type": "application/json", **self._headers()},
            tls=Tls(),
            timeout_seconds=self.timeout_seconds,
        ) as self._client:
            yield

    async def send(self, batch: Batch) -> None:
        """Post the events one after the other. Raises `Rejected` with those that were refused, once all are settled."""
        if self._progress.batch_id != batch.id:
            self._progress = _Progress(batch.id, outgoing(batch.events(), self.profile, self._inputs))
        progress = self._progress
        while progress.done < len(progress.posts):
            await self._settle(progress)
            progress.done += 1
        if refused := progress.refused:
            self._progress = _Progress()  # who asks for a refused event again wants it posted
            raise Rejected(str(next(iter(refused.values()))), refused=refused)

    async def _settle(self, progress: _Progress) -> None:
        """Return when the server has the next post, or will never take it. Raises `Unavailable`."""
        post = progress.posts[progress.done]
        if self._in_doubt and self.profile == "seed" and await self._is_there(progress):
            return
        answer = await self._post(post)
        if self._is_taken(answer):
            self._in_doubt = False
            return
        error = self._failure(answer, PATHS[self.profile])
        if not isinstance(error, Rejected):
            raise error
        progress.refused[post.id] = error

    async def _post(self, post: Outgoing) -> HttpAnswer:
        """The answer. Notes whether the post may be there although nobody said so."""
        was_in_doubt, self._in_doubt = self._in_doubt, True
        try:
            answer = await self._client.request("POST", PATHS[self.profile], body=post.body(self.profile))
        except NotSent:
            self._in_doubt = was_in_doubt
            raise
        self._in_doubt = was_in_doubt or answer.status >= 500  # a gateway may say so after it passed the post on
        return answer

    async def _is_there(self, progress: _Progress) -> bool:
        """Whether a documented server holds the next post already. Raises `Unavailable`."""
        post = progress.posts[progress.done]
        path = f"/api/sessions/{quote(post.session_id, safe='')}"
        answer = await self._client.request("GET", path, max_answer_bytes=MAX_SESSION_BYTES)
        if answer.status in CANNOT_SAY:
            return False
        if not 200 <= answer.status < 300:
            raise self._failure(answer, "/api/sessions")
        return is_stored(answer.text, post, progress.posts[: progress.done])

    def _is_taken(self, answer: HttpAnswer) -> bool:
        if answer.status == 500:
            return KNOWN_ALREADY in answer.text
        if not 200 <= answer.status < 300:
            return False
        return self.profile == "seed" or _says_ok(answer.text)  # the documentation gives no answers

    def _failure(self, answer: HttpAnswer, path: str) -> DeliveryError:
        """Some servers repeat what they were sent; what they say is logged and kept."""
        safe = answer.without([self.token.reveal()] if self.token else [])
        error = failure(safe, place=place_of(self._base).rstrip("/") + path)
        if answer.status in (404, 405) or 200 <= answer.status < 300:
            return Unavailable(
                f"{error}; that is no PAI server with this profile: look at url and profile", is_refused=True
            )
        return error

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.reveal()}"} if self.token else {}


class _Ok(msgspec.Struct):
    status: str


def _says_ok(text: str) -> bool:
    """As the real server does: a web page, which anything else may answer, is no acknowledgement."""
    try:
        return msgspec.json.decode(text, type=_Ok).status == "ok"
    except (msgspec.DecodeError, RecursionError):
        return False
