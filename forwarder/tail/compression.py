"""Plain bytes out of plain, gzip and zstd files, told apart by their first bytes and not by their names."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from forwarder.errors import MissingExtra

COMPRESSED_SUFFIXES = (".zst", ".gz")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"


def plain_name(path: Path) -> str:
    """The file's name without a suffix of compression: what a file and its compressed form have in common."""
    return path.stem if path.suffix in COMPRESSED_SUFFIXES else path.name


def plain_sibling(path: Path) -> Path | None:
    """The path that a compressed file at `path` would have uncompressed; None for a path of a plain file."""
    return path.with_suffix("") if path.suffix in COMPRESSED_SUFFIXES else None


def plain_bytes(file: BinaryIO, path: Path) -> tuple[BinaryIO, bool]:
    """A file object over the decompressed bytes, and whether `file` was compressed.

    Raises `MissingExtra` for zstd without the extra. Reading a compressed file that ends too early raises `EOFError`.
    """
    magic = file.read(4)
    file.seek(0)
    if magic == _ZSTD_MAGIC:
        return _zstd(file, path), True
    if magic[:2] == _GZIP_MAGIC:
        return cast("BinaryIO", gzip.GzipFile(fileobj=file)), True
    return file, False


def _zstd(file: BinaryIO, path: Path) -> BinaryIO:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise MissingExtra(f"reading {path.name}", extra="zstd") from error
    return cast("BinaryIO", zstd.ZstdFile(file))


def _damaged_errors() -> tuple[type[Exception], ...]:
    errors: list[type[Exception]] = [EOFError, zlib.error, gzip.BadGzipFile]
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        return tuple(errors)
    return (*errors, zstd.ZstdError)


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Turn what the decompressors raise for a file that is cut off or broken into an `OSError` that names it."""
    try:
        yield
    except _damaged_errors() as error:
        raise OSError(f"{path} is damaged or cut off: {error}") from error
