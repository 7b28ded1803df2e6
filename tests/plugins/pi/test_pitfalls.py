"""What goes wrong with pi's files elsewhere: the contract's checklist, as far as no other test has an entry.

- 1 to 3, 13, 20, states from the last event, unknown percentages, files that vanish, the assistant's text, instances
  that overwrite one another: test_heartbeats. 15 to 17, what needs a folder that lives: test_heartbeats_live.
- 5, 7, 8, 9, ids, forks, summaries that are paid for, U+2028, long lines: test_session. 8 and 20, errors that used
  tokens and two writers of one file: test_turns. 6, migration in place: test_live. 7 and 8 in sums: test_recordings.
- 10 to 12 and 18, what JavaScript takes and how it writes: test_javascript, test_snapshot. 19, sums: test_calls.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from forwarder_pi import snapshot

from forwarder import Event, Prompt, Response, SessionStart, SessionState, UnknownRecord

from .lines import answer, dumps, facts, header, ms, only, prompt, read, spent, usage

INSTANCE = Path("telemetry/instances/7.json")


def heartbeat(**fields: Any) -> bytes:
    process = {"pid": 7, "startedAt": ms(0), "updatedAt": ms(1), "heartbeatSeq": 1, "uptimeMs": 1000}
    whole: dict[str, Any] = {"schemaVersion": 2, "process": process, "session": {"id": "s1"}}
    return dumps(whole | {"state": {"activity": "waiting_input"}, "lastEvent": "session_start"} | fields)


def beat(content: bytes, path: Path = INSTANCE) -> list[Event]:
    return read(content, path=path)


def test_an_instance_is_known_by_its_life_and_not_by_its_file() -> None:
    """The pid in the name may be another namespace's; nothing is keyed by it."""
    assert facts(beat(heartbeat())) == facts(beat(heartbeat(), INSTANCE.with_name("4711.json")))


def test_an_abandoned_branch_was_paid_for() -> None:
    """Both answers to the same prompt were given, though only one of them is in the context."""
    first, second = answer("a1", "p1", usage=usage(10, o=2)), answer("a2", "p1", at=5, usage=usage(20, o=3))

    assert spent(read(header(), prompt(), first, second)) == [(10, 0, 2), (20, 0, 3)]


def test_bytes_that_are_no_text_are_replaced_in_a_snapshot(tmp_path: Path) -> None:
    """Node reads a heartbeat all the same; leaving it out would hide a process."""
    content = heartbeat(workspace={"cwd": "/home/@"}).replace(b"@", b"caf\xe9")
    (tmp_path / "7.json").write_bytes(content)
    document = snapshot(tmp_path, now_ms=ms(1), stale_ms=10_000, is_alive=lambda pid: True)

    assert [one["workspace"]["cwd"] for one in document["instances"]] == ["/home/caf\ufffd"]


def test_half_an_emoji_in_an_answer_costs_no_event() -> None:
    """pi cuts texts by UTF-16 units; other readers can parse the line, and then not write it."""
    cut = answer(text="@").replace(b'"@"', b'"ab\\ud83d"')
    [told] = only(Response, read(header(), prompt(), cut))

    assert msgspec.json.decode(msgspec.json.encode(told.text)).startswith("ab")


def test_half_an_emoji_in_a_heartbeat_costs_no_state() -> None:
    """The last assistant text is cut at 16,000 units."""
    cut = heartbeat(messages={"lastAssistantText": "@"}).replace(b'"@"', b'"ab\\ud83d"')

    assert [told.state for told in only(SessionState, beat(cut))] == ["waiting_input"]


@pytest.mark.parametrize(
    "fields",
    [
        {"schemaVersion": True},
        {"process": {"pid": True, "startedAt": 1, "updatedAt": 1, "heartbeatSeq": 1}},
        {"process": {"pid": 7, "startedAt": 1, "updatedAt": 1, "heartbeatSeq": True}},
    ],
)
def test_true_is_no_number(fields: dict[str, Any]) -> None:
    """To Python it is 1: the document is drift, and no instance of process 1."""
    with pytest.raises(UnknownRecord):
        beat(heartbeat(**fields))


def test_a_percentage_that_json_cannot_say_costs_no_state() -> None:
    """JavaScript writes null for it, and other writers NaN."""
    content = heartbeat(context={"percent": "@", "pressure": "normal"}).replace(b'"@"', b"NaN")

    assert len(only(SessionState, beat(content))) == 1


def test_who_and_where_a_person_is_stays_out_of_the_events() -> None:
    """Of a heartbeat's personal data only folder and branch have a field; the host is the forwarder's own."""
    content = heartbeat(
        system={"host": "secret-host", "user": "secret-user"},
        routing={"tty": "secret-tty", "env": {"tmux": "secret-socket"}},
        session={"id": "s1", "name": "secret-name", "file": "/home/secret-home/x.jsonl"},
        extensions={"bridge": {"registryFile": "/home/secret-home/registry.json"}},
    )
    told = beat(content)

    assert told
    assert b"secret" not in msgspec.json.encode(told)


@pytest.mark.parametrize("session", ["42", "__proto__", "constructor"])
def test_a_session_may_be_called_anything(session: str) -> None:
    """To JavaScript these are names of other things, or sorted before all others."""
    [started] = only(SessionStart, beat(heartbeat(session={"id": session})))
    [told] = only(Prompt, read(header(session), prompt()))

    assert (started.session.id, told.session.id) == (session, session)
    assert json.loads(msgspec.json.encode(started.key)) == [session]
