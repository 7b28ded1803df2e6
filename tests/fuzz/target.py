"""What a fuzz target is, and how it says that a promise was broken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from random import Random


class Broken(AssertionError):
    """A promise does not hold for an input; the text says which."""


class Target(ABC):
    """One part of the program that reads what others wrote. An input is bytes, whatever the part makes of them."""

    name: str

    @abstractmethod
    def seeds(self) -> list[bytes]:
        """Ordinary inputs to begin with."""

    @abstractmethod
    def mutated(self, data: bytes, random: Random) -> bytes:
        """Another input made from this one; the same of the same `random`."""

    @abstractmethod
    def check(self, data: bytes) -> None:
        """Give the input to the part, and hold the outcome against every promise. Raises whatever went wrong."""


def require(is_kept: bool, promise: str) -> None:
    """Raises `Broken` with the promise unless it is kept."""
    if not is_kept:
        raise Broken(promise)
