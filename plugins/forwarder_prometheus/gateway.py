"""The Pushgateway's own ways: how a group is addressed, and what its refusals say."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode

# 1.5 and later: `collected metric "NAME" { label:… } is not a COUNTER`, `gathered metric family NAME has type …`.
_NAMED = re.compile(r'(?:collected metric "?|metric family "?)([a-zA-Z_:][a-zA-Z0-9_:]*)')
_INCONSISTENT = "pushed metrics are invalid or inconsistent with existing metrics: "
_SERIES = re.compile(r" \{(?:.*\}|.*)")  # to the last brace of the line, or its end where the answer is cut there
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


def group_path(job: str, instance: str) -> str:
    """Below the gateway's address. What a path cannot hold, a slash or nothing at all, goes in base64."""
    return f"/metrics/{_part('job', job)}/{_part('instance', instance)}"


def _part(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value) and value not in (".", ".."):
        return f"{name}/{value}"
    encoded = urlsafe_b64encode(value.encode()).decode().rstrip("=")
    return f"{name}@base64/{encoded or '='}"


def said(answer: str) -> str:
    """A refusal without what all begin with, and without labels and values, which hide the reason behind them."""
    return _SERIES.sub(" …", answer.removeprefix(_INCONSISTENT)).strip()


def disputed(answer: str) -> set[str]:
    """The metrics that the gateway holds in another type from somebody else: the rest would be taken."""
    return set(_NAMED.findall(said(answer)))  # a label could name any other
