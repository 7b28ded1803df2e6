"""What `status` tells about a state folder, and when it calls something wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forwarder.app.looking.status import Report, read_report
from forwarder.app.looking.status_text import report_lines
from forwarder.app.status_note import NOTE, Status
from forwarder.clock import SystemClock
from forwarder.delivery.retry import Circuit
from forwarder.delivery.status import SenderStatus
from forwarder.errors import StateError
from forwarder.journal import Changes, Cursor, DeadLetter, Journal, StreamRow

LINE = b'{"id":"00000000000000000000000000000000","type":"turn_start"}'
SENDER = SenderStatus(
    name="team",
    state=Circuit.CLOSED,
    acked=3,
    behind=0,
    delivered_events=3,
    delivered_batches=1,
    events_per_second=1.23,
    retries=0,
    dead_lettered=0,
    last_error=None,
    last_error_time=None,
    next_try=None,
)


@pytest.fixture
def now() -> datetime:
    """The moment at which the report is read."""
    return datetime.now(UTC)


class Folder:
    """A state folder with a journal of three events, read from one file of 10 bytes, of which 6 were read."""

    def __init__(self, path: Path, now: datetime) -> None:
        self.state = path / "state"
        self.state.mkdir()
        self.now = now
        self.file = path / "a.jsonl"
        self.file.write_bytes(b"0123456789")
        self.note = Status(
            pid=os.getpid(),
            started=now - timedelta(minutes=5),
            time=now,
            is_running=True,
            sinks={"team": SENDER},
            problems={},
            watching="file events",
        )

    async def report(
        self, *, cursor: int = 3, letters: list[DeadLetter] | None = None, max_bytes: int = 1 << 20, **note: Any
    ) -> Report:
        """Write everything down and read the report of it."""
        kept: dict[str, Any] = {"max_bytes": 1 << 20, "keep_seconds": 1.0, "remember_seconds": 60.0}
        row = StreamRow(id=1, source="acme", path=str(self.file), device=1, inode=1, offset=6)
        facts = [bytes([number]) * 16 for number in range(3)]
        async with Journal(self.state, sinks=["team"], clock=SystemClock(), **kept) as journal:
            await journal.commit(Changes([LINE] * 3, facts, {1: row}, letters or []))
            await journal.move("team", Cursor(cursor, cursor))
            await journal.note(NOTE, msgspec.json.encode(msgspec.structs.replace(self.note, **note)))
        return read_report(self.state, max_bytes=max_bytes, now=self.now)


@pytest.fixture
def folder(tmp_path: Path, now: datetime) -> Folder:
    """The state folder of a forwarder that is at work and well."""
    return Folder(tmp_path, now)


async def test_a_forwarder_at_work_has_no_problems(folder: Folder) -> None:
    """All is well: the exit status is 0, and a cron job stays silent."""
    report = await folder.report()

    assert report.problems == []
    assert (report.is_running, report.pid, report.journal.last) == (True, os.getpid(), 3)
    assert [(sink.name, sink.acked, sink.behind, sink.state) for sink in report.sinks] == [("team", 3, 0, "ok")]


async def test_files_show_their_lag_in_bytes_and_seconds(folder: Folder) -> None:
    """Lag is what lies in the file unread, and how long it has lain there at least."""
    os.utime(folder.file, (0, folder.now.timestamp() - 90))
    (file,) = (await folder.report()).files

    assert (file.path, file.offset, file.lag_bytes, file.lag_seconds) == (str(folder.file), 6, 4, 90.0)


async def test_a_file_that_is_read_or_gone_has_no_lag(folder: Folder) -> None:
    """Thousands of finished sessions are no reason to worry, and deleted ones neither."""
    folder.file.write_bytes(b"012345")
    (read,) = (await folder.report()).files
    folder.file.unlink()
    (gone,) = read_report(folder.state, max_bytes=1, now=folder.now).files

    assert (read.lag_bytes, read.lag_seconds) == (0, 0.0)
    assert (gone.lag_bytes, gone.is_gone) == (None, True)


async def test_a_compressed_file_is_not_decompressed_to_tell_its_lag(folder: Folder) -> None:
    """Its offset counts decompressed bytes; whether it changed since it was read is known all the same."""
    folder.file = folder.file.rename(folder.file.with_suffix(".gz"))
    (file,) = (await folder.report()).files

    assert file.lag_bytes is None
    assert file.lag_seconds is not None


async def test_what_a_sink_lacks_is_told_from_its_cursor(folder: Folder) -> None:
    """The cursor is the truth, also when the process is gone."""
    (sink,) = (await folder.report(cursor=1, is_running=False)).sinks

    assert (sink.acked, sink.behind) == (1, 2)


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


async def test_a_killed_forwarder_is_a_problem(folder: Folder) -> None:
    """Nobody else says so: it cannot."""
    report = await folder.report(pid=dead_process())

    assert not report.is_running
    assert report.problems[0].startswith("not running: it was killed or crashed after ")


async def test_a_stopped_forwarder_is_a_problem(folder: Folder) -> None:
    """`status` answers whether everything works, and a service that was stopped does not."""
    assert (await folder.report(is_running=False)).problems[0].startswith("not running: it was stopped after ")


FAILING = replace(SENDER, last_error="503", next_try=datetime.now(UTC))
REFUSED = replace(SENDER, state=Circuit.OPEN, last_error="401 wrong token")


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ({"sinks": {"team": FAILING}}, "sink team retrying, 2 events behind: 503"),
        ({"sinks": {"team": REFUSED}}, "sink team refused, 2 events behind: 401 wrong token"),
        ({"problems": {"/a": "permission denied"}}, "/a: permission denied"),
        ({"journal_problem": "disk full"}, "the journal cannot be written: disk full"),
        ({"given_up": 7}, '7 events were given up: the journal was full and on_full is "drop"'),
        ({"time": datetime.now(UTC) - timedelta(minutes=10)}, ": it hangs"),
    ],
)
async def test_what_goes_wrong_is_a_problem(folder: Folder, note: dict[str, Any], words: str) -> None:
    """Each of these needs a person, or shows that one is needed soon."""
    problems = (await folder.report(cursor=1, **note)).problems

    assert any(words in one for one in problems), problems


async def test_a_journal_that_fills_up_is_a_problem_before_it_is_full(folder: Folder) -> None:
    """Reading waits once it is full; there is time left to mend the sink."""
    report = await folder.report(cursor=1, max_bytes=190)

    assert report.problems == ["the journal holds 186 B of 190 B: a sink is behind"]


async def test_fresh_dead_letters_are_a_problem_and_old_ones_are_not(folder: Folder) -> None:
    """What was refused an hour ago has been seen or never will be."""
    now = folder.now.timestamp()
    letters = [
        DeadLetter(time=now, reason="bad", body=b"", sink="team"),
        DeadLetter(time=now - 7200, reason="bad", body=b"", sink="team"),
        DeadLetter(time=now, reason="torn", body=b"", source="acme", file="a"),
    ]
    report = await folder.report(letters=letters)

    assert (report.sinks[0].dead_letters, report.sinks[0].recent_dead_letters) == (2, 1)
    assert report.problems == [
        "sink team rejected 1 event within the last hour",
        "1 record could not be used within the last hour; see `forwarder dead-letters list`",
    ]


async def test_a_note_of_another_release_hides_nothing_else(folder: Folder) -> None:
    """After an update the old note may be unreadable; files, cursors and fill are in the tables."""
    await folder.report()
    kept: dict[str, Any] = {"max_bytes": 1 << 20, "keep_seconds": 1.0, "remember_seconds": 60.0}
    async with Journal(folder.state, sinks=[], clock=SystemClock(), **kept) as journal:
        await journal.note(NOTE, b'{"other": 1}')
    report = read_report(folder.state, max_bytes=1 << 20, now=folder.now)

    assert (report.sinks[0].state, report.sinks[0].acked, len(report.files)) == ("unknown", 3, 1)
    assert report.problems == ["not running: no forwarder has written a status here"]


async def test_the_report_can_be_read_while_the_journal_is_open(folder: Folder) -> None:
    """`status` beside `run` reads one snapshot and disturbs nobody."""
    await folder.report()
    kept: dict[str, Any] = {"max_bytes": 1 << 20, "keep_seconds": 1.0, "remember_seconds": 60.0}
    async with Journal(folder.state, sinks=["team"], clock=SystemClock(), **kept) as journal:
        await journal.commit(Changes([LINE], [b"x" * 16]))
        report = read_report(folder.state, max_bytes=1 << 20, now=folder.now)

    assert (report.journal.last, report.sinks[0].behind) == (4, 1)


def test_a_folder_without_a_journal_is_said_to_be_one(tmp_path: Path) -> None:
    """A typing error in --state-dir must not look like a forwarder at rest, nor leave files behind."""
    with pytest.raises(StateError, match="no journal to read"):
        read_report(tmp_path, max_bytes=1)
    assert list(tmp_path.iterdir()) == []


async def test_missing_file_events_are_shown(folder: Folder) -> None:
    """Where watches have run out lines arrive later, and whoever wonders why finds the reason."""
    report = await folder.report(watching="no file events, looking every 1 s instead: no watches left")

    assert "watching   no file events, looking every 1 s instead: no watches left" in report_lines(report)


async def test_the_readable_report_shows_all_of_it(folder: Folder) -> None:
    """Files that lag first, then sinks and problems, each on a line."""
    error = replace(FAILING, last_error_time=folder.now)
    text = "\n".join(report_lines(await folder.report(cursor=1, sinks={"team": error})))

    assert f"running as process {os.getpid()} for 5 min" in text
    assert "journal    186 B of 1 MiB (0%), newest event 3" in text
    assert "sink       team: retrying, 2 behind, at event 1, 1.2 events/s, last error" in text
    assert "files      1 known, 1 with 4 B unread\n" in text
    assert "  acme: 4 B unread for " in text
    assert "problem    sink team retrying" in text


async def test_files_that_are_read_are_listed_while_they_are_fresh(folder: Folder) -> None:
    """Whoever works now is of interest, a hundred sessions that are over are not."""
    folder.file.write_bytes(folder.file.read_bytes()[:6])
    os.utime(folder.file, (folder.now.timestamp() - 12, folder.now.timestamp() - 12))
    fresh = "\n".join(report_lines(await folder.report()))
    os.utime(folder.file, (folder.now.timestamp() - 2 * 3600, folder.now.timestamp() - 2 * 3600))
    old = "\n".join(report_lines(await folder.report()))

    assert f"files      1 known, all read\n  acme: all read, written 12 s ago: {folder.file}" in fresh
    assert "files      1 known, all read" in old
    assert str(folder.file) not in old
