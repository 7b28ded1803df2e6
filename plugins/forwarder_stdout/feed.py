"""The live feed: one line an event, never wider than the terminal, whatever the agents wrote."""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING

from forwarder import Batch
from forwarder_stdout.records import Shown, decode
from forwarder_stdout.words import Tone, say

if TYPE_CHECKING:
    from rich.text import Text

STYLES: dict[Tone, str] = {
    "quiet": "dim",
    "plain": "",
    "strong": "bold",
    "good": "green",
    "money": "magenta",
    "waiting": "yellow",
    "bad": "bold red",
}
WIDTH_WITHOUT_TERMINAL = 160
MAX_CHARS = 2_000  # wider than any terminal; what a terminal cannot show need not be measured

# C0 and C1 controls, and what hides text or turns its direction: on a terminal these act instead of showing.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
)


class Feed:
    """Renders batches for the terminal behind `fd`, or without colours where it is none. Needs rich."""

    def __init__(self, fd: int) -> None:
        from rich.console import Console

        self._fd = fd
        self._screen = io.StringIO()
        is_terminal = os.isatty(fd)
        self._console = Console(file=self._screen, force_terminal=is_terminal, highlight=False, markup=False)

    def render(self, batch: Batch) -> bytes:
        """One line for each event, with the control sequences that the terminal understands."""
        width = self._width()
        self._console.width = width
        for line in batch.lines:
            text = self._line(decode(line))
            text.truncate(width, overflow="ellipsis")
            self._console.print(text, soft_wrap=True)
        rendered = self._screen.getvalue()
        self._screen.seek(0)
        self._screen.truncate()
        return rendered.encode()

    def _width(self) -> int:
        try:
            columns = os.get_terminal_size(self._fd).columns
        except OSError:
            return WIDTH_WITHOUT_TERMINAL
        return max(columns - 1, 1) if columns else 80  # the last column is left free: some terminals wrap after it

    def _line(self, event: Shown) -> Text:
        from rich.text import Text

        said = say(event)
        style = STYLES[said.tone]
        return Text.assemble(
            (f"{event.time.astimezone():%H:%M:%S} ", "dim"),
            (f"{neutral(event.agent):<11} ", "cyan"),
            (f"{neutral(_place(event)):<20.30} ", "blue"),
            (f"{said.mark} ", style),
            (neutral(said.words), style),
        )


def neutral(text: str) -> str:
    """`text` on one line, with every character that a terminal would obey shown as U+FFFD."""
    return _CONTROLS.sub("\ufffd", " ".join(text[:MAX_CHARS].split()))


def _place(event: Shown) -> str:
    project = re.split(r"[/\\]", event.cwd.rstrip("/\\"))[-1]
    actor = f"↳{event.actor[-4:]}" if event.actor else ""
    return f"{project[:20]}·{event.session_id[-4:]}{actor}"  # ids made from a clock differ at their end
