"""Credentials of sinks are used and never shown."""

from __future__ import annotations

import pytest

from tests.http_peer import HttpPeer, Reply
from tests.process.machine import Machine
from tests.process.writing import answering

pytestmark = pytest.mark.slow

LOOKS = (
    ("check",),
    ("status",),
    ("status", "--json"),
    ("egress", "team"),
    ("journal", "stats"),
    ("dead-letters", "list"),
)


async def test_a_sinks_credentials_are_in_nothing_that_is_written_or_printed(machine: Machine) -> None:
    """From a file and from a command, also when the endpoint refuses with an answer that repeats them."""
    for path, content in answering(machine.home, files=1, answers=3).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    words = ("quite-plain-words-one", "quite-plain-words-two")
    (machine.folder / "token").write_text(words[0])
    async with HttpPeer() as peer:
        peer.otherwise = Reply(status=422, body=" and ".join(words).encode())
        machine.configure(
            f'[sinks.team]\nuse = "http"\nurl = "{peer.url}"\ntoken = {{ file = "{machine.folder}/token" }}\n'
            f'[sinks.team.headers]\nX-Key = {{ command = ["echo", "{words[1]}"] }}\n'
        )
        async with machine.running() as process:
            await machine.until(
                lambda: machine.rows("SELECT count(*) FROM dead_letters") == [(4,)], "all is refused", process=process
            )
            said = [(await machine.said(*look))[1] for look in LOOKS] + [(await machine.said("plugins"))[1]]
            kept = b"".join(path.read_bytes() for path in machine.state.iterdir())
        sent = peer.requests[0].headers

    assert (sent["authorization"], sent["x-key"]) == (f"Bearer {words[0]}", words[1])
    written = kept + machine.log.read_bytes() + "".join(said).encode()
    assert [word for word in words if word.encode() in written] == []
    assert b"[REDACTED] and [REDACTED]" in written
