"""The body of a request: how the events are joined and compressed."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Literal

from forwarder import Batch, MissingExtra

Format = Literal["ndjson", "json"]
Compression = Literal["none", "gzip", "zstd"]
GZIP = 31  # zlib's window bits that mean a gzip header and trailer
CONTENT_TYPES = {"ndjson": "application/x-ndjson", "json": "application/json"}


def join(batch: Batch, body: Format) -> bytes:
    """The events as they were encoded, one a line or as one array."""
    return batch.jsonl() if body == "ndjson" else batch.json_array()


def compressor(compress: Literal["gzip", "zstd"]) -> Callable[[bytes], bytes]:
    """A function that any thread may call. Raises `MissingExtra` where zstd has no library."""
    return _gzip() if compress == "gzip" else _zstd()


def _gzip() -> Callable[[bytes], bytes]:
    """Level 1: a body is compressed for one journey. ISA-L is several times faster than zlib where it is installed."""
    try:
        pack: Callable[[bytes, int, int], bytes] = import_module("isal.isal_zlib").compress
    except ImportError:
        pack = zlib.compress
    return lambda data: pack(data, 1, GZIP)


def _zstd() -> Callable[[bytes], bytes]:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise MissingExtra('compress = "zstd"', extra="zstd") from error
    return lambda data: zstd.compress(data, 1)
