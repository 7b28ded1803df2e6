"""Refused events that are wanted again, on their way to the senders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forwarder.app.assembly import transform_for
from forwarder.app.config import SinkSettings
from forwarder.delivery import Sender
from forwarder.journal import Journal, StoredLetter
from forwarder.pipeline.redaction import Level, Redactor


class Redelivery:
    """Gives refused events to the senders once more. A sink that is not configured any more may be one day."""

    def __init__(
        self,
        journal: Journal,
        senders: Mapping[str, Sender],
        sinks: Mapping[str, SinkSettings],
        *,
        level: Level,
        redactor: Redactor,
    ) -> None:
        """`level` is the journal's."""
        self._journal = journal
        self._senders = senders
        self._sinks = sinks
        self._level = level
        self._redactor = redactor
        self._given: set[tuple[int, float, int]] = set()

    async def take_up(self, letters: Sequence[StoredLetter]) -> None:
        """Hand those of sinks to their senders, each as its sink would get it today."""
        for stored in letters:
            sink = stored.letter.sink
            if sink is None or sink not in self._senders or self._is_given(stored):
                continue
            line = await self._line(stored, self._sinks[sink])
            if line is None:
                refusal = "its event is not in the journal any more and this sink renames fields: replay its file"
                await self._journal.settle_letter(stored.id, refusal=f"{refusal} ({stored.letter.reason})")
            else:
                self._senders[sink].redeliver(stored.id, line)

    def _is_given(self, stored: StoredLetter) -> bool:
        """A letter is given once for each time it is asked for: it may be delivered already and still in the list."""
        asked = stored.id, stored.letter.time, stored.letter.attempts
        is_given = asked in self._given
        self._given.add(asked)
        return is_given

    async def _line(self, stored: StoredLetter, sink: SinkSettings) -> bytes | None:
        """From the journal if it is there still, else from what was kept, which can be cut again but not renamed."""
        letter, transform = stored.letter, transform_for(sink, self._level, self._redactor)
        line = await self._journal.event(letter.event) if letter.event is not None else None
        if line is None and sink.rename:
            return None
        line = line or letter.body
        return transform(line) if transform else line
