"""Every exception that forwarder raises on purpose.

ForwarderError
├── ConfigError            the configuration is wrong; says file, table and key
│   └── MissingExtra       an option needs a package that is not installed; says which extra to install
├── RecordError            one record of an agent cannot be used; costs that record only
│   ├── BadRecord          not JSON, or not in the shape that the source knows
│   ├── RecordTooLong      longer than `max_line_bytes`; only its head was read
│   └── UnknownRecord      a kind of record that the source has never seen: counted, no error
├── DeliveryError          raised by a sink's `send`
│   ├── Unavailable        try the same batch again, later
│   │   └── NotSent        no byte of it has left: again without harm, also where repeats are counted
│   ├── Rejected           never try this batch again; goes to the dead letters
│   └── SinkClosed         the destination is gone for good and on purpose; the program ends quietly
├── Refused                a request to a receiver is not taken; says how it is answered
│   └── WrongToken         it came with a token that is not the right one, rather than without any
└── StateError             the state folder or the journal cannot be used
    ├── AlreadyRunning     another forwarder holds the state folder
    ├── JournalTooNew      written by a newer forwarder
    └── JournalDamaged     SQLite says that the file is broken
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


class ForwarderError(Exception):
    """The root: whoever embeds forwarder can catch this one."""


class ConfigError(ForwarderError):
    """The configuration is wrong. The message names file, table and key, and says what to do."""


class MissingExtra(ConfigError):
    """An optional package is missing. `extra` is what to install: ``pip install 'agent-forwarder[extra]'``."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f"{what} needs a package that is not installed: pip install 'agent-forwarder[{extra}]'")
        self.extra = extra


class RecordError(ForwarderError):
    """One record cannot be mapped. The engine adds file and offset and keeps the record in the dead letters."""


class BadRecord(RecordError):
    """The record is not JSON, or a field that the source relies on is missing or of another type."""


class RecordTooLong(RecordError):
    """Only the head of the record was read; raised when a source asks for the whole of it."""


class UnknownRecord(RecordError):
    """A kind of record that nobody knows yet. Counted per stream and kind, so that format drift is noticed."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"unknown record type {kind!r}")
        self.kind = kind


class DeliveryError(ForwarderError):
    """What a sink's `send` may raise; its text is the destination's own words, for the user and the dead letters."""


class Unavailable(DeliveryError):
    """The batch comes again: unreachable, busy, wrong password.

    `after` is the number of seconds that the destination asked for (`Retry-After`), if it did.
    `is_refused` says that the destination answered but does not let us in (401, 403, 404, 405): trying again at the
    usual pace is pointless until a person acts, so one probe per interval is made and nothing is dropped.
    """

    def __init__(self, message: str, *, after: float | None = None, is_refused: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.is_refused = is_refused


class NotSent(Unavailable):
    """Not a byte of the request has left (nobody listens, unknown name, failed TLS handshake).

    So a destination that counts repeats may be sent the same again; after any other `Unavailable` it may have it.
    """


class Rejected(DeliveryError):
    """The batch never comes again.

    With `refused` (ids of events) only those go to the dead letters and the rest counts as delivered. Without, the
    engine splits the batch until the poison event is alone, so that it costs only itself.
    """

    def __init__(self, message: str, *, refused: Collection[str] = ()) -> None:
        super().__init__(message)
        self.refused = frozenset(refused)


class SinkClosed(DeliveryError):
    """The destination is gone for good and on purpose (the reader of a pipe has left); the program ends quietly."""


class Refused(ForwarderError):
    """A request that a receiver does not take; the text is for the other side, so it holds nothing of ours.

    `status` is an HTTP status: 4xx if the request is at fault, 503 if it may come again. `retry_after` is the number of
    seconds to wait until then. `headers` go into the answer.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.headers = dict(headers or {})


class WrongToken(Refused):
    """Who asks showed a token, but not the right one: some protocols answer that in another way than none at all."""


class StateError(ForwarderError):
    """The state folder or the journal in it cannot be used."""


class AlreadyRunning(StateError):
    """Another forwarder process holds the lock of this state folder."""


class JournalTooNew(StateError):
    """The journal was written by a newer forwarder and may hold what this one does not understand."""


class JournalDamaged(StateError):
    """SQLite reports a broken file; it is set aside and reading starts again (ids keep that harmless)."""
