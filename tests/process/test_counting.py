"""What plugins note is right after a real kill: a sink that counts, a receiver that numbers, both installed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.process.counting_plugin import install
from tests.process.machine import Machine
from tests.process.posting import answered, free_port
from tests.process.writing import answering
from tests.raw_http import request

pytestmark = pytest.mark.slow


class Equipped(Machine):
    """A scratch machine on which the package of the tests is installed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.site = folder / "site"
        install(self.site)

    def env(self) -> dict[str, str]:
        return {**super().env(), "PYTHONPATH": str(self.site)}

    def noted(self, owner: str) -> dict[str, int]:
        """The notes of a plugin, which are numbers."""
        rows = self.rows(f"SELECT key, body FROM plugin_notes WHERE owner = '{owner}'")
        return {key: int(body) for key, body in rows}

    def counted(self) -> dict[str, int]:
        """What the sink must have counted."""
        return dict(Counter(event["type"] for event in self.journalled()))


@pytest.fixture
def machine(tmp_path: Path) -> Equipped:
    return Equipped(tmp_path)


async def test_a_sink_that_counts_is_right_after_kills(machine: Equipped) -> None:
    """Killed before a batch, and behind it before the acknowledgement was saved: nothing is counted twice or not."""
    port = free_port()
    for path, content in answering(machine.home, files=2, answers=300).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    machine.configure(f'[sinks.tally]\nlisten = "127.0.0.1:{port}"\nbatch_events = 100\n')
    for place in ("behind", "before", "behind"):
        (machine.folder / "die").write_text(place)
        process = await machine.started()
        assert await process.wait() == -9, machine.log.read_text()[-2000:]
    async with machine.running() as process:
        await machine.until(lambda: machine.is_read() and is_delivered(machine), "all is delivered", process=process)
        told = (await answered(machine, port, request("GET", "/totals"), process)).json()

    assert told == machine.noted("sinks.tally (tally)") == machine.counted()
    assert sum(told.values()) > 600


def is_delivered(machine: Machine) -> bool:
    return bool(machine.rows(f"SELECT 1 FROM cursors WHERE acked = {machine.last_event()} AND acked > 0"))


async def test_a_receiver_goes_on_where_it_was(machine: Equipped) -> None:
    """What was noted with an answered post is known to the next process, killed or not."""
    port = free_port()
    machine.configure(machine.archive_sink(), f'[receivers.numbers]\nlisten = "127.0.0.1:{port}"\n')
    numbers: list[int] = []
    for _ in range(3):
        process = await machine.started()
        for _ in range(2):
            numbers.append((await answered(machine, port, request("POST", "/number"), process)).json()["number"])
        process.kill()
        await process.wait()

    assert numbers == [1, 2, 3, 4, 5, 6]


async def test_a_replay_leaves_out_a_sink_that_counts(machine: Equipped) -> None:
    """Its totals stand, and the message says why."""
    machine.configure(machine.archive_sink(), "[sinks.tally]\n")
    status, said = await machine.said("replay", "--to", "tally", str(machine.home))

    assert (status, "--to tally: this sink counts" in said, "Traceback" in said) == (2, True, False)


async def test_a_check_says_where_a_sink_would_listen(machine: Equipped) -> None:
    """Beside the receivers."""
    machine.configure('[sinks.tally]\nlisten = "127.0.0.1:9"\ntoken = "t"\n')
    status, said = await machine.said("check")

    assert (status, "listen   sinks.tally: at 127.0.0.1:9, with a token" in said) == (0, True)
