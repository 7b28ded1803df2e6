"""Brings letters to AIr, each once, whatever it answers: what may be there already is looked up before it is sent.

AIr stores an event that comes twice once, but counts it twice; and it takes a batch up to the first event that it
dislikes, without saying which.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Sequence

from forwarder import NotSent, Unavailable
from forwarder_air.exchange import Air, Failed, Refused, Stored
from forwarder_air.letters import Letter, chunks

MAX_BYTES = 1_048_576  # of a request that AIr's server reads; exactly so many still pass
LEAST_BYTES = 1 << 14  # a request is not made smaller than this because the connection broke
GROWTH_BYTES = 1 << 15  # and grows again by so much with each that arrived
MAX_IDS = 200_000  # remembered of sessions that were looked up: about 20 MB


class Courier:
    """One life of the connection. Everything that the process before may have sent is in doubt at first."""

    def __init__(self, air: Air) -> None:
        self._air = air
        self._there: set[str] = set()  # of the batch that is being delivered
        self._refused: dict[str, str] = {}  # the same: ids of our events, and why
        self._behind: dict[str, tuple[Letter, str]] = {}  # by a letter that is tried alone: the one before it, and why
        self._in_doubt: set[str] = set()  # sessions to be looked up before anything of them is sent
        self._known: OrderedDict[str, set[str]] = OrderedDict()  # what AIr has of sessions that were looked up
        self._max_bytes = MAX_BYTES

    async def deliver(self, letters: Sequence[Letter], *, in_doubt: Collection[str]) -> dict[str, str]:
        """Return when every letter is there or refused: the ids of our events that were, and why.

        Letters of the sessions `in_doubt` may be there. Raises `Unavailable` when AIr is away; a second call with the
        same letters goes on.
        """
        repeated = {letter.session for letter in letters if letter.is_repeated}
        self._in_doubt |= (repeated | set(in_doubt)) - self._known.keys()
        work = deque(chunks([one for one in letters if one.id not in self._there], self._max_bytes))
        while work:
            chunk = await self._not_there(work.popleft())
            if chunk:
                work.extendleft(reversed(await self._send(chunk)))
        refused, self._refused = self._refused, {}
        self._forget_the_oldest()
        self._there.clear()
        self._behind.clear()
        return refused

    async def _not_there(self, chunk: list[Letter]) -> list[Letter]:
        """Those that AIr has not; asks it about sessions of which that is in doubt."""
        for session in {one.session for one in chunk} & self._in_doubt:
            self._known[session] = await self._air.ids(session)
            self._known.move_to_end(session)
            self._in_doubt.discard(session)
        known = self._known
        self._there.update(one.id for one in chunk if one.session in known and one.id in known[one.session])
        return [one for one in chunk if one.id not in self._there]

    def _forget_the_oldest(self) -> None:
        while sum(map(len, self._known.values())) > MAX_IDS:
            self._known.popitem(last=False)

    async def _send(self, chunk: list[Letter]) -> list[list[Letter]]:
        """Send once; returns what is to be sent after that."""
        sessions = {one.session for one in chunk}
        self._in_doubt |= sessions  # until there is an answer, also if there is none because of a cancellation
        try:
            verdict = await self._air.post([one.body for one in chunk])
        except NotSent:
            self._in_doubt -= sessions
            raise
        except Unavailable:
            # Some servers cut the connection instead of saying that the request is too large for them.
            self._max_bytes = max(self._max_bytes // 2, LEAST_BYTES)
            raise
        match verdict:
            case Stored():
                self._arrived(chunk)
                return []
            case Refused(said):
                self._in_doubt -= sessions
                return self._split(chunk, said)
            case Failed(said):
                return await self._sorted_out(chunk, said)

    def _arrived(self, chunk: Sequence[Letter]) -> None:
        self._max_bytes = min(self._max_bytes + GROWTH_BYTES, MAX_BYTES)
        for one in chunk:
            self._there.add(one.id)
            self._in_doubt.discard(one.session)
            if one.session in self._known:
                self._known[one.session].add(one.id)
            if one.id in self._behind:  # so AIr had failed at the one before it, which it had stored before it failed
                before, said = self._behind.pop(one.id)
                self._refused[before.event] = f"stored, but not counted: {said}"

    def _split(self, chunk: list[Letter], said: str) -> list[list[Letter]]:
        if len(chunk) > 1:
            middle = len(chunk) // 2
            return [chunk[:middle], chunk[middle:]]
        self._refuse(chunk[0], said)
        return []

    def _refuse(self, letter: Letter, said: str) -> None:
        self._behind.pop(letter.id, None)
        self._refused[letter.event] = said
        self._there.add(letter.id)  # dealt with

    async def _sorted_out(self, chunk: list[Letter], said: str) -> list[list[Letter]]:
        """AIr failed somewhere: the first that is not there is tried alone, unless it can be no other.

        A letter may be stored although AIr failed at it: then the one behind it is not at fault.
        """
        missing = await self._not_there(chunk)
        if not missing:
            self._refuse(chunk[-1], f"stored, but not counted: {said}")
            return []
        first = missing[0]
        if first is chunk[0]:
            self._refuse(first, said)
            return [missing[1:]] if missing[1:] else []
        self._behind[first.id] = chunk[chunk.index(first) - 1], said
        return [[first], missing[1:]] if missing[1:] else [[first]]
