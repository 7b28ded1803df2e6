"""A check of a sink's promises, played against a destination of the plugin's own tests."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import blake2b
from typing import Any

from forwarder.errors import Rejected, Unavailable
from forwarder.sink import Batch, Sink

Stuck = Callable[[], Awaitable[None]]

TEXTS = (
    "plain",
    'quotes " and \\ and / and \t and \n line ends \r\n',
    "grüße, 你好, 🎉, \u2028, \ufeff, \x7f, e\u0301",
    "\x00\x1b[31mcontrols\x07",
    "long " * 2_000,
)
MANY = ("x" * 1_000,) * 900  # with the envelopes the 1 MiB that a batch may have by default


class Destination(ABC):
    """What the sink under test delivers to: a real server, folder or pipe that a test can look into and disturb.

    Only `events` is required. A trouble that the destination cannot have stays None, and is not played.
    """

    @abstractmethod
    async def events(self) -> list[dict[str, Any]]:
        """Every event that has arrived, decoded; one that arrived twice (and was kept twice) stands here twice."""

    def unavailable(self) -> AbstractAsyncContextManager[None] | None:
        """While entered, every batch fails for a reason that will pass: down, full, wrong password."""
        return None

    def refusing(self) -> AbstractAsyncContextManager[None] | None:
        """While entered, every batch is refused for its content."""
        return None

    def silent(self) -> AbstractAsyncContextManager[Stuck] | None:
        """While entered, a batch is neither taken nor refused. Yields a function that returns when `send` hangs."""
        return None


def example_prompt(id: str, text: str) -> dict[str, Any]:
    """What is sent unless the test says otherwise: a prompt, without the beginning of every event."""
    return {"type": "prompt", "text": text, "bytes": len(text.encode()), "chars": len(text), "sha256": "0" * 16}


async def check_sink(
    make_sink: Callable[[], Sink],
    destination: Destination,
    *,
    is_idempotent: bool = False,
    seconds: float = 10.0,
    example: Callable[[str, str], dict[str, Any]] = example_prompt,
) -> None:
    """Raise `AssertionError` with the promise that the sink breaks; return when it keeps them all.

    Played are: ordinary, large and awkward batches, the same batch twice, a destination that is unavailable, refuses or
    hangs, a cancelled `send`, and a second lifespan of the same sink as well as one of a new sink. Wanted are: to
    return is to have delivered, trouble is `Unavailable`, only refused content is `Rejected`, no event is changed, a
    cancellation comes through, and no call takes longer than `seconds`. With `is_idempotent` the destination must hold
    each event once, however often it was sent.

    A sink that notes something begins each lifespan but the first as if it had been killed before its last batch was
    acknowledged: with the notes from before that batch, which comes again. One that `counts` gets no batch a second
    time otherwise: whoever runs it knows what was acknowledged.

    A sink that takes other events than prompts says with `example` what to make of an id and a text: `type` and what
    belongs to it. Where it keeps only a part of an event, `Destination.events` completes that again.
    """
    check = _Check(destination, is_idempotent=is_idempotent, seconds=seconds, example=example)
    sink = make_sink()
    async with check.lifespan(sink):
        await check.deliver_much(sink)
        await check.deliver(sink)
        if not sink.counts:
            await check.repeat(sink)
        await check.unavailable(sink)
        await check.refusing(sink)
        await check.cancelled(sink)
    async with check.lifespan(sink):
        await check.repeat(sink)
        await check.deliver(sink)
    another = make_sink()
    async with check.lifespan(another):
        await check.repeat(another)
        await check.deliver(another)


class _Check:
    """What was sent so far, and what the destination must therefore hold."""

    def __init__(
        self,
        destination: Destination,
        *,
        is_idempotent: bool,
        seconds: float,
        example: Callable[[str, str], dict[str, Any]],
    ) -> None:
        self._destination = destination
        self._example = example
        self._is_idempotent = is_idempotent
        self._seconds = seconds
        self._count = 0
        self._sent: dict[str, dict[str, Any]] = {}
        self._acknowledged: set[str] = set()
        self._last = self._batch("first")
        self._notes: dict[str, bytes] = {}
        self._notes_before: dict[str, bytes] = {}

    @asynccontextmanager
    async def lifespan(self, sink: Sink) -> AsyncGenerator[None]:
        """The sink's lifespan; when it is over, everything acknowledged must have arrived."""
        self._notes = dict(self._notes_before)
        sink.recall(dict(self._notes))
        async with sink.lifespan():
            yield
        await self._verify("after the lifespan")

    async def deliver(self, sink: Sink) -> None:
        """Ordinary and awkward batches."""
        for texts in (["one"], TEXTS, ["another"]):
            await self._send(sink, self._batch(*texts))
        await self._verify("after ordinary batches")

    async def deliver_much(self, sink: Sink) -> None:
        """A batch of the largest default size."""
        await self._send(sink, self._batch(*MANY))
        await self._verify("after a large batch")

    async def repeat(self, sink: Sink) -> None:
        """The last batch once more, as after a crash between acknowledgement and cursor."""
        await self._send(sink, self._last)
        await self._verify("after a repeated batch")

    async def unavailable(self, sink: Sink) -> None:
        """Trouble that passes, and the same batch after it."""
        trouble = self._destination.unavailable()
        if trouble is None:
            return
        batch = self._batch("while unavailable", "and another")
        async with trouble:
            for _ in range(2):
                outcome = await self._outcome(sink, batch)
                _require(
                    isinstance(outcome, Unavailable), f"an unavailable destination must be `Unavailable`: {outcome}"
                )
        await self._send(sink, batch)
        await self._verify("after the destination was unavailable")

    async def refusing(self, sink: Sink) -> None:
        """Content that is refused, and other batches after it."""
        trouble = self._destination.refusing()
        if trouble is None:
            return
        batch = self._batch("refused", "refused as well")
        async with trouble:
            outcome = await self._outcome(sink, batch)
        if not isinstance(outcome, Rejected):
            raise AssertionError(f"refused content must be `Rejected`: {outcome}")
        _require(outcome.refused <= set(batch.ids()), "`Rejected.refused` names events that are not in the batch")
        if outcome.refused:
            self._note(sink)
        await self._send(sink, self._batch("after a refusal"))
        await self._verify("after a refusal")

    async def cancelled(self, sink: Sink) -> None:
        """A `send` that hangs is cancelled, and the same batch comes again."""
        trouble = self._destination.silent()
        if trouble is None:
            return
        batch = self._batch("while silent", "and another")
        async with trouble as stuck:
            outcome = await self._cancel(sink, batch, stuck)
        is_right = isinstance(outcome, asyncio.CancelledError | Unavailable)
        _require(is_right, f"a cancelled `send` must let the cancellation through: {outcome}")
        await self._send(sink, batch)
        await self._verify("after a cancelled send")

    async def _cancel(self, sink: Sink, batch: Batch, stuck: Stuck) -> object:
        sending = asyncio.create_task(self._outcome(sink, batch))
        hanging = asyncio.ensure_future(stuck())
        await asyncio.wait({sending, hanging}, return_when=asyncio.FIRST_COMPLETED, timeout=self._seconds)
        hanging.cancel()
        sending.cancel()
        done, _ = await asyncio.wait({sending}, timeout=self._seconds)
        _require(bool(done), f"a cancelled `send` has not ended after {self._seconds:g} s")
        return asyncio.CancelledError() if sending.cancelled() else sending.result()

    async def _send(self, sink: Sink, batch: Batch) -> None:
        outcome = await self._outcome(sink, batch)
        _require(outcome == "returned", f"a healthy destination must be acknowledged: {outcome}")
        self._last = batch
        self._acknowledged.update(batch.ids())
        self._notes_before = dict(self._notes)
        self._note(sink)

    def _note(self, sink: Sink) -> None:
        for key, body in sink.notes().items():
            if body is None:
                self._notes.pop(key, None)
            else:
                self._notes[key] = body

    async def _outcome(self, sink: Sink, batch: Batch) -> Unavailable | Rejected | str:
        before = (batch.lines, batch.jsonl())
        try:
            async with asyncio.timeout(self._seconds):
                await sink.send(batch)
        except (Unavailable, Rejected) as error:
            return error
        except TimeoutError:
            return f"`send` has not ended after {self._seconds:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a sink raises is what this check is about
            return f"{error!r} is neither `Unavailable` nor `Rejected`"
        finally:
            _require((batch.lines, batch.jsonl()) == before, "the sink changed a batch that it was lent")
        return "returned"

    async def _verify(self, moment: str) -> None:
        arrived: set[str] = set()
        for event in await self._destination.events():
            known = self._sent.get(str(event.get("id")))
            _require(known is not None, f"{moment}: an event that nobody sent: {event}")
            _require(event == known, f"{moment}: an event was changed on its way: {event} was {known}")
            is_first = event["id"] not in arrived
            _require(is_first or not self._is_idempotent, f"{moment}: event {event['id']} is held twice")
            arrived.add(event["id"])
        missing = self._acknowledged - arrived
        _require(not missing, f"{moment}: {len(missing)} events were acknowledged but have not arrived")

    def _batch(self, *texts: str) -> Batch:
        return Batch(tuple(self._line(text) for text in texts))

    def _line(self, text: str) -> bytes:
        self._count += 1
        id = blake2b(b"%d" % self._count, digest_size=16).hexdigest()
        own = self._example(id, text)
        event: dict[str, Any] = {"id": id, "type": own["type"]}
        event |= {"time": "2026-11-20T10:00:00.000Z", "agent": "check-sink", "session_id": "s-1", **own}
        self._sent[event["id"]] = event
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def _require(is_kept: bool, promise: str) -> None:
    if not is_kept:
        raise AssertionError(promise)
