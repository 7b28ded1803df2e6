"""`forwarder run` in AIr's place: everything that AIr's clients can post, before a kill and behind it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from forwarder.app.looking.schema import json_schema
from tests.app.test_wire_form import misfits
from tests.plugins.air.samples import FIELDS, event
from tests.process.machine import Machine, ids
from tests.process.posting import answered, free_port
from tests.raw_http import request

pytestmark = pytest.mark.slow

TOKEN = "ghp_" + "Zc9bQ7rT2yVx4Lm8Np6Kd3Hs5Jw1Gf0Ae9Ru"
TEXTS = re.compile(r'"(docs|shop|kb|acme|bash|think|System|accurate|how|good|late|m[123]|/home/dev/shop|a b|ls)"')


def batch(*events: dict[str, Any]) -> bytes:
    """The events, with a secret in every text of theirs that is none of AIr's own words."""
    return request("POST", "/api/ingest/batch", TEXTS.sub(rf'"\1 {TOKEN}"', json.dumps(events)).encode())


async def test_a_kill_behind_the_answer_changes_nothing(machine: Machine) -> None:
    """All that was answered is delivered, once, in the form of the schema and without its secrets; what is posted
    later knows whose it is."""
    port = free_port()
    machine.configure(machine.archive_sink(), f'[receivers.air]\nlisten = "127.0.0.1:{port}"\n')
    everything = [event(kind) for kind in FIELDS]
    process = await machine.started()
    answers = [await answered(machine, port, batch(*everything), process)]
    process.kill()
    await process.wait()
    before = machine.journalled()
    async with machine.running() as process:
        answers.append(await answered(machine, port, batch(*everything), process))
        answers.append(await answered(machine, port, batch(event("turn_end", id="later")), process))
        await machine.until(lambda: len(machine.archived()) > len(before), "all is delivered", process=process)
    archived, kinds = machine.archived(), json_schema()["$defs"]
    wrong = [words for one in archived for words in misfits(kinds[one["type"]], one, one["type"])]
    holding = [path for path in machine.folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]

    new = [one["type"] for one in archived if one["id"] not in ids(before)]
    assert [one.json() for one in answers] == [{"ok": True, "count": count} for count in (26, 26, 1)]
    assert (new, len(set(ids(archived)))) == (["turn_end"], len(archived))
    assert (wrong, holding) == ([], [])
    assert {one["agent"] for one in archived} == {"codex"}
