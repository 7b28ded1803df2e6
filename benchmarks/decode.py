"""A bare typed decode of every line of a file: no event, no redaction, no journal. What the pipeline is compared with.

python benchmarks/decode.py FILE
"""

from __future__ import annotations

import sys

import msgspec


class Payload(msgspec.Struct):
    """What says which kind of record it is, and whose."""

    type: str = ""
    call_id: str = ""


class Line(msgspec.Struct):
    """The envelope."""

    timestamp: str
    type: str
    payload: Payload


if __name__ == "__main__":
    decode = msgspec.json.Decoder(Line).decode
    with open(sys.argv[1], "rb", buffering=1 << 20) as file:
        for line in file:
            decode(line)
