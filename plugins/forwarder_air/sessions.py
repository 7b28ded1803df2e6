"""What AIr's clients say once of a session, in `session_start`: whose it is, and where. Other events rely on it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b

import msgspec

from forwarder import Session
from forwarder_air.posts import Post
from forwarder_air.told import Told

AIR = "air"  # whose sessions are of which nobody said it, and what stands for the agent in the ids of events
DEFAULT_AGENT = "pi"  # AIr's own: its first collector, that of pi, did not say it
MAX_SESSIONS = 10_000  # some 2 MB; the one that was quiet for the longest is forgotten

_NAME = re.compile(r"[\w.:/@+-]{1,100}")


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """`model` as of `model_time`, seconds since 1970; `cwd` is not kept over a restart: only some events rely on it."""

    agent: str = ""
    cwd: str = ""
    model: str = ""
    model_time: float = 0.0

    def note(self, clean: Callable[[str], str]) -> bytes:
        """`clean` makes a name such as may be noted."""
        return msgspec.json.encode(Known(agent=clean(self.agent), model=clean(self.model), model_time=self.model_time))


class Sessions:
    """All of them, by a hash of their id, which comes from outside."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._noted: dict[str, bytes] = {}

    def recall(self, notes: Mapping[str, bytes]) -> None:
        """Begin with these."""
        self._noted = dict(notes)
        self._known = OrderedDict((name, msgspec.json.decode(note, type=Known)) for name, note in notes.items())

    def get(self, name: str) -> Known:
        return self._known.get(name, Known())

    def notes(self, changed: Mapping[str, Known], clean: Callable[[str], str]) -> dict[str, bytes | None]:
        """What the journal is to remember of a request; nothing of what it knows already."""
        notes: dict[str, bytes | None] = {
            name: note for name, known in changed.items() if (note := known.note(clean)) != self._noted.get(name)
        }
        over = len(self._known.keys() | changed.keys()) - MAX_SESSIONS
        oldest = [name for name in self._known if name not in changed][: max(over, 0)]
        return notes | dict.fromkeys(oldest)

    def keep(self, changed: Mapping[str, Known], notes: Mapping[str, bytes | None]) -> None:
        """The request was taken, and this noted of it."""
        for name, known in changed.items():
            self._known[name] = known
            self._known.move_to_end(name)
        for name, note in notes.items():
            if note is None:
                self._known.pop(name, None)
                self._noted.pop(name, None)
            else:
                self._noted[name] = note


class Reading:
    """The sessions as the events of one request see them; `changed` counts once the request was taken."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._spent: dict[tuple[str, datetime, str | None], Decimal] = {}
        self.changed: dict[str, Known] = {}

    def learn(self, post: Post) -> None:
        """Take note of what events before this one in the same request rely on too."""
        if post.type == "cost":
            told = Told(post.fields)
            if total := told.money("totalCost"):
                self._spent[post.session_id, post.time, told.name("model")] = total
        if post.type == "session_start":
            told = Told(post.fields)
            agent = told.name("agent") or DEFAULT_AGENT
            known = {"agent": agent if _NAME.fullmatch(agent) else AIR, "cwd": told.name("cwd") or ""}
            self._set(post.session_id, msgspec.structs.replace(self._get(post.session_id), **known))

    def session(self, post: Post) -> Session:
        known = self._get(post.session_id)
        return Session(agent=known.agent or AIR, id=post.session_id, cwd=known.cwd or None, namespace=AIR)

    def spent(self, post: Post, model: str | None) -> Decimal | None:
        """The money of a `token_usage` that tells none, from the `cost` event of the same moment: for one of them."""
        return self._spent.pop((post.session_id, post.time, model), None)

    def new_model(self, post: Post, model: str) -> tuple[bool, str | None]:
        """Whether another model answers from this event on, and the one before. What is told late changes nothing."""
        known, at = self._get(post.session_id), _seconds(post.time)
        if at < known.model_time or known.model == model:
            return False, None
        if _NAME.fullmatch(model):
            self._set(post.session_id, msgspec.structs.replace(known, model=model, model_time=at))
        return True, known.model or None

    def _get(self, session_id: str) -> Known:
        name = _hash(session_id)
        return self.changed.get(name) or self._sessions.get(name)

    def _set(self, session_id: str, known: Known) -> None:
        self.changed[_hash(session_id)] = known


def _hash(session_id: str) -> str:
    return blake2b(session_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _seconds(time: datetime) -> float:
    return time.timestamp()
