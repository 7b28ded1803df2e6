"""What a posted event tells, in events of the common schema: all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from forwarder import Custom, Event, UnknownRecordSeen
from forwarder_air import lifecycle, programs, work
from forwarder_air.posts import COMMON, Post
from forwarder_air.sessions import AIR, Reading
from forwarder_air.telling import Teller, Telling
from forwarder_air.told import Told, as_json

TELLERS: Mapping[str, Teller] = {**lifecycle.TELLERS, **work.TELLERS, **programs.TELLERS}
TYPES = frozenset({*TELLERS, "agent_end"})
"""AIr's 26. The end of an agent's answer has only its number of messages to tell, so it is kept as it is."""


def facts(posts: list[Post], reading: Reading) -> Iterator[Event]:
    """The events of a request, in order. Whose a session is counts from its start on, wherever that stands in it."""
    for post in posts:
        reading.learn(post)
    return chain.from_iterable(_facts(post, reading) for post in posts)


def _facts(post: Post, reading: Reading) -> Iterator[Event]:
    """What a type of event has no field for follows as a `custom` event under the type's name."""
    own = {name: value for name, value in post.fields.items() if name not in COMMON}
    telling = Telling(post, Told(own), reading)
    tell = TELLERS.get(post.type)
    events = list(tell(telling)) if tell else []
    yield from events
    rest = telling.told.rest() if events else Told(own).rest()
    if rest or not events:
        yield Custom(
            key=(post.session_id, post.id, "rest"),
            provider=AIR,
            event_name=post.type,
            data=as_json(rest) if rest else None,
            **telling.envelope,
        )
    if post.type not in TYPES:
        key = (post.session_id, "type", post.type)
        yield UnknownRecordSeen(key=key, record_type=post.type, count=1, **telling.envelope)
