"""A journal in a scratch folder, a clock that stands still, and events to deliver."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from forwarder.journal import Changes, Journal
from forwarder.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_journal(clock: ManualClock) -> Callable[[Path], Journal]:
    """Opens the journal of a folder for the sinks `a` and `b`."""
    return lambda folder: Journal(
        folder, sinks=["a", "b"], max_bytes=1 << 30, keep_seconds=3600, remember_seconds=3600, clock=clock
    )


@pytest.fixture
async def journal(tmp_path: Path, open_journal: Callable[[Path], Journal]) -> AsyncGenerator[Journal]:
    async with open_journal(tmp_path) as journal:
        yield journal


@pytest.fixture
def event() -> Callable[..., bytes]:
    """Encodes an event as forwarder/pipeline/encoding.py does; its id is its number."""

    def encode(number: int, type: str = "prompt", agent: str = "codex", rest: str = "") -> bytes:
        head = f'{{"id":"{number:032x}","type":"{type}","time":"2026-01-01T00:00:00.000Z","agent":"{agent}"'
        return (head + rest + "}").encode()

    return encode


@pytest.fixture
def commit(journal: Journal, event: Callable[..., bytes]) -> Callable[..., Awaitable[list[bytes]]]:
    """Journals so many events in one commit, and returns their lines."""

    async def add(count: int, **fields: str) -> list[bytes]:
        lines = [event(journal.last + 1 + n, **fields) for n in range(count)]
        await journal.commit(Changes(lines=lines))
        return lines

    return add
