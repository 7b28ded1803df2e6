"""Which fields are content and which are names follows from the schema alone."""

from forwarder.catalogue import EVENT_TYPES
from forwarder.events import Prompt, SessionStart, ToolCallEnd
from forwarder.pipeline.fields import (
    CONTENT_BY_TAG,
    NAMES_BY_TAG,
    NESTED_BY_TAG,
    SESSION_NAMES,
    content_fields,
    name_fields,
)


def test_content_fields_are_those_marked_so() -> None:
    """Also where they may be absent; ids, digests and literals are not content."""
    assert content_fields(ToolCallEnd) == ("output", "error")
    assert content_fields(Prompt) == ("text",)
    assert content_fields(SessionStart) == ()


def test_names_are_the_other_free_texts() -> None:
    """Neither ids nor literals nor content."""
    assert name_fields(ToolCallEnd) == ("tool",)
    assert name_fields(SessionStart) == ("model", "provider", "entrypoint")
    assert SESSION_NAMES == ("agent", "agent_version", "cwd", "git_branch")


def test_every_type_is_in_both_tables() -> None:
    """A type that is missing there would pass unredacted."""
    assert len(CONTENT_BY_TAG) == len(NAMES_BY_TAG) == len(NESTED_BY_TAG) == len(EVENT_TYPES)
    assert CONTENT_BY_TAG["tool_call_start"] == ("input",)
    assert NAMES_BY_TAG["unknown_record"] == ("record_type",)


def test_text_in_objects_and_lists_is_found() -> None:
    """Of numbers alone there is nothing to clean, and literals are no text."""
    assert {tag: fields for tag, fields in NESTED_BY_TAG.items() if fields} == {
        "context_snapshot": ("segments",),
        "metric": ("labels",),
        "latency": ("phases",),
        "output_eval": ("tags",),
    }
