"""An archive of JSON Lines files on this machine, each event in it exactly once."""

from forwarder_jsonl.sink import Jsonl

__all__ = ["Jsonl"]
