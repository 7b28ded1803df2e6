"""What came of the demonstration, read from its journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from forwarder.app.looking.redact_file import find_secrets
from forwarder.journal import connect_to_read
from forwarder.pipeline.redaction import Redactor

Event = dict[str, Any]


def summary_lines(state_dir: Path, recordings: Iterable[Path], redactor: Redactor) -> Iterator[str]:
    """Sessions, tokens and their cost, tool calls by outcome, and what the redaction rules hid."""
    events = list(_events(state_dir))
    sessions = {one["session_id"] for one in events}
    spawned = sum("parent_session_id" in one for one in events if one["type"] == "session_start")
    usage = [one for one in events if one["type"] == "token_usage"]
    ends = Counter(one["outcome"] for one in events if one["type"] == "tool_call_end")
    yield ""
    yield f"{len(events)} events of {len(sessions)} sessions, {spawned} of them a sub-agent's"
    yield f"tokens      {_sum(usage, 'input_tokens'):,} in ({_sum(usage, 'cached_input_tokens'):,} cached), " + (
        f"{_sum(usage, 'output_tokens'):,} out{_cost(usage)}"
    )
    yield f"tool calls  {ends.total()}: {', '.join(f'{count} {outcome}' for outcome, count in ends.most_common())}"
    yield f"redacted    {_hidden(recordings, redactor)}"
    yield "Everything ran in a scratch folder, which is gone now. For your own sessions: forwarder run"


def _events(state_dir: Path) -> Iterator[Event]:
    decode = msgspec.json.Decoder(Event).decode
    with closing(connect_to_read(state_dir)) as connection:
        for (body,) in connection.execute("SELECT body FROM batches ORDER BY first"):
            yield from map(decode, body.split(b"\n"))


def _hidden(recordings: Iterable[Path], redactor: Redactor) -> str:
    found: Counter[str] = Counter()
    for path in recordings:
        with path.open("rb") as file:
            found.update(rule for rule, _ in find_secrets(file, redactor))
    return (
        f"{found.total()} secrets in the files: {', '.join(f'{count} {rule}' for rule, count in found.most_common())}"
    )


def _sum(usage: list[Event], field: str) -> int:
    return sum(one[field] for one in usage)


def _cost(usage: list[Event]) -> str:
    costs = [one["cost_usd"] for one in usage if "cost_usd" in one]
    return f", {sum(costs):.4f} USD" if costs else ", no prices: pip install 'agent-forwarder[cost]'"
