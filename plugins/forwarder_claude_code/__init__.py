"""Reads the sessions of Anthropic's Claude Code: its transcripts, and what its hooks wrote to a spool."""

from forwarder_claude_code.source import ClaudeCode

__all__ = ["ClaudeCode"]
