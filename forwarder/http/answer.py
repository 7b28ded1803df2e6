"""What a destination said, and what that means for a batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from forwarder.errors import DeliveryError, Rejected, Unavailable

BATCH_IS_AT_FAULT = {400, 413, 422}  # no retry of the same bytes can help
NOT_LET_IN = {401, 403, 404, 405}  # a person must act; nothing is wrong with the batch
MAX_AFTER_SECONDS = 3600.0  # a larger Retry-After is taken for a mistake: one probe an hour hurts nobody
MAX_TEXT = 200


@dataclass(frozen=True)
class HttpAnswer:
    """What the destination said; `text` is the beginning of its body, `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    text: str

    def without(self, secrets: Iterable[str]) -> HttpAnswer:
        """The same without these: some destinations repeat what they were sent, and their words are logged."""
        text, headers = self.text, self.headers
        for secret in secrets:
            text = text.replace(secret, "[REDACTED]")
            headers = {name: value.replace(secret, "[REDACTED]") for name, value in headers.items()}
        return HttpAnswer(self.status, headers, text)


def failure(answer: HttpAnswer, *, place: str) -> DeliveryError:
    """The exception for an answer that is not a success (RFC 9110, section 15)."""
    said = f"{place} answered {answer.status}"
    if text := _one_line(answer.text):
        said += f": {_shortened(text)}"
    if answer.status in BATCH_IS_AT_FAULT:
        return Rejected(said)
    if 300 <= answer.status < 400:
        target = answer.headers.get("location", "nowhere")
        return Unavailable(
            f"{said}; it redirects to {target[:MAX_TEXT]!r}: set url to that, if it is right", is_refused=True
        )
    if answer.status in NOT_LET_IN:
        return Unavailable(said, is_refused=True)
    return Unavailable(said, after=retry_after(answer.headers.get("retry-after"), datetime.now(UTC)))


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, a number or an HTTP date; None where it says nothing useful."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000" says UTC without a place
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MAX_AFTER_SECONDS)


def _shortened(text: str) -> str:
    """Cut between words: half a credential that the destination repeats is no longer recognised as one."""
    if len(text) <= MAX_TEXT:
        return text
    end = max(text.rfind(char, 0, MAX_TEXT) for char in ' ",')
    return f"{text[: max(end, 0)]}…"


def _one_line(text: str) -> str:
    """Without what would act on a terminal instead of showing."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))
