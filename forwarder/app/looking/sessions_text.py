"""The sessions as a table for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from forwarder.app.looking.sessions import state_of
from forwarder.journal import SessionRow

NARROWEST = 8  # cells that are left of a column that is cut; lines of a still smaller terminal wrap
GAP = "  "

Column = Callable[[SessionRow, float], str]


def table_lines(rows: Sequence[SessionRow], *, now: datetime, width: int) -> Iterator[str]:
    """A header and a line each, `width` cells at most: columns that do not fit are left out, then cells are cut."""
    moment = now.timestamp()
    columns = [[title, *(neutral(cell(row, moment)) for row in rows)] for title, cell in COLUMNS.items()]
    for cells in zip(*_fitted(columns, width), strict=True):
        yield GAP.join(cells).rstrip()


def age(seconds: float) -> str:
    """``40s``, ``3m``, ``2h``, ``4d``; hours up to two days."""
    for unit, size, least in (("d", 86400, 172800), ("h", 3600, 3600), ("m", 60, 60)):
        if seconds >= least:
            return f"{seconds // size:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def _since(row: SessionRow, now: float) -> str:
    return "-" if row.since is None else age(now - row.since)


def _session(row: SessionRow, now: float) -> str:
    """As the feed of ``forwarder run`` names it: ids made from a clock differ at their end."""
    project = re.split(r"[/\\]", (row.cwd or "").rstrip("/\\"))[-1]
    actor = f"↳{row.actor[-4:]}" if row.actor and row.actor != row.session_id else ""
    return f"{project[:20]}·{row.session_id[-4:]}{actor}"


COLUMNS: dict[str, Column] = {
    "STATE": lambda row, now: state_of(row),
    "SINCE": _since,
    "LAST": lambda row, now: age(now - row.last),
    "AGENT": lambda row, now: row.agent,
    "SESSION": _session,
    "BRANCH": lambda row, now: row.git_branch or "-",
    "MODEL": lambda row, now: row.model or "-",
    "ID": lambda row, now: row.session_id,
}
_CUT = 4  # index of the column that is cut where even without the ones behind it the line is too long


def _fitted(columns: list[list[str]], width: int) -> list[list[str]]:
    """The columns, padded, without those at the end for which there is no room."""
    from rich.cells import cell_len, set_cell_size

    widths = [max(map(cell_len, cells)) for cells in columns]
    while len(widths) > _CUT + 1 and sum(widths) + len(GAP) * (len(widths) - 1) > width:
        widths.pop()
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    if excess > 0:
        widths[_CUT] = max(NARROWEST, widths[_CUT] - excess)
    return [
        [set_cell_size(cell, size) if cell_len(cell) <= size else set_cell_size(cell, size - 1) + "…" for cell in cells]
        for cells, size in zip(columns, widths, strict=False)
    ]


def neutral(text: str) -> str:
    """On one line, with every character that a terminal would obey shown as U+FFFD."""
    return "".join(one if one.isprintable() else "\ufffd" for one in " ".join(text.split()))
