"""The commands that look inside, beside a running forwarder and without one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.http_peer import HttpPeer, Reply
from tests.process.machine import Machine, ids
from tests.process.writing import answering

pytestmark = pytest.mark.slow


def team_sink(peer: HttpPeer, more: str = "") -> str:
    return f'[sinks.team]\nuse = "http"\nurl = "{peer.url}"\n{more}'


def write(machine: Machine, answers: int) -> None:
    for path, content in answering(machine.home, files=1, answers=answers).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


async def asked(machine: Machine, *arguments: str) -> Any:
    """What a command says in JSON."""
    _, out = await machine.said(*arguments, "--format", "json")
    return json.loads(out)


def letters(machine: Machine) -> int:
    rows = machine.rows("SELECT count(*) FROM dead_letters")
    return rows[0][0] if rows else 0


async def test_refused_events_are_delivered_when_they_are_wanted_again(machine: Machine) -> None:
    """Through the running forwarder, each once, and the archive beside is not bothered."""
    write(machine, answers=3)
    async with HttpPeer() as peer:
        peer.otherwise = Reply(status=422, body=b'{"error": "schema not known yet"}')
        machine.configure(team_sink(peer), machine.archive_sink())
        async with machine.running() as process:
            await machine.until(lambda: letters(machine) == 4, "all events are refused", process=process)
            listed = await asked(machine, "dead-letters", "list")
            peer.otherwise = Reply()
            status, said = await machine.said("dead-letters", "retry", "--sink", "team")
            await machine.until(lambda: letters(machine) == 0, "all of them are delivered", process=process)
            pid = process.pid
        delivered = peer.ids()

    assert [one["event"] for one in listed["letters"]] == ids(machine.journalled())
    assert "schema not known yet" in listed["reasons"][0]["reason"]
    assert (status, said) == (0, f"4 dead letters will be tried again by the running forwarder (process {pid})\n")
    assert delivered == ids(machine.journalled()) == ids(machine.archived())


async def test_without_a_forwarder_the_next_one_tries_again(machine: Machine) -> None:
    """The command itself never talks to a destination."""
    write(machine, answers=1)
    async with HttpPeer() as peer:
        peer.otherwise = Reply(status=422)
        machine.configure(team_sink(peer))
        async with machine.running() as process:
            await machine.until(lambda: letters(machine) == 2, "all events are refused", process=process)
        peer.otherwise = Reply()
        _, said = await machine.said("dead-letters", "retry", "2")
        _, dropped = await machine.said("dead-letters", "drop", "1")
        before = peer.ids()
        async with machine.running() as process:
            await machine.until(lambda: letters(machine) == 0, "it is delivered", process=process)

        assert (said, dropped) == (
            "1 dead letter will be tried again when a forwarder is started\n",
            "1 dead letter dropped\n",
        )
        assert before == []
        assert peer.ids() == ids(machine.journalled())[1:]


async def test_an_event_is_followed_from_its_record_to_its_sinks(machine: Machine) -> None:
    """Beside the running forwarder: pending with the destination's words, then acknowledged."""
    write(machine, answers=2)
    (path,) = machine.home.rglob("rollout-*.jsonl")
    async with HttpPeer() as peer:
        peer.otherwise = Reply(status=503, body=b"closed for today")
        machine.configure(team_sink(peer), machine.archive_sink(), prompts_sink(machine))
        async with machine.running() as process:
            await machine.until(lambda: len(machine.archived()) == 3, "all is read", process=process)
            event = machine.archived()[-1]
            await machine.until(lambda: b"closed for today" in note(machine), "the outage is noted", process=process)
            waiting = await asked(machine, "why", event["id"][:12])
            peer.otherwise = Reply()
            await machine.until(lambda: len(peer.ids()) == 3, "all is delivered", process=process)
        delivered = await asked(machine, "why", event["id"])
        status, _ = await machine.said("why", "0" * 32)

    assert (waiting["origin"]["file"], waiting["origin"]["offset"]) == (str(path), event["origin"]["offset"])
    assert waiting["origin"]["size"] == len(path.read_bytes()[event["origin"]["offset"] :].split(b"\n")[0])
    fates = {one["sink"]: one for one in waiting["sinks"]}
    assert "the sink fails since" in fates["team"]["why"]
    assert "closed for today" in fates["team"]["why"]
    assert [one["what"] for one in waiting["sinks"]] == ["pending", "acknowledged", "filtered out"]
    assert [one["what"] for one in delivered["sinks"]] == ["acknowledged", "acknowledged", "filtered out"]
    assert all("time" in one for one in delivered["sinks"][:2])
    assert status == 1


def prompts_sink(machine: Machine) -> str:
    return f'[sinks.prompts]\nuse = "jsonl"\npath = "{machine.folder}/prompts/{{date}}.jsonl"\ntypes = ["prompt"]\n'


def note(machine: Machine) -> bytes:
    rows = machine.rows("SELECT value FROM notes WHERE name = 'status'")
    return bytes(rows[0][0]) if rows else b""


