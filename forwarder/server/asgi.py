"""The server's own terms, in ours."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from forwarder.errors import Refused
from forwarder.receiver import Answer, Listening, Request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def refused(receiver: Listening | None, refusal: Refused) -> Answer:
    """The answer to what is not taken, in the receiver's words, or in plain ones where no receiver is asked."""
    answer = Answer.json({"error": str(refusal)}, refusal.status) if receiver is None else receiver.refuse(refusal)
    headers = {**refusal.headers, **answer.headers}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(refusal.retry_after))
    return replace(answer, headers=headers)


def start_of(answer: Answer, more: Mapping[str, str]) -> Message:
    """How an answer begins, with more headers than its own."""
    headers = {**answer.headers, **more}
    if isinstance(answer.body, bytes) and answer.status not in (204, 304):
        headers["Content-Length"] = str(len(answer.body))
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": answer.status, "headers": encoded}


def request_of(scope: Message) -> Request:
    """What is asked, before the body has come."""
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    return Request(
        method=scope.get("method", "GET"),
        path=scope["path"],
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs},
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=1000)),
        client=scope["client"][0] if scope["client"] else "",
        time=datetime.now(UTC),
    )
