"""The progress bar of a replay: files, bytes, events and the time that is left, on stderr when it is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from forwarder.app.request import Progress
from forwarder.app.units import show_bytes


class Tally:
    """Keeps how far a replay has come; `show` is called with it each time."""

    def __init__(self, show: Callable[[Progress], None] | None = None) -> None:
        self.progress = Progress()
        self._show = show

    def __call__(self, progress: Progress) -> None:
        self.progress = progress
        if self._show:
            self._show(progress)


@contextmanager
def progress_bar(*, has_data_on_stdout: bool) -> Generator[Tally]:
    """A tally with a bar, or without one where it would only disturb."""
    if not sys.stderr.isatty() or (has_data_on_stdout and sys.stdout.isatty()):
        yield Tally()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), redirect_stdout=False, redirect_stderr=True) as bar:
        task = bar.add_task(words(Progress()), total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, completed=progress.bytes_done, total=progress.bytes_total or None, description=words(progress)
            )

        yield Tally(show)


def words(progress: Progress) -> str:
    """``3/26 files, 1.5 MiB of 2 GiB, 4711 events``"""
    return (
        f"{progress.files_done}/{progress.files_total} files, {show_bytes(progress.bytes_done)} of "
        f"{show_bytes(progress.bytes_total)}, {progress.events} events"
    )
