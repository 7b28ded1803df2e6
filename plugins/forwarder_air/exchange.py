"""Requests to AIr and what its answers mean: the verdict is in the body, whatever the status says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from forwarder import Unavailable
from forwarder.http import Client, HttpAnswer, failure

BATCH = "/api/ingest/batch"
AT_FAULT = {400, 413, 415, 422}  # nothing of the request was stored, and nothing of it ever will be as it is
MAX_LOOKUP_BYTES = 1 << 28  # what AIr holds of one session, which is answered whole: half a million events
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Stored:
    """All of it is there."""


@dataclass(frozen=True)
class Refused:
    """None of it is there: too large, not in a form that AIr reads, or one element makes all of it unreadable."""

    said: str


@dataclass(frozen=True)
class Failed:
    """Everything up to some element is there, and nothing behind it."""

    said: str


Verdict = Stored | Refused | Failed


class _Body(msgspec.Struct):
    ok: bool
    count: int | None = None
    error: str = ""


class _Row(msgspec.Struct):
    id: object = None


class Air:
    """One server. `secrets` are taken out of what it says."""

    def __init__(self, client: Client, *, place: str, secrets: Collection[str]) -> None:
        self._client = client
        self._place = place.rstrip("/")
        self._secrets = secrets

    async def post(self, bodies: Sequence[bytes]) -> Verdict:
        """The events as one batch. Raises `NotSent` when AIr has none of them, `Unavailable` when it may have."""
        content = b"[" + b",".join(bodies) + b"]"
        answer = (await self._client.request("POST", BATCH, body=content, headers=JSON)).without(self._secrets)
        if answer.status in AT_FAULT:
            return Refused(str(failure(answer, place=f"{self._place}{BATCH}")))
        body = self._body(answer)
        if not body.ok:
            return Failed(f"{self._place}{BATCH} answered ok = false: {body.error}")
        if body.count != len(bodies):
            raise Unavailable(f"{self._place}{BATCH} took {body.count} of {len(bodies)} events without a word why")
        return Stored()

    async def ids(self, session: str) -> set[str]:
        """The ids of all events that AIr has of a session; none for a session that it does not know."""
        path = f"/api/sessions/{quote(session, safe='')}/events"
        # Without a limit of -1 an AIr that has one by default would hide what is older.
        answer = await self._client.request("GET", f"{path}?limit=-1", max_answer_bytes=MAX_LOOKUP_BYTES)
        place = f"{self._place}{path}"
        if not 200 <= answer.status < 300:
            raise _unavailable(answer.without(self._secrets), place)
        try:
            return {str(row.id) for row in msgspec.json.decode(answer.text, type=list[_Row])}
        except msgspec.DecodeError as error:
            raise Unavailable(f"{place} answered no list of events: {error}; is url an AIr server's?") from error

    def _body(self, answer: HttpAnswer) -> _Body:
        place = f"{self._place}{BATCH}"
        if not 200 <= answer.status < 300:
            raise _unavailable(answer, place)
        try:
            return msgspec.json.decode(answer.text, type=_Body)
        except msgspec.DecodeError as error:
            words = "; that is nothing that AIr answers: set url to an AIr server"
            raise Unavailable(f"{failure(answer, place=place)}{words}", is_refused=True) from error


def _unavailable(answer: HttpAnswer, place: str) -> Unavailable:
    error = failure(answer, place=place)
    return error if isinstance(error, Unavailable) else Unavailable(str(error))
