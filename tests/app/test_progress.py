"""The progress bar of a replay."""

from __future__ import annotations

import os
import pty
import sys
from contextlib import suppress

import pytest

from forwarder.app.progress import progress_bar, words
from forwarder.app.request import Progress

HALF = Progress(files_total=26, files_done=3, bytes_total=2 << 30, bytes_done=3 << 19, events=4711)


def test_progress_names_files_bytes_and_events() -> None:
    """What a person who waits wants to know."""
    assert words(HALF) == "3/26 files, 1.5 MiB of 2 GiB, 4711 events"


def test_without_a_terminal_progress_is_kept_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """In a log file a bar would be noise."""
    with progress_bar(has_data_on_stdout=False) as tally:
        tally(HALF)

    assert tally.progress is HALF
    assert capfd.readouterr() == ("", "")


def _everything(main: int) -> str:
    """What was written to a terminal whose other end is closed."""
    pieces: list[bytes] = []
    with os.fdopen(main, "rb", buffering=0) as file, suppress(OSError):  # EIO is how Linux tells its end
        while piece := file.read(65536):
            pieces.append(piece)
    return b"".join(pieces).decode()


def test_on_a_terminal_the_bar_moves_and_stdout_stays_clean(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The bar is on stderr: the events on stdout are for the next program."""
    main, terminal = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with progress_bar(has_data_on_stdout=True) as tally:
            tally(HALF)
    shown = _everything(main)

    assert "3/26 files" in shown
    assert capfd.readouterr().out == ""
