"""The sink `jsonl`: options, threads and the words for what went wrong."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event

import structlog

from forwarder import Batch, Sink, Unavailable
from forwarder_jsonl.archive import Archive, Fsync, Rotation
from forwarder_jsonl.closed import Compression, compress_segment, compressor, recover
from forwarder_jsonl.segment import NotOurs
from forwarder_jsonl.sizes import parse_age, parse_size
from forwarder_jsonl.template import PathTemplate

_log = structlog.get_logger("forwarder_jsonl")

ADVICE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "let the forwarder's user write there",
    errno.EPERM: "let the forwarder's user write there",
    errno.EIO: "the disk may be failing",
}


@dataclass
class Jsonl(Sink):
    """Options: `path`, a template with {agent} {date} {session} {type} {project} {host}; `rotate_bytes` and
    `rotate_age`, at which a segment is closed (0: never); `compress` for closed segments; `fsync`, when an
    acknowledged batch is made safe against a power cut (a killed process never loses one).
    """

    path: str = "~/agent-archive/{agent}/{date}.jsonl"
    rotate_bytes: int | str = "256MiB"
    rotate_age: int | str = "24h"
    compress: Compression = "none"
    fsync: Fsync = "batch"
    _template: PathTemplate = field(init=False, repr=False)
    _rotation: Rotation = field(init=False, repr=False)
    _archive: Archive = field(init=False, repr=False)
    _writer: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._template = PathTemplate(self.path)
        self._rotation = Rotation(
            max_bytes=parse_size(self.rotate_bytes, key="rotate_bytes"),
            age_seconds=parse_age(self.rotate_age, key="rotate_age"),
            idle_too=self.compress != "none",
        )
        if self.compress != "none":
            compressor(self.compress)  # a missing library is said now, not at the first rotation

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Finish what a crash left, then write; at the end wait for a write under way and give compression up."""
        loop = asyncio.get_running_loop()
        stopping = Event()
        packer = ThreadPoolExecutor(1, "jsonl-compress")
        self._writer = ThreadPoolExecutor(1, "jsonl-write")

        def compress(path: str) -> None:
            if self.compress != "none":
                packer.submit(compress_segment, path, compress=self.compress, is_stopping=stopping.is_set)

        self._archive = Archive(self._template, rotation=self._rotation, fsync=self.fsync, on_closed=compress)
        try:
            for closed in await loop.run_in_executor(self._writer, self._recover):
                compress(closed)
            yield
        finally:
            stopping.set()
            self._writer.submit(self._close)
            for pool in (self._writer, packer):
                await asyncio.to_thread(partial(pool.shutdown, cancel_futures=pool is packer))

    async def send(self, batch: Batch) -> None:
        """Append the batch. A cancelled call still finishes in its thread; the batch is known when it comes again."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._archive.write, batch)
        except NotOurs as error:
            raise Unavailable(f"cannot write {error.filename}: {error.strerror}", is_refused=True) from error
        except OSError as error:
            advice = ADVICE.get(error.errno or 0, "the batch is tried again")
            raise Unavailable(f"cannot write {error.filename or self.path}: {error.strerror}; {advice}") from error

    def _recover(self) -> list[str]:
        try:
            return recover(self._template.glob(), suffix=self._template.suffix)
        except OSError as error:
            _log.warning("cannot tidy the archive", file=error.filename, reason=error.strerror)
            return []

    def _close(self) -> None:
        try:
            self._archive.close()
        except OSError as error:
            _log.error("cannot sync the archive at its end", path=self.path, reason=error.strerror)
