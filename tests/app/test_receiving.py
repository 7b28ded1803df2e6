"""What receivers take is committed before it is acknowledged."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

from forwarder import Event, Notification, Refused, Request, Session
from forwarder.app import receiving
from forwarder.app.committing import Committer
from forwarder.app.receiving import Reception
from forwarder.journal import Block, Changes, Cursor, Journal
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapped
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.testing import ManualClock

TOKEN = "ghp_" + "Zc9bQ7rT2yVx4Lm8Np6Kd3Hs5Jw1Gf0Ae9Ru"


@cache
def builtin() -> Redactor:
    """One for all tests: it takes half a second to compile."""
    return Redactor(Rules.load_builtin())


class Disk(Journal):
    """A journal whose commits can be held up and counted."""

    commits: list[Changes]
    gate: asyncio.Event | None = None
    is_broken = False

    async def commit(self, changes: Changes) -> Block:
        if self.is_broken:
            raise sqlite3.OperationalError("database or disk is full")
        if self.gate:
            await self.gate.wait()
        self.commits.append(changes)
        return await super().commit(changes)


class Scene:
    """A reception over a journal, at work while `tasks` are."""

    tasks: list[asyncio.Task[None]]

    def __init__(self, journal: Disk, clock: ManualClock, on_full: Literal["wait", "drop"] = "wait") -> None:
        redactor = builtin()
        encoder = Encoder(host="box", level=Level.PREVIEW, redactor=redactor, prices=None, key=b"k" * 32)
        self.journal = journal
        self.encoder = encoder
        self.committer = Committer(journal, clock, on_full=on_full, announce=self.announce)
        owners = {"notes": "receivers.notes"}
        self.reception = Reception(journal, self.committer, encoder=encoder, name_of=redactor.name, owners=owners)

    async def post(self, *texts: str, request: Request | None = None) -> int:
        accept = self.reception.accept("notes", "/api/{kind}", request or Request("POST", "/api/x"))
        return await accept(note(text) for text in texts)

    def announce(self, count: int) -> Mapped:
        line, fact = self.encoder.encode(note(f"{count} given up"), b"}")
        return Mapped(lines=[line], facts=[fact])

    async def lines(self) -> list[dict[str, object]]:
        blocks = await self.journal.events_after(0) if self.journal.last else []
        return [json.loads(line) for block in blocks for line in block.lines]


def note(text: str) -> Event:
    session = Session(agent="acme", id="s1")
    return Notification(key=(text,), time=datetime(2026, 1, 1, tzinfo=UTC), session=session, kind="note", message=text)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that other tests use as well may take its time."""
    monkeypatch.setattr(receiving, "PATIENCE_SECONDS", 60.0)


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Scene]:
    clock = ManualClock()
    (tmp_path / "state").mkdir()
    journal = Disk(tmp_path / "state", sinks=["a"], max_bytes=4000, keep_seconds=1e9, remember_seconds=1e9, clock=clock)
    journal.commits = []
    async with journal:
        scene = Scene(journal, clock, request.param if hasattr(request, "param") else "wait")
        scene.tasks = [asyncio.create_task(scene.reception.run()), asyncio.create_task(scene.committer.run())]
        yield scene
        for task in scene.tasks:
            task.cancel()
        await asyncio.wait(scene.tasks)


async def test_the_answer_comes_after_the_commit(scene: Scene) -> None:
    """Who was told that an event is taken need not keep it: it is the only copy, so the disk has it."""
    scene.journal.gate = asyncio.Event()
    posting = asyncio.create_task(scene.post("one"))
    done, _ = await asyncio.wait([posting], timeout=0.02)
    scene.journal.gate.set()

    assert (done, await posting, scene.journal.last) == (set(), 1, 1)
    assert [changes.is_sole_copy for changes in scene.journal.commits] == [True]


async def test_an_event_gets_its_envelope_and_loses_its_secrets(scene: Scene) -> None:
    """As if it had been read from a file."""
    await scene.post(f"token {TOKEN}")
    event, secret = await scene.lines()

    assert (event["agent"], event["host"], event["message"]) == ("acme", "box", "token [REDACTED]")
    assert event["origin"] == {"source": "notes", "file": "/api/{kind}", "offset": 0}
    assert (secret["type"], secret["field"]) == ("secret_found", "message")


async def test_a_secret_that_is_posted_again_and_again_is_told_once(scene: Scene) -> None:
    """A client repeats its folder in every post; who counts what was found would count posts."""
    await scene.post(f"use {TOKEN}", f"still {TOKEN}")
    await scene.post(f"again {TOKEN}")

    kinds = [line["type"] for line in await scene.lines()]
    assert kinds.count("secret_found") == 1


async def test_what_a_receiver_keeps_can_be_cleaned(scene: Scene) -> None:
    """Of what it shows and notes itself; its events are redacted anyway."""
    accept = scene.reception.accept("notes", "/api/x", Request("POST", "/api/x"))

    assert [accept.clean(text) for text in ("acme", TOKEN)] == ["acme", "[REDACTED]"]


async def test_mended_text_is_marked(scene: Scene) -> None:
    """Like a line that was read tolerantly."""
    request = Request("POST", "/api/x", body=b'"\\ud83d"')
    text = request.json()
    await scene.post(text, request=request)

    assert [event["origin"] for event in await scene.lines()] == [
        {"source": "notes", "file": "/api/{kind}", "offset": 0, "lossy": True}
    ]


