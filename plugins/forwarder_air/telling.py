"""What all who tell the events of a post have before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple, TypedDict

from forwarder import Event, Key, Session
from forwarder_air.posts import Post
from forwarder_air.sessions import Reading
from forwarder_air.told import Told

UNKNOWN = "unknown"  # AIr's own word for a name that was not told


class Envelope(TypedDict):
    """What all events of a post share."""

    time: datetime
    time_inferred: bool
    session: Session


class Place(Envelope):
    """The same with the key of the post itself."""

    key: Key


class Telling(NamedTuple):
    """A post, what is left of it to tell, and the sessions."""

    post: Post
    told: Told
    reading: Reading

    @property
    def envelope(self) -> Envelope:
        session = self.reading.session(self.post)
        return {"time": self.post.time, "time_inferred": not self.post.has_time, "session": session}

    @property
    def place(self) -> Place:
        return {**self.envelope, "key": (self.post.session_id, self.post.id)}


Teller = Callable[[Telling], Iterator[Event]]
