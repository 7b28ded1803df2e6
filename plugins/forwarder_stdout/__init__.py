"""Events on standard output: JSON lines for programs, a live feed for people."""

from forwarder_stdout.sink import Stdout

__all__ = ["Stdout"]