async def test_a_journal_is_looked_at_while_it_is_written(machine: Machine) -> None:
    """What the forwarder itself wrote is whole, and the numbers are those of the events."""
    write(machine, answers=200)
    machine.configure(machine.archive_sink())
    async with machine.running() as process:
        await machine.until(lambda: len(machine.archived()) == 201, "all is delivered", process=process)
        status, said = await machine.said("journal", "verify")
        stats = await asked(machine, "journal", "stats")

    assert (status, said.splitlines()[-1]) == (0, "all is well")
    assert (stats["events"], stats["sinks"][0]["events"], stats["seen_facts"]) == (201, 0, 201)
    assert stats["types"] == {"response": 200, "session_start": 1}


async def test_a_damaged_journal_is_said_without_a_traceback(machine: Machine) -> None:
    """Each problem in a sentence; statistics of such a file end with the status of a state that cannot be used."""
    write(machine, answers=200)
    machine.configure(machine.archive_sink())
    async with machine.running() as process:
        await machine.until(machine.is_read, "everything is read", process=process)
    journal = machine.state / "journal.sqlite3"
    content = journal.read_bytes()
    journal.write_bytes(content[:8192] + bytes(len(content) - 8192))
    verified, stats = await machine.said("journal", "verify"), await machine.said("journal", "stats")

    assert (verified[0], stats[0]) == (1, 3)
    assert "is damaged: database disk image is malformed" in verified[1]
    assert "is damaged: database disk image is malformed" in stats[1]
    assert "Traceback" not in verified[1] + stats[1]


async def test_what_egress_tells_is_what_arrives(machine: Machine) -> None:
    """With the installed command, over the wire: at level full no text comes along."""
    write(machine, answers=2)
    async with HttpPeer() as peer:
        machine.configure(team_sink(peer, 'redaction = "full"\nrename = { session_id = "session" }\n'))
        async with machine.running() as process:
            await machine.until(lambda: len(peer.ids()) == 3, "all is delivered", process=process)
        told = await asked(machine, "egress", "team")
        got = next(event for event in peer.events() if event["type"] == "response")

    (fields,) = [one["fields"] for one in told["types"] if one["type"] == "response"]
    leaving = {one.get("sent_as", one["name"]) for one in fields if one["what"] != "absent"}
    assert {*got} - {"origin"} <= leaving
    assert "session" in got
    assert "text" not in leaving | {*got}


async def test_bytes_that_were_seen_and_cut_off_are_told_once(machine: Machine) -> None:
    """A half line that is gone before its end came is a loss, and the events say so, over a kill and a restart."""
    write(machine, answers=2)
    (path,) = machine.home.rglob("rollout-*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"half a line')
    machine.configure(machine.archive_sink())
    process = await machine.started()
    await machine.until(lambda: len(machine.archived()) == 3, "all whole lines are delivered", process=process)
    process.kill()
    await process.wait()
    path.write_bytes(whole[: whole.index(b"\n") + 1])
    async with machine.running() as process:
        await machine.until(lambda: "gap" in types(machine), "the loss is told", process=process)
        await machine.until(machine.is_read, "the new content is read", process=process)
    path.write_bytes(whole)
    async with machine.running() as process:
        await machine.until(machine.is_read, "what was appended is read", process=process)

    (gap,) = [event for event in machine.archived() if event["type"] == "gap"]
    assert (gap["reason"], gap["bytes"], gap["origin"]["offset"]) == ("truncated", 13, len(whole))


def types(machine: Machine) -> list[str]:
    return [event["type"] for event in machine.archived()]


async def test_a_record_is_mapped_again_from_its_file(machine: Machine) -> None:
    """What no release could map, until something changed: here the record itself, whose bytes were damaged."""
    write(machine, answers=20)
    (path,) = machine.home.rglob("rollout-*.jsonl")
    whole = path.read_bytes() + FILLER
    lines = whole.splitlines(keepends=True)
    lines[20] = b"x" * (len(lines[20]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    machine.configure(machine.archive_sink())
    async with machine.running() as process:
        await machine.until(lambda: types(machine).count("response") == 19, "others are delivered", process=process)
        await machine.said("dead-letters", "retry", "1")
        await machine.until(lambda: attempts(machine) == [2], "it was tried in vain", process=process)
        path.write_bytes(whole)
        await machine.said("dead-letters", "retry", "--source", "codex")
        await machine.until(lambda: types(machine).count("response") == 20, "it is delivered", process=process)

    assert attempts(machine) == []
    assert machine.archived()[-1]["origin"]["offset"] == len(b"".join(lines[:20]))
    assert len({*ids(machine.archived())}) == len(machine.archived())


# More than what is remembered of a file before its offset, so that the repair is not taken for another content.
REASONING = (
    b'{"timestamp":"2026-11-21T01:12:22.418Z","type":"event_msg","payload":{"type":"agent_reasoning","text":"%b"}}'
)
FILLER = REASONING % (b"x" * 500) + b"\n"


def attempts(machine: Machine) -> list[int]:
    return [row[0] for row in machine.rows("SELECT attempts FROM dead_letters")]
