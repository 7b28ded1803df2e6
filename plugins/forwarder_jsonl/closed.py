"""Closed segments: their names, their compression, and what a crash left of it."""

from __future__ import annotations

import fcntl
import os
import re
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from glob import iglob
from pathlib import Path
from typing import Literal, Protocol

import structlog

from forwarder import MissingExtra
from forwarder_jsonl.segment import HEAD, is_archive_head, sync_folder

Compression = Literal["none", "gzip", "zstd"]
SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
CHUNK = 1 << 20

_CLOSED = re.compile(r".+\.\d{8}T\d{6}\.\d{6}Z(\.[^.]*)?")
_log = structlog.get_logger("forwarder_jsonl")


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def closed_name(path: str, now: datetime, *, suffix: str) -> str:
    """``a.jsonl`` closed at `now` is ``a.20261121T031500.123456Z.jsonl``: names sort by time and never come twice."""
    stem = path.removesuffix(suffix)
    while True:
        name = f"{stem}.{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}{suffix}"
        if not any(os.path.exists(name + packed) for packed in ("", *SUFFIXES.values())):
            return name
        now += timedelta(microseconds=1)  # the clock was set back


def is_closed(path: str) -> bool:
    """Whether the name is that of a closed segment, not compressed."""
    return _CLOSED.fullmatch(os.path.basename(path)) is not None


def open_segments(pattern: str) -> Iterator[str]:
    """The files of the archive that may still be appended to. `pattern` is the template's glob."""
    return (path for path in iglob(pattern) if not is_closed(path) and _is_ours(path))


def recover(pattern: str, *, suffix: str) -> list[str]:
    """Finish what a crash interrupted; returns the closed segments that are not compressed.

    A segment that lies there both plain and compressed was compressed whole (the rename comes after the sync): the
    plain one goes. A temporary file was not, and goes as well.
    """
    plain: list[str] = []
    for path in set(iglob(f"{pattern.removesuffix(suffix)}.*Z{suffix}")):
        if is_closed(path) and _is_ours(path):
            with _locked(path) as is_free:
                if is_free and not _remove_leftovers(path):
                    plain.append(path)
    return sorted(plain)


def _remove_leftovers(path: str) -> bool:
    compressed = [path + suffix for suffix in SUFFIXES.values() if os.path.exists(path + suffix)]
    for suffix in SUFFIXES.values():
        with suppress(FileNotFoundError):
            os.unlink(_temporary(path + suffix))
    if compressed:
        os.unlink(path)
    return bool(compressed)


def compressor(compress: Compression) -> Callable[[], _Compressor]:
    """A maker of compressors. Raises `MissingExtra` where zstd has no library."""
    if compress == "gzip":
        return lambda: zlib.compressobj(6, wbits=31)
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise MissingExtra('compress = "zstd"', extra="zstd") from error
    return lambda: zstd.ZstdCompressor(3)


def compress_segment(path: str, *, compress: Compression, is_stopping: Callable[[], bool]) -> None:
    """Replace a closed segment by its compressed form: write beside, sync, rename, then remove the plain one.

    Given up without a trace when `is_stopping`. An `OSError` is logged and costs nothing: the plain segment stays and
    is tried again at the next start.
    """
    target = path + SUFFIXES[compress]
    try:
        with _locked(path) as is_free:
            if is_free and _write(path, _temporary(target), compress, is_stopping):
                os.rename(_temporary(target), target)
                sync_folder(os.path.dirname(path) or ".")
                os.unlink(path)
    except OSError as error:
        _log.warning("cannot compress, the plain file stays", file=path, reason=error.strerror)
        with suppress(OSError):
            os.unlink(_temporary(target))


def _write(path: str, temporary: str, compress: Compression, is_stopping: Callable[[], bool]) -> bool:
    packer = compressor(compress)()
    with open(path, "rb") as plain, open(temporary, "wb", opener=_owner_only) as packed:
        while (chunk := plain.read(CHUNK)) and not is_stopping():
            packed.write(packer.compress(chunk))
        packed.write(packer.flush())
        packed.flush()
        os.fsync(packed.fileno())
    if chunk:
        os.unlink(temporary)
    return not chunk


def _temporary(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.tmp")


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_ours(path: str) -> bool:
    """A template may match what others put there: only a file that begins like an event is ever touched."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(len(HEAD))
    except OSError:
        return False
    return bool(head) and is_archive_head(head)


@contextmanager
def _locked(path: str) -> Generator[bool]:
    """Whether the file is free: another process may be compressing the same archive."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield os.path.exists(path)
    finally:
        os.close(fd)
