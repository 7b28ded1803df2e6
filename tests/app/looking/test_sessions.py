"""`forwarder sessions`: who runs, who waits, and what is said when that may be old."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from click.testing import CliRunner, Result

from forwarder.app.cli import cli
from forwarder.app.cli_sessions import STATES
from forwarder.app.exits import Exit
from forwarder.app.looking.sessions import ORDER
from forwarder.app.looking.sessions_text import age, table_lines
from forwarder.app.looking.status import read_report
from forwarder.app.looking.status_text import report_lines
from forwarder.app.status_note import NOTE, Status
from forwarder.clock import SystemClock
from forwarder.events import Activity, Session
from forwarder.journal import Changes, Journal, Said, SessionRow, told

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
IDS = "01a1fbaa-efc4-74d1-a3b1-0000000000"


def row(
    name: str, state: Activity | None, *, since: float = 60, now: datetime = NOW, project: str = "shop"
) -> SessionRow:
    """The session with an id that ends so, in that state since so many seconds."""
    session = Session(agent="acme", id=IDS + name, cwd=f"/home/dev/{project}", git_branch="main")
    said = Said("session_state" if state else "turn_start", state=state, model="acme-large")
    return told(session, now.timestamp() - since, said)


class Folder:
    """A state folder whose journal knows some sessions, and whose forwarder is this process, unless it was stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = datetime.now(UTC)

    def fill(self, *rows: SessionRow, is_running: bool = True) -> None:
        asyncio.run(self._fill(rows, is_running=is_running))

    async def _fill(self, rows: tuple[SessionRow, ...], *, is_running: bool) -> None:
        note = Status(
            pid=os.getpid(), started=self.now, time=self.now, is_running=is_running, sinks={}, problems={}, watching=""
        )
        clock = SystemClock()
        opened = Journal(self.path, sinks=[], max_bytes=1 << 20, keep_seconds=1, remember_seconds=60, clock=clock)
        async with opened as journal:
            await journal.commit(Changes(sessions=list(rows)))
            await journal.note(NOTE, msgspec.json.encode(note))

    def row(self, name: str, state: Activity | None, *, since: float = 60) -> SessionRow:
        return row(name, state, since=since, now=self.now)

    def sessions(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli, ["sessions", "--no-config", "--state-dir", str(self.path), *arguments])

    def listed(self, *arguments: str) -> list[str]:
        """The ends of the ids, as they are listed."""
        return [
            json.loads(line)["session_id"][-2:]
            for line in self.sessions("--format", "json", *arguments).stdout.splitlines()
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_those_that_wait_for_a_person_come_first(folder: Folder) -> None:
    """Of equal ones the newest: the one that was just left is the one that is looked for."""
    folder.fill(
        folder.row("01", None),
        folder.row("02", "working"),
        folder.row("03", "waiting_input", since=500),
        folder.row("04", "waiting_input", since=20),
        folder.row("05", "waiting_permission", since=900),
        folder.row("06", "idle"),
        folder.row("07", "stalled"),
    )

    assert folder.listed() == ["05", "04", "03", "06", "07", "02", "01"]


def test_only_live_sessions_are_listed_unless_all_are_wanted(folder: Folder) -> None:
    """History does not bury those that wait; what has ended can be asked for by its state."""
    folder.fill(folder.row("01", "working"), folder.row("02", "ended"), folder.row("03", "waiting_input", since=1e6))

    assert folder.listed() == ["01"]
    assert folder.listed("--state", "ended") == ["02"]
    assert folder.listed("--all") == ["03", "01", "02"]


def test_sessions_are_chosen_by_state_and_agent(folder: Folder) -> None:
    """Several states may be named."""
    folder.fill(folder.row("01", "working"), folder.row("02", "idle"), folder.row("03", None))

    assert folder.listed("--state", "idle", "--state", "unknown") == ["02", "03"]
    assert folder.listed("--agent", "acme", "--state", "working") == ["01"]
    assert folder.listed("--agent", "other") == []


def test_every_state_can_be_asked_for_and_has_its_place() -> None:
    """A state without a place would end the command."""
    assert STATES == ORDER
    assert {*ORDER} == {*get_args(Activity), "unknown"}


def test_scripts_get_whole_ids_and_times_and_nothing_that_is_unknown(folder: Folder) -> None:
    """Names and forms as in events."""
    folder.fill(folder.row("01", "waiting_input"), folder.row("02", None))
    known, unknown = [json.loads(line) for line in folder.sessions("--format", "json").stdout.splitlines()]

    since = (folder.now - timedelta(seconds=60)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert known == {
        "agent": "acme",
        "session_id": IDS + "01",
        "live": True,
        "state": "waiting_input",
        "since": since,
        "last_event": since,
        "cwd": "/home/dev/shop",
        "git_branch": "main",
        "model": "acme-large",
    }
    assert "state" not in unknown
    assert "since" not in unknown


def test_a_table_says_who_does_what_since_when(folder: Folder) -> None:
    """The whole of it, at the width of a terminal of 80 columns."""
    folder.fill(folder.row("01", "waiting_permission", since=200), folder.row("02", None))
    done = folder.sessions()

    assert done.exit_code == Exit.OK
    assert done.stdout.splitlines() == [
        "STATE               SINCE  LAST  AGENT  SESSION    BRANCH  MODEL",
        "waiting_permission  3m     3m    acme   shop·0001  main    acme-large",
        "unknown             -      1m    acme   shop·0002  main    acme-large",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize(("width", "last"), [(200, "ID"), (80, "MODEL"), (64, "BRANCH"), (50, "SESSION")])
def test_a_narrow_table_leaves_columns_out(width: int, last: str) -> None:
    """What one looks for stands first."""
    header, *_ = lines = list(table_lines([row("01", "waiting_permission")], now=NOW, width=width))

    assert header.split()[-1] == last
    assert max(map(len, lines)) <= width


def test_a_very_narrow_table_cuts_the_name_of_the_project() -> None:
    """Characters that take two cells count as two."""
    _, line = table_lines([row("01", "working", project="東京の店" * 9)], now=NOW, width=42)

    assert line == "working  1m     1m    acme   東京の店東京…"


def test_a_name_cannot_steer_the_terminal() -> None:
    """A folder's name may hold any character."""
    _, line = table_lines([row("01", "working", project="\x1b[2Jshop\nx")], now=NOW, width=80)

    assert "\ufffd[2Jshop x·0001" in line


def test_a_question_of_a_sub_agent_names_it() -> None:
    """Its session asks, but the person finds the question with the sub-agent."""
    asking = told(Session(agent="acme", id="s1", actor="a-7f3e"), NOW.timestamp(), Said(state="waiting_permission"))
    _, line = table_lines([asking], now=NOW, width=80)

    assert "·s1↳7f3e" in line


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (172799, "47h"), (172800, "2d")],
)
def test_ages_are_short(seconds: float, shown: str) -> None:
    """One number and one unit."""
    assert age(seconds) == shown


def test_nothing_to_show_is_said_beside_the_data(folder: Folder) -> None:
    """A script that reads the table or the lines finds none."""
    folder.fill()
    table, lines = folder.sessions(), folder.sessions("--format", "json", "--all")

    assert (table.exit_code, table.stdout, table.stderr) == (Exit.OK, "", "no live sessions\n")
    assert (lines.exit_code, lines.stdout, lines.stderr) == (Exit.OK, "", "")


def test_states_may_be_old_when_no_forwarder_is_running(folder: Folder) -> None:
    """They are shown all the same, with the reason and another exit status."""
    folder.fill(folder.row("01", "working"), is_running=False)
    done = folder.sessions()

    assert done.exit_code == Exit.PROBLEM
    assert done.stdout.count("\n") == 2
    assert done.stderr.startswith("problem  not running: it was stopped after ")
    assert done.stderr.endswith(" UTC; states may be old\n")


def test_without_a_journal_the_command_says_so(folder: Folder) -> None:
    """Before the first `run`, or with the wrong folder."""
    done = folder.sessions()

    assert (done.exit_code, done.stdout) == (Exit.STATE, "")
    assert "no journal to read" in done.stderr


def test_status_counts_them(folder: Folder) -> None:
    """How many run and how many wait, in one line."""
    folder.fill(
        folder.row("01", "working"), folder.row("02", "idle"), folder.row("03", "waiting_permission"),
        folder.row("04", "ended"), folder.row("05", "waiting_input", since=1e6),
    )  # fmt: skip
    report = read_report(folder.path, max_bytes=1 << 20)

    assert "sessions   3 live, 2 waiting" in list(report_lines(report))
