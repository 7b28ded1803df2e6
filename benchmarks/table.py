"""One table a case, printed as it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print with the columns aligned: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    print(f"\n## {title}\n")
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        print("| " + " | ".join([row[0].ljust(widths[0]), *cells[1:]]) + " |", flush=True)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median and, behind it, the least and the greatest: `212 (198-230)`."""
    middle, least, most = (f"{one:,.{digits}f}" for one in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({least}-{most})"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
