"""Which sessions AIr knows, and what it was told of them: noted in the journal, so that a restart changes nothing.

To forget a session costs little: it is looked up and announced again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct, json
from msgspec.structs import replace

MAX_SESSIONS = 10_000  # about 1 MB of notes; the session that was quiet for the longest is forgotten


class Known(Struct, frozen=True, omit_defaults=True):
    """What AIr was told of a session. `spent` is in USD.

    `is_partial`: an event of it was refused of which AIr may hold a part, so what is there is looked up each time.
    """

    model: str = ""
    provider: str = ""
    spent: Decimal = Decimal(0)
    is_partial: bool = False


class Announced:
    """The sessions by their AIr id. What a batch changes is kept apart until all of it is delivered."""

    def __init__(self, notes: Mapping[str, bytes]) -> None:
        decoder = json.Decoder(Known)
        self._known = OrderedDict((session, decoder.decode(note)) for session, note in notes.items())
        self._draft: dict[str, Known] = {}
        self._changed: dict[str, bytes | None] = {}

    def begin(self) -> None:
        """Forget what an attempt that failed would have changed."""
        self._draft = {}

    def was_known(self, session: str) -> bool:
        """Whether the session was announced by a batch before this one, with nothing of it in doubt."""
        return session in self._known and not self._known[session].is_partial

    def get(self, session: str) -> Known | None:
        """As of the events of this batch so far; None when the session is still to be announced."""
        return self._draft.get(session) or self._known.get(session)

    def set(self, session: str, known: Known) -> None:
        """From this event of the batch on."""
        self._draft[session] = known

    def doubt(self, session: str) -> None:
        """AIr may hold a part of an event of it that was refused: from now on it is looked up."""
        self._draft[session] = replace(self.get(session) or Known(), is_partial=True)

    def commit(self) -> None:
        """The batch is delivered."""
        for session, known in self._draft.items():
            if known != self._known.get(session):
                self._changed[session] = json.encode(known)
            self._known[session] = known
            self._known.move_to_end(session)
        while len(self._known) > MAX_SESSIONS:
            self._changed[self._known.popitem(last=False)[0]] = None
        self._draft = {}

    def changes(self) -> dict[str, bytes | None]:
        """What was changed since the last call, as it is to be noted."""
        changes, self._changed = self._changed, {}
        return changes
