"""Globs as the sources write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from forwarder.tail.patterns import compile_pattern

CASES = [
    ("/h/s/*.jsonl", "/h/s", "a.jsonl .jsonl", "x/a.jsonl a.jsonl.zst ajsonl"),
    ("/h/s/**/rollout-*.jsonl", "/h/s", "rollout-1.jsonl 2026/11/rollout-1.jsonl", "2026/other.jsonl"),
    ("/h/s/*/*.jsonl", "/h/s", "a/b.jsonl", "b.jsonl a/b/c.jsonl"),
    ("/h/s/log-?.txt", "/h/s", "log-1.txt", "log-12.txt log-/.txt log-.txt"),
    ("/h/s/log-[0-9].txt", "/h/s", "log-7.txt", "log-x.txt"),
    ("/h/s/**", "/h/s", "a a/b/c.txt", ""),
    ("/h/s/history.jsonl", "/h/s", "history.jsonl", "historyXjsonl sub/history.jsonl"),
    ("/h/s/**/x/*.json", "/h/s", "x/1.json a/b/x/1.json", "ax/1.json x/a/1.json"),
]


@pytest.mark.parametrize(("text", "root", "matching", "others"), CASES)
def test_a_pattern_matches_whole_paths_below_its_root(text: str, root: str, matching: str, others: str) -> None:
    """`*` and `?` stay inside one name, `**` spans folders, everything else is itself."""
    pattern = compile_pattern(text)

    assert pattern.root == root
    assert [name for name in matching.split() if not pattern.matches(f"{root}/{name}")] == []
    assert [name for name in others.split() if pattern.matches(f"{root}/{name}")] == []


def test_a_tilde_is_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that one configuration fits all users."""
    monkeypatch.setenv("HOME", str(tmp_path))
    pattern = compile_pattern("~/.acme/*.jsonl")

    assert (pattern.root, pattern.matches(f"{tmp_path}/.acme/a.jsonl")) == (f"{tmp_path}/.acme", True)
