"""The text of a message."""

from __future__ import annotations

from forwarder_pi.records import Block


def joined(content: str | list[Block]) -> str:
    """The text of a message's content; its images are left out."""
    if isinstance(content, str):
        return content
    return "\n".join([block.text for block in content if block.type == "text" and block.text is not None])
