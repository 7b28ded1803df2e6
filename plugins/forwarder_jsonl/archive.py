"""The archive's open segments, and why each event is in them exactly once.

The engine brings a batch again whose fate it does not know: after a crash, an error, a cancelled `send`. Those of its
events that were written stand at the end of the files they belong to, because of two rules:

1. A batch's events for one file are written together, into one segment.
2. A segment is closed only before events of a later batch are written, never behind those of the batch in doubt.

So the first batch after a doubt is compared with the ends of the files, and only what is missing is written.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import structlog

from forwarder import Batch
from forwarder_jsonl.closed import closed_name, open_segments
from forwarder_jsonl.segment import NotOurs, Segment, sync_folder
from forwarder_jsonl.template import PathTemplate

Fsync = Literal["batch", "close", "never"]
MAX_OPEN = 64  # files held open; shells give a process 256 to 1024 of them

_log = structlog.get_logger("forwarder_jsonl")


@dataclass(frozen=True)
class Rotation:
    """When a segment is closed: before it grows beyond `max_bytes`, and when the UTC clock passes a multiple of
    `age_seconds` after its last write. 0 is never. With `idle_too` also the segments that nothing is written to."""

    max_bytes: int
    age_seconds: float
    idle_too: bool

    def period(self, at: float) -> int:
        """The number of the period that `at` lies in: segments never hold what was written in two of them."""
        return int(at // self.age_seconds) if self.age_seconds else 0

    def is_due(self, segment: Segment, more: int) -> bool:
        """Whether `segment` must be closed before `more` bytes are written to it."""
        if not segment.size:
            return False
        if self.max_bytes and segment.size + more > self.max_bytes:
            return True
        return self.period(segment.written_at()) < self.period(time.time())


class Archive:
    """Writes batches; used by one thread at a time. `on_closed` is given each segment that was closed."""

    def __init__(
        self, template: PathTemplate, *, rotation: Rotation, fsync: Fsync, on_closed: Callable[[str], object]
    ) -> None:
        self._template = template
        self._rotation = rotation
        self._fsync = fsync
        self._on_closed = on_closed
        self._open: OrderedDict[str, Segment] = OrderedDict()
        self._in_doubt = True
        self._last_id = ""
        self._swept = -1

    def write(self, batch: Batch) -> None:
        """Write what is missing of `batch`. Raises `OSError`; the batch is then in doubt, and may come again."""
        if not batch.lines or (batch.id == self._last_id and not self._in_doubt):
            return
        if not self._in_doubt:
            self._sweep()
        was_in_doubt, self._in_doubt = self._in_doubt, True
        touched = [self._write(path, part, was_in_doubt) for path, part in self._template.group(batch).items()]
        if self._fsync == "batch":
            self._sync(touched)
        self._in_doubt = False
        self._last_id = batch.id

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._close(self._open.popitem()[1])

    def _write(self, path: str, batch: Batch, is_in_doubt: bool) -> Segment:
        segment = self._segment(path)
        missing = segment.without_held(batch) if is_in_doubt else batch
        if missing is batch and self._rotation.is_due(segment, len(batch.jsonl())):
            self._rotate(segment)
            segment = self._segment(path)
        if missing.lines:
            try:
                segment.append(missing.jsonl())
            except OSError as error:
                self._close(self._open.pop(path))
                raise OSError(error.errno, error.strerror, path) from error
        return segment

    def _segment(self, path: str) -> Segment:
        segment = self._open.get(path)
        if segment and not segment.is_current():
            self._close(self._open.pop(path))
            segment = None
        if segment is None:
            while len(self._open) >= MAX_OPEN:
                self._close(self._open.popitem(last=False)[1])
            try:
                segment = self._open[path] = Segment(path)
            except OSError as error:
                raise type(error)(error.errno, error.strerror, path) from error
        self._open.move_to_end(path)
        return segment

    def _sync(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            if segment.fd < 0:
                continue  # it had to make room, and was synced when it was closed
            try:
                segment.sync()
            except OSError as error:
                with suppress(OSError):
                    segment.undo_unsafe()
                raise OSError(error.errno, error.strerror, segment.path) from error

    def _close(self, segment: Segment) -> None:
        try:
            if self._fsync != "never":
                segment.sync()
        finally:
            segment.close()

    def _rotate(self, segment: Segment) -> None:
        closed = closed_name(segment.path, datetime.now(UTC), suffix=self._template.suffix)
        os.rename(segment.path, closed)
        self._close(self._open.pop(segment.path))
        sync_folder(os.path.dirname(closed) or ".")
        self._on_closed(closed)

    def _sweep(self) -> None:
        """Once a period, close the segments that nothing was written to in this one."""
        now = self._rotation.period(time.time())
        if not self._rotation.idle_too or now == self._swept:
            return
        self._swept = now
        for path in list(open_segments(self._template.glob())):
            try:
                if self._rotation.period(os.stat(path).st_mtime) >= now:
                    continue
                segment = self._segment(path)
                if self._rotation.is_due(segment, 0):
                    self._rotate(segment)
            except NotOurs:
                continue  # another forwarder's, which closes it by itself
            except OSError as error:
                _log.warning("cannot close an idle segment", file=path, reason=error.strerror)
