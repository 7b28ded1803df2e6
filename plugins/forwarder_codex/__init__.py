"""Reads the sessions of OpenAI's Codex CLI."""

from forwarder_codex.source import Codex

__all__ = ["Codex"]
