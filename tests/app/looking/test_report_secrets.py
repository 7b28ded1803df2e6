"""`report secrets`: where a secret appeared, without its value, and which sinks got events after it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forwarder.app.config import Settings, from_values
from forwarder.app.looking.report_secrets import SecretReport, secret_report, table_lines
from forwarder.journal import Changes, Cursor, Journal
from forwarder.testing import ManualClock


def event(number: int, type: str, session: str, **fields: Any) -> bytes:
    """An event of that second, as the encoder writes it."""
    time = f"2026-11-21T10:00:{number:02d}.000Z"
    head = {"id": f"{number:032x}", "type": type, "time": time, "agent": "acme", "session_id": session}
    origin = {"source": "acme", "file": f"{session}.jsonl", "offset": number * 100}
    return json.dumps(head | fields | {"origin": origin}, separators=(",", ":")).encode()


def secret(number: int, session: str, fingerprint: str = "f1", field: str = "input") -> bytes:
    return event(number, "secret_found", session, rule="github", fingerprint=fingerprint, field=field)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    values = {
        "state_dir": str(tmp_path),
        "sinks": {
            "behind": {"use": "jsonl"},
            "ahead": {"use": "jsonl"},
            "usage": {"use": "jsonl", "types": ["token_usage"]},
        },
    }
    return from_values(values, place="test", folder=tmp_path)


async def reported(settings: Settings, *lines: bytes, since: datetime | None = None) -> SecretReport:
    """Of a journal with these events, of which `behind` has got two."""
    sinks = list(settings.sinks)
    journal = Journal(
        settings.state_dir, sinks=sinks, max_bytes=1 << 20, keep_seconds=60, remember_seconds=60, clock=ManualClock()
    )
    async with journal:
        await journal.commit(Changes(lines=list(lines)))
        for sink in sinks:
            place = 2 if sink == "behind" else len(lines)
            await journal.move(sink, Cursor(place, place))
        return secret_report(settings, since=since)


async def test_a_secret_is_told_with_its_first_place_and_all_its_sessions(settings: Settings) -> None:
    """Equal fingerprints are one secret; the first place is the earliest, not the first that was read."""
    report = await reported(settings, secret(5, "b"), secret(2, "a", field="output"), secret(7, "a", "f2"))

    newest, oldest = report.secrets
    assert (newest.fingerprint, newest.found, newest.sessions) == ("f2", 1, ["a"])
    assert (oldest.fingerprint, oldest.found, oldest.sessions) == ("f1", 2, ["b", "a"])
    assert (oldest.first.session_id, oldest.first.file, oldest.first.offset) == ("a", "a.jsonl", 200)
    assert oldest.first.field == "output"


async def test_sinks_are_those_that_got_later_events_of_the_session(settings: Settings) -> None:
    """Not one that is behind, not one whose filter left them out, and not for events of other sessions."""
    report = await reported(settings, secret(1, "a"), event(2, "prompt", "b"), event(3, "prompt", "a"))

    assert report.secrets[0].sinks == ["ahead"]


async def test_only_what_was_found_lately_is_told_if_wanted(settings: Settings) -> None:
    """The option `--since`."""
    since = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)
    report = await reported(settings, secret(1, "a"), secret(6, "a", "f2"), since=since)

    assert [one.fingerprint for one in report.secrets] == ["f2"]


async def test_the_table_is_for_people(settings: Settings) -> None:
    """Times, places and sinks; and words when there is nothing."""
    report = await reported(settings, secret(1, "a"), event(2, "prompt", "a"))

    assert list(table_lines(report)) == [
        "github  f1  found once in 1 session",
        "  first     2026-11-21 10:00:01 UTC, acme a, a.jsonl at 100, input",
        "  sessions  a",
        "  sinks     ahead, behind got events of these sessions after it",
    ]
    assert list(table_lines(SecretReport(since=None, secrets=[]))) == ["no secret was found in what the journal holds"]
