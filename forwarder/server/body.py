"""Bodies: read within limits of size and time, and unpacked within the same limit."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

from forwarder.errors import Refused
from forwarder.server.asgi import Receive

DISCARDED_BYTES = 16 << 20  # of a body that is too large: who is still writing would not see the answer
PACKED_IN_THREAD = 64 << 10  # bytes that unpack to what would hold up the event loop
WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's name for the formats


class Gone(Exception):
    """The other side has left before its request was complete."""


async def read_body(receive: Receive, headers: Mapping[str, str], *, max_bytes: int) -> bytes:
    """The body as it was meant. Raises `Refused` and `Gone`."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in WINDOWS:
        raise Refused(f'cannot read content encoding "{encoding}": use gzip, deflate or none', status=415)
    body = await _whole(receive, headers, max_bytes)
    if encoding == "identity":
        return body
    if len(body) < PACKED_IN_THREAD:
        return unpacked(body, encoding, max_bytes=max_bytes)
    return await asyncio.to_thread(unpacked, body, encoding, max_bytes=max_bytes)


async def _whole(receive: Receive, headers: Mapping[str, str], max_bytes: int) -> bytes:
    declared = int(headers.get("content-length", "0"))
    if declared > max_bytes and (declared > DISCARDED_BYTES or "expect" in headers):
        raise _too_large(max_bytes, is_read=False)
    parts: list[bytes] = []
    size, is_more = 0, True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part, is_more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size <= max_bytes:
            parts.append(part)
        elif size > DISCARDED_BYTES and is_more:
            raise _too_large(max_bytes, is_read=False)
        else:
            parts.clear()
    if size > max_bytes:
        raise _too_large(max_bytes, is_read=True)
    return b"".join(parts)


def unpacked(body: bytes, encoding: str, *, max_bytes: int) -> bytes:
    """The body's content, of which never more than `max_bytes` and one are held. Raises `Refused`."""
    inflater = zlib.decompressobj(WINDOWS[encoding])
    try:
        content = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise Refused(f"the body is not {encoding}: {error}") from error
    if len(content) > max_bytes:
        raise _too_large(max_bytes, is_read=True)
    if not inflater.eof or inflater.unused_data:
        raise Refused(f"the body is not {encoding}: it ends too {'late' if inflater.eof else 'early'}")
    return content


def _too_large(max_bytes: int, *, is_read: bool) -> Refused:
    headers = {} if is_read else {"Connection": "close"}
    return Refused(f"the body has more than {max_bytes} bytes: send smaller ones", status=413, headers=headers)
