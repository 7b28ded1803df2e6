"""From requests to the journal: what a receiver has made of them is redacted, committed and only then acknowledged."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from msgspec.structs import replace

from forwarder.app.committing import Committer
from forwarder.errors import Refused
from forwarder.events import Event, Key, SecretFound
from forwarder.journal import Block, Changes, Journal, Noted
from forwarder.pipeline.encoding import Encoder, origin_maker
from forwarder.pipeline.mapping import Mapped
from forwarder.pipeline.sightings import Sightings
from forwarder.receiver import Accept, Request
from forwarder.sink import ID_END, ID_START, NO_NOTES, Notes

PATIENCE_SECONDS = 5.0  # for room in the journal and a slow disk; clients wait between 1 and 10 s for an answer
RETRY_SECONDS = 5.0  # after which a client is asked to come again
WAITING_BYTES = 16 << 20  # of events in memory; beyond them a client is asked to come again at once
ENCODED_AT_ONCE = 100  # events; then other requests get their turn


@dataclass
class _Post:
    """What one request brought: `ids` are those of its own events, `taken` how many of them were new."""

    mapped: Mapped
    ids: set[bytes]
    noted: list[Noted] = field(default_factory=list[Noted])
    taken: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def bytes(self) -> int:
        notes = (len(key) + len(body or b"") for one in self.noted for key, body in one.notes.items())
        return sum(map(len, self.mapped.lines)) + sum(notes)


class _Accept:
    """`Accept` for one request."""

    def __init__(self, take: Callable[[Iterable[Event], Notes], Awaitable[int]], name_of: Callable[[str], str]) -> None:
        self._take = take
        self._name_of = name_of

    async def __call__(self, events: Iterable[Event], /, *, notes: Notes = NO_NOTES) -> int:
        return await self._take(events, notes)

    def clean(self, text: str, /) -> str:
        return self._name_of(text)


class Reception:
    """`accept` for the handlers, `run` as a task. While one commit is written, the next gathers what comes."""

    def __init__(
        self,
        journal: Journal,
        committer: Committer,
        *,
        encoder: Encoder,
        name_of: Callable[[str], str],
        owners: Mapping[str, str],
    ) -> None:
        """`name_of` makes a name such as the journal may hold it.

        `owners` are whom the journal knows the receivers' notes by.
        """
        self._journal = journal
        self._committer = committer
        self._encoder = encoder
        self._name_of = name_of
        self._owners = owners
        self._posts: list[_Post] = []
        self._under_way: list[_Post] = []
        self._is_over = False
        self._waiting_bytes = 0
        self._has_posts = asyncio.Event()
        self.new_events: Counter[str] = Counter()  # by receiver
        self.clean = name_of

    def accept(self, receiver: str, path: str, request: Request) -> Accept:
        """What the handler of this request gives its events to; `receiver` is the user's name of it."""
        return _Accept(partial(self._accept, receiver, path, request), self._name_of)

    async def _accept(self, receiver: str, path: str, request: Request, events: Iterable[Event], notes: Notes) -> int:
        post = await self._encoded(events, receiver, path, request)
        if notes:
            post.noted.append(Noted(self._owners[receiver], dict(notes)))
        new = await self._take(post)
        self.new_events[receiver] += new
        return new

    async def _encoded(self, events: Iterable[Event], receiver: str, path: str, request: Request) -> _Post:
        mapped, sightings, secrets = Mapped(), Sightings(), dict[Key, SecretFound]()
        post = _Post(mapped, set())
        origin = origin_maker(source=receiver, file=path, is_replay=False)(0, request.lossy)
        for count, event in enumerate(events, 1):
            post.ids.add(self._add(event, origin, mapped))
            for found in map(_once_a_session, self._encoder.secrets(event)):
                secrets.setdefault(found.key, found)
            sightings.see(event)
            if not count % ENCODED_AT_ONCE:
                await asyncio.sleep(0)
        for secret in secrets.values():
            self._add(secret, origin, mapped)
        mapped.sessions += sightings.rows(self._name_of)
        return post

    def _add(self, event: Event, origin: bytes, mapped: Mapped) -> bytes:
        """The event's id."""
        line, fact = self._encoder.encode(event, origin)
        mapped.lines.append(line)
        mapped.facts.append(fact)
        return line[ID_START:ID_END]

    async def _take(self, post: _Post) -> int:
        if not post.ids and not post.noted:
            return 0
        if self._is_over:
            raise _busy("the journal is closed")
        if self._waiting_bytes + post.bytes > WAITING_BYTES and self._posts:
            raise _busy("too much is waiting for the disk")
        self._posts.append(post)
        self._waiting_bytes += post.bytes
        self._has_posts.set()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await post.taken
        except TimeoutError as error:
            if post in self._posts:
                self._posts.remove(post)
                self._waiting_bytes -= post.bytes
            raise _busy(self._trouble()) from error

    def _trouble(self) -> str:
        if self._committer.problem:
            return "the journal cannot be written"
        return "the journal is full" if self._journal.is_full else "the disk is slow"

    async def run(self) -> None:
        """Commit for ever. Raises `JournalDamaged`; whoever waits then, or comes later, is asked to come again."""
        try:
            while True:
                await self._has_posts.wait()
                await self._committer.make_room()
                await self._write()
        finally:
            self._is_over = True
            for post in (*self._under_way, *self._posts):
                if not post.taken.done():
                    post.taken.set_exception(_busy("the journal is closed"))

    async def _write(self) -> None:
        self._has_posts.clear()
        self._under_way, self._posts, self._waiting_bytes = self._posts, [], 0
        changes = Changes(is_sole_copy=True)
        for post in self._under_way:
            changes.lines += post.mapped.lines
            changes.facts += post.mapped.facts
            changes.sessions += post.mapped.sessions
            changes.noted += post.noted
        if changes:
            await self._committer.write(partial(self._commit, changes, self._under_way))
        self._under_way = []

    async def _commit(self, changes: Changes, posts: list[_Post]) -> None:
        block = await self._journal.commit(changes)
        new = _ids(block)
        for post in posts:
            mine = post.ids & new
            new -= mine
            if not post.taken.done():
                post.taken.set_result(len(mine))


def _once_a_session(secret: SecretFound) -> SecretFound:
    """The same, known by the secret instead of the event: a client that posts it with each request is told of once.

    A file's mapper remembers what it told; of clients nothing is remembered but the facts that were seen.
    """
    session = secret.session
    return replace(secret, key=("secret", session.agent, session.id, secret.rule, secret.fingerprint))


def _ids(block: Block) -> set[bytes]:
    return {line[ID_START:ID_END] for line in block.lines}


def _busy(why: str) -> Refused:
    return Refused(f"{why}: come again", status=503, retry_after=RETRY_SECONDS)
