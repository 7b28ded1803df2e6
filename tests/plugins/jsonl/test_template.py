"""From an event to the file that it belongs to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forwarder_jsonl import Jsonl
from forwarder_jsonl.sizes import parse_age, parse_size
from forwarder_jsonl.template import PathTemplate, file_name

from forwarder import Batch, ConfigError


def line(number: int = 0, **changes: str) -> bytes:
    event = {"id": f"{number:032x}", "type": "prompt", "time": "2026-11-20T23:59:59.999Z", "agent": "codex"}
    return json.dumps(event | changes, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/a/all.jsonl", "/a/all.jsonl"),
        ("/a/{agent}/{date}.jsonl", "/a/codex/2026-11-20.jsonl"),
        ("/a/{type}-{agent}", "/a/prompt-codex"),
        ("/a/{session}.jsonl", "/a/s-1.jsonl"),
        ("/a/{project}@{host}.jsonl", "/a/shop@tower.jsonl"),
        ("/a/{{x}}.jsonl", "/a/{x}.jsonl"),
    ],
)
def test_a_template_names_the_file_of_an_event(template: str, path: str) -> None:
    """Every placeholder, and none."""
    event = line(session_id="s-1", cwd="/home/me/shop/", host="tower")

    assert list(PathTemplate(template).group(Batch((event,)))) == [path]


def test_a_template_begins_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """~ is what users write."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert list(PathTemplate("~/a.jsonl").group(Batch((line(),)))) == [f"{tmp_path}/a.jsonl"]


@pytest.mark.parametrize("template", ["/a/{agent}.jsonl", "/a/{agent}-{session}.jsonl"])
def test_a_mixed_batch_is_taken_apart_in_order(template: str) -> None:
    """Each file gets its own events, in the order in which they happened, however they are found."""
    lines = tuple(line(number, agent="pi" if number % 3 else "codex", session_id="s") for number in range(10))
    groups = PathTemplate(template).group(Batch(lines))

    assert [group.lines for group in groups.values()] == [lines[::3], tuple(one for one in lines if b'"pi"' in one)]


def test_a_batch_for_one_file_is_not_copied() -> None:
    """The common case costs no second copy of the bytes."""
    batch = Batch(tuple(line(number) for number in range(10)))

    assert PathTemplate("/a/{agent}/{date}.jsonl").group(batch)["/a/codex/2026-11-20.jsonl"] is batch


def test_an_event_without_an_own_time_is_found_as_well() -> None:
    """Its envelope has one more field before the agent."""
    event = line().replace(b'"agent"', b'"time_inferred":true,"agent"')

    assert list(PathTemplate("/{agent}/{date}").group(Batch((line(), event)))) == ["/codex/2026-11-20"]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("codex", "codex"),
        ("", "unknown"),
        ("..", "unknown"),
        ("../../etc/passwd", "_.._etc_passwd"),
        (".hidden", "hidden"),
        ("a/b\\c:d*e\0f\n", "a_b_c_d_e_f_"),
        ("ünïcode", "ünïcode"),
        ("x" * 500, "x" * 80),
        ("é" * 500, "é" * 40),
    ],
)
def test_values_are_safe_as_names(value: str, name: str) -> None:
    """A session or project cannot choose a folder, hide a file or exceed what file systems allow."""
    assert file_name(value) == name


def test_an_escaped_agent_stays_in_its_folder() -> None:
    """The fast path reads no escapes; what has some is decoded."""
    event = line(agent='..\\/"evil')

    assert list(PathTemplate("/a/{agent}.jsonl").group(Batch((line(), event)))) == [
        "/a/codex.jsonl",
        "/a/___evil.jsonl",
    ]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("/a/{sesion}.jsonl", "unknown placeholder {sesion}, did you mean {session}?"),
        ("/a/{zzz}.jsonl", "known are type, date, agent"),
        ("/a/{}.jsonl", "unknown placeholder {}"),
        ("/a/{agent!r}", "unknown placeholder {agent}"),
        ("/a/{agent:>9}", "unknown placeholder {agent}"),
        ("/a/{agent", "path: "),
        ("/a/", "must name a file"),
        ("", "must name a file"),
        ("/a\0b", "must name a file"),
    ],
)
def test_a_wrong_template_is_explained(template: str, words: str) -> None:
    """At the start, with the placeholder that was probably meant."""
    with pytest.raises(ConfigError) as caught:
        Jsonl(path=template)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MiB", 256 << 20),
        (1000, 1000),
        ("1000", 1000),
        ("1.5 kB", 1500),
        ("2g", 2 * 10**9),
        ("1TiB", 1 << 40),
        ("0", 0),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str | int, size: int) -> None:
    """Decimal and binary units, any case."""
    assert parse_size(text, key="rotate_bytes") == size


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), (90, 90), ("7d", 604800), ("1.5 m", 90), ("0", 0)])
def test_ages_are_read_as_people_write_them(text: str | int, seconds: float) -> None:
    """Seconds without a unit."""
    assert parse_age(text, key="rotate_age") == seconds


@pytest.mark.parametrize("options", [{"rotate_bytes": "many"}, {"rotate_bytes": -1}, {"rotate_age": "24 moons"}])
def test_a_wrong_size_names_its_key(options: dict[str, str]) -> None:
    """A limit that cannot be read may not become no limit."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        Jsonl(**options)  # type: ignore[arg-type]
