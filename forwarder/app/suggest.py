"""What the user may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``, did you mean "timeout_seconds"?``, or the known words when none is near; empty when there are none."""
    words = sorted(known)
    if near := get_close_matches(word, words, n=1, cutoff=0.6):
        return f', did you mean "{near[0]}"?'
    return f"; known are {', '.join(words)}" if words else ""