async def test_only_new_facts_count(scene: Scene) -> None:
    """A repeat is harmless, within a request, at the same time, and later; a secret in it is no event of its own."""
    first = await scene.post("one", f"two {TOKEN}", "one")
    both = await asyncio.gather(scene.post("one", "three"), scene.post("three"))

    assert (first, sorted(both), await scene.post("three"), await scene.post()) == (2, [0, 1], 0, 0)
    assert scene.reception.new_events == {"notes": 3}


async def test_notes_are_kept_with_their_events_or_without_any(scene: Scene) -> None:
    """Also where all of the events were seen before, and of posts that share a commit each in its turn."""
    accept = scene.reception.accept("notes", "/api/{kind}", Request("POST", "/api/x"))
    first = await accept([note("one")], notes={"a": b"1"})
    again = await accept([note("one")], notes={"a": b"2", "b": b"1"})
    alone = sum(await asyncio.gather(accept([], notes={"b": b"2"}), accept([], notes={"b": None, "c": b"3"})))

    assert (first, again, alone) == (1, 0, 0)
    assert await scene.journal.plugin_notes("receivers.notes") == {"a": b"2", "c": b"3"}
    assert all(changes.is_sole_copy for changes in scene.journal.commits)


async def test_notes_that_cannot_be_kept_are_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers without them would not know tomorrow what it said today."""
    monkeypatch.setattr(receiving, "PATIENCE_SECONDS", 0.02)
    scene.journal.is_broken = True
    accept = scene.reception.accept("notes", "/api/{kind}", Request("POST", "/api/x"))
    with pytest.raises(Refused, match="the journal cannot be written: come again"):
        await accept([], notes={"a": b"1"})


async def test_posts_that_come_together_share_a_commit(scene: Scene) -> None:
    """A sync to the disk for each would hold up all behind it."""
    scene.journal.gate = asyncio.Event()
    posts = [asyncio.create_task(scene.post(str(number))) for number in range(50)]
    await asyncio.sleep(0)
    scene.journal.gate.set()
    await asyncio.gather(*posts)

    assert len(scene.journal.commits) <= 2


async def test_a_session_is_known_from_its_posts(scene: Scene) -> None:
    """`forwarder sessions` shows what posts tell of."""
    await scene.post("one")

    assert [row.session_id for changes in scene.journal.commits for row in changes.sessions] == ["s1"]


async def test_a_full_journal_refuses_until_a_sink_has_taken_some(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the word to come again; nothing of what was refused arrives later by itself."""
    while not scene.journal.is_full:
        await scene.post(f"filling {scene.journal.last}")
    before = scene.journal.last
    monkeypatch.setattr(receiving, "PATIENCE_SECONDS", 0.02)
    with pytest.raises(Refused, match="the journal is full") as refused:
        await scene.post("too much")
    monkeypatch.setattr(receiving, "PATIENCE_SECONDS", 60.0)
    await scene.journal.move("a", Cursor(before, before))
    new = await scene.post("too much")

    assert (refused.value.status, refused.value.retry_after) == (503, 5.0)
    assert (new, scene.journal.last) == (1, before + 1)


async def test_a_full_disk_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that waits for ever would keep others from being served."""
    monkeypatch.setattr(receiving, "PATIENCE_SECONDS", 0.02)
    scene.journal.is_broken = True
    with pytest.raises(Refused, match="the journal cannot be written: come again"):
        await scene.post("one")


async def test_what_waits_for_the_disk_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is no overflow: the client keeps what it has."""
    monkeypatch.setattr(receiving, "WAITING_BYTES", 1000)
    scene.journal.gate = asyncio.Event()
    posts = [asyncio.create_task(scene.post(f"number {number}")) for number in range(20)]
    done, _ = await asyncio.wait(posts, timeout=0.02)
    scene.journal.gate.set()
    refused = [one for one in done if isinstance(one.exception(), Refused)]
    taken = [await one for one in posts if one not in refused]

    assert refused
    assert scene.journal.last == len(taken)


@pytest.mark.parametrize("scene", ["drop"], indirect=True)
async def test_a_journal_that_gives_up_events_takes_posts(scene: Scene) -> None:
    """And says what it has cost, also when nobody but receivers brings anything."""
    while not scene.committer.given_up:
        await scene.post(f"filling {scene.journal.last}")
    async with asyncio.timeout(10):
        while "given up" not in str(last := (await scene.lines())[-1]):
            await asyncio.sleep(0.001)

    assert last["message"] == f"{scene.committer.given_up} given up"


async def test_who_waits_for_a_journal_that_ends_is_told(scene: Scene) -> None:
    """A damaged journal is replaced within a second; the client comes again then."""
    scene.journal.gate = asyncio.Event()
    waiting = [asyncio.create_task(scene.post("one"))]
    await asyncio.wait(waiting, timeout=0.02)
    waiting.append(asyncio.create_task(scene.post("two")))
    await asyncio.sleep(0)
    scene.tasks[0].cancel()
    scene.journal.gate.set()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    with pytest.raises(Refused, match="the journal is closed: come again"):
        await scene.post("three")

    assert [str(end) for end in ends] == ["the journal is closed: come again"] * 2
