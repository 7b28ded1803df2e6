"""How the process is asked to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from forwarder.app.exits import Exit
from forwarder.app.stopping import Stop, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_asks_to_stop(number: signal.Signals) -> None:
    """In order, and with its name for the log."""
    with stop_on_signals() as stop:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await stop.wait()

    assert (stop.is_asked, stop.is_by_signal, stop.reason) == (True, True, number.name)


def test_the_first_reason_stands() -> None:
    """A signal that comes later is still known to have come."""
    stop = Stop()
    stop.ask("sink a is gone")
    stop.ask("SIGINT", is_by_signal=True)

    assert (stop.reason, stop.is_by_signal) == ("sink a is gone", True)


STUCK = """
import asyncio, time
from forwarder.app.stopping import stop_on_signals
async def main():
    with stop_on_signals() as stop:
        print("ready", flush=True)
        await stop.wait()
        print("asked", flush=True)
        await asyncio.to_thread(time.sleep, 600)
asyncio.run(main())
"""


@pytest.mark.slow
def test_the_second_signal_ends_a_process_whose_thread_hangs() -> None:
    """At once, with its own exit status and a word about what was not delivered."""
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert process.returncode == Exit.INTERRUPTED
    assert errors == "forwarder: stopped at once; what was not delivered is in the journal\n"
