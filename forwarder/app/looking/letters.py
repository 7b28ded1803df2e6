"""What `dead-letters` shows and asks for. The letters themselves are tried again by the forwarder that is at work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from forwarder.app.looking.status import running_process
from forwarder.app.units import show_seconds
from forwarder.delivery import count_dead_letters, list_dead_letters
from forwarder.errors import ConfigError
from forwarder.journal import StoredLetter, ask_again, reading
from forwarder.journal import drop as drop_letters


class Letter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of `source` that could not be mapped, or the `event` with this id that `sink` refused.

    `number` is the event's place in the journal. `is_asked`: it is to be tried again, and was not yet.
    """

    letter: int
    time: datetime
    reason: str
    source: str | None = None
    file: str | None = None
    offset: int | None = None
    size: int | None = None
    sink: str | None = None
    event: str | None = None
    number: int | None = None
    attempts: int = 1
    is_asked: bool = False
    body: str | None = None

    @property
    def place(self) -> str:
        """Where it came from and what it is."""
        if self.sink is not None:
            return f"sink {self.sink}, event {self.event}"
        end = (self.offset or 0) + (self.size or 0)
        return f"{self.source}, {self.file}, bytes {self.offset}-{end}"


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many letters of one source or sink have one reason."""

    letters: int
    reason: str
    source: str | None = None
    sink: str | None = None


class LetterReport(msgspec.Struct, frozen=True, kw_only=True):
    """All letters, oldest first, without their content, and the reasons, the most frequent first."""

    letters: list[Letter]
    reasons: list[Reason]


@dataclass(frozen=True)
class Choice:
    """Some letters by number, or those of one sink or source, or (with none of them) all."""

    letters: tuple[int, ...] = ()
    sink: str | None = None
    source: str | None = None

    def of(self, stored: list[StoredLetter]) -> list[StoredLetter]:
        """Those of the letters that were chosen. Raises `ConfigError` when one of the numbers is none of theirs."""
        if self.letters:
            known = {one.id: one for one in stored}
            if unknown := [number for number in self.letters if number not in known]:
                raise ConfigError(f"no dead letter {unknown[0]}; `forwarder dead-letters list` shows all")
            return [known[number] for number in dict.fromkeys(self.letters)]
        return [
            one for one in stored if self.sink in (None, one.letter.sink) and self.source in (None, one.letter.source)
        ]


def read(folder: Path) -> LetterReport:
    """Everything but the contents. Raises `StateError` without a journal."""
    with reading(folder) as connection:
        letters = [_shown(one) for one in list_dead_letters(connection)]
        counted = count_dead_letters(connection)
    reasons = [Reason(letters=one.letters, reason=one.reason, source=one.source, sink=one.sink) for one in counted]
    return LetterReport(letters=letters, reasons=reasons)


def find(folder: Path, letter: int) -> Letter:
    """One letter with what is kept of its content. Raises `ConfigError` if there is none of this number."""
    (found,) = Choice((letter,)).of(_stored(folder))
    return msgspec.structs.replace(_shown(found), body=found.letter.body.decode("utf-8", "replace"))


def retry(folder: Path, choice: Choice) -> str:
    """Ask for the chosen letters to be tried again; returns what will happen. Raises `ConfigError`, `StateError`."""
    with reading(folder) as connection:
        chosen = choice.of(list(list_dead_letters(connection)))
        process = running_process(connection)
    ask_again(folder, [one.id for one in chosen], time=time.time())
    who = f"by the running forwarder (process {process})" if process else "when a forwarder is started"
    return f"{_counted(len(chosen))} will be tried again {who}" if chosen else "no dead letters to try again"


def drop(folder: Path, choice: Choice) -> str:
    """Forget the chosen letters; returns how many. Raises `ConfigError` and `StateError`."""
    chosen = choice.of(_stored(folder))
    drop_letters(folder, [one.id for one in chosen])
    return f"{_counted(len(chosen))} dropped"


def list_lines(report: LetterReport) -> Iterator[str]:
    """The letters for people, and below them the reasons."""
    now = datetime.now(UTC)
    for one in report.letters:
        notes = ", to be tried again" if one.is_asked else ""
        tried = f", tried {one.attempts} times" if one.attempts > 1 else ""
        age = show_seconds(max(0.0, (now - one.time).total_seconds()))
        yield f"{one.letter:>6}  {age} ago  {one.place}: {one.reason}{tried}{notes}"
    for reason in report.reasons:
        whose = f"sink {reason.sink}" if reason.sink is not None else reason.source
        yield f"{reason.letters:>6} x  {whose}: {reason.reason}"
    if not report.letters:
        yield "no dead letters"


def show_lines(letter: Letter) -> Iterator[str]:
    """One letter for people: what, why, and its content."""
    times = "once" if letter.attempts == 1 else f"{letter.attempts} times"
    yield f"letter    {letter.letter}, {letter.place}"
    yield f"reason    {letter.reason}"
    yield f"time      {letter.time:%Y-%m-%d %H:%M:%S} UTC, tried {times}"
    if letter.is_asked:
        yield "retry     asked for, not made yet"
    yield "content   " + (letter.body or "nothing is kept of it at this level of redaction")


def _stored(folder: Path) -> list[StoredLetter]:
    with reading(folder) as connection:
        return list(list_dead_letters(connection))


def _shown(stored: StoredLetter) -> Letter:
    letter = stored.letter
    return Letter(
        letter=stored.id,
        time=datetime.fromtimestamp(letter.time, UTC),
        reason=letter.reason,
        source=letter.source,
        file=letter.file,
        offset=letter.offset,
        size=letter.size,
        sink=letter.sink,
        event=event_id(letter.body) if letter.sink is not None else None,
        number=letter.event,
        attempts=letter.attempts,
        is_asked=stored.is_asked,
    )


def event_id(line: bytes) -> str | None:
    """The id in a line as sinks get it; None where the sink has another name for it."""
    try:
        return msgspec.json.decode(line, type=_HasId).id
    except msgspec.MsgspecError:
        return None


class _HasId(msgspec.Struct):
    id: str


def _counted(letters: int) -> str:
    return "1 dead letter" if letters == 1 else f"{letters} dead letters"
