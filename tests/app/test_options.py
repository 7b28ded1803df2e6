"""A plugin's options from the configuration, in the types of its fields."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from forwarder import ConfigError, Secret
from forwarder.app.options import Reading, convert_options, describe_type, do_not_run, options_of, run_command


@dataclass
class Post:
    """A plugin's class with every type that an option may have."""

    kind: ClassVar[str] = "post"

    url: str
    token: Secret | None = None
    headers: dict[str, Secret | str] = field(default_factory=dict[str, Secret | str])
    max_bytes: int = 1
    timeout_seconds: float = 10.0
    tries: int | None = None
    body: Literal["json", "ndjson"] = "json"
    verify: bool = True
    hosts: list[str] = field(default_factory=list[str])
    place: Path = Path()
    homes: str | list[str] = "~"
    ports: tuple[int, ...] = ()
    _open: object = field(init=False, repr=False)


READING = Reading("config.toml, [sinks.team]", run_command)


def convert(run: Any = run_command, /, **given: object) -> dict[str, Any]:
    return convert_options(Post, {"url": "https://example.com"} | given, Reading(READING.place, run))


def complaint(**given: object) -> str:
    with pytest.raises(ConfigError) as caught:
        convert(**given)
    return str(caught.value)


def test_options_are_the_fields_that_the_class_does_not_keep_to_itself() -> None:
    """What `plugins` lists is what the configuration takes."""
    names = [option.name for option in options_of(Post)]

    assert names[:3] == ["url", "token", "headers"]
    assert "_open" not in names
    assert "kind" not in names


def test_values_become_what_the_fields_say() -> None:
    """A plugin gets what its annotations promise, and nothing that it did not ask for."""
    given = convert(
        max_bytes="64KiB",
        timeout_seconds="1m",
        tries=3,
        body="ndjson",
        verify=False,
        hosts=["a", "b"],
        place="~/x",
        homes=["a"],
        ports=[1, 2],
    )

    assert given == {
        "url": "https://example.com",
        "max_bytes": 65536,
        "timeout_seconds": 60.0,
        "tries": 3,
        "body": "ndjson",
        "verify": False,
        "hosts": ["a", "b"],
        "place": Path("~/x").expanduser(),
        "homes": ["a"],
        "ports": (1, 2),
    }


def test_a_secret_may_stand_in_the_file() -> None:
    """Some prefer it; it is a Secret from there on."""
    assert convert(token="abc")["token"] == Secret("abc")


def test_a_secret_comes_from_the_environment_a_file_or_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three places where passwords live, without the line break that editors and commands leave behind."""
    monkeypatch.setenv("TEAM_TOKEN", "from env")
    (tmp_path / "token").write_text("from file\n")
    command = [sys.executable, "-c", "print('from command')"]

    found = [convert(token=one)["token"] for one in ({"env": "TEAM_TOKEN"}, {"file": str(tmp_path / "token")})]
    assert [*found, convert(token={"command": command})["token"]] == [
        Secret("from env"),
        Secret("from file"),
        Secret("from command"),
    ]


def test_a_table_of_secrets_keeps_plain_text_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header named `env` is a header, and one with a reference inside is looked up."""
    monkeypatch.setenv("KEY", "k")

    assert convert(headers={"X-Key": {"env": "KEY"}, "env": "prod"})["headers"] == {"X-Key": Secret("k"), "env": "prod"}


def test_any_option_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text from a variable becomes the number or the flag that the option wants."""
    for name, value in {"U": "https://x", "N": "7", "B": "true", "S": "2MiB"}.items():
        monkeypatch.setenv(name, value)

    given = convert(url={"env": "U"}, tries={"env": "N"}, verify={"env": "B"}, max_bytes={"env": "S"})
    assert given == {"url": "https://x", "tries": 7, "verify": True, "max_bytes": 2 << 20}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"timeout_second": 1}, 'unknown option "timeout_second", did you mean "timeout_seconds"?'),
        ({"timeout_seconds": [1]}, "timeout_seconds wants a number, not a list"),
        ({"timeout_seconds": "soon"}, 'timeout_seconds wants a time such as "24h"'),
        ({"tries": "3"}, "tries wants a whole number, not text"),
        ({"body": "jsn"}, 'body wants "json" or "ndjson", not "jsn"'),
        ({"verify": 1}, "verify wants true or false, not a whole number"),
        ({"hosts": ["a", 1]}, "hosts wants a list of text (at [1])"),
        ({"url": {"env": "NOT_THERE"}}, "url comes from the environment variable NOT_THERE, which is not set"),
        ({"url": {"command": ["x"]}}, "url is no secret: only { env = … } can stand for it, not { command = … }"),
        ({"token": {"file": "/not/there"}}, "token comes from the file /not/there, which cannot be read"),
        ({"token": {"command": ["not-there-at-all"]}}, "the command not-there-at-all, which is not installed"),
        ({"token": {"command": ["false"]}}, "the command false, which ended with status 1"),
        ({"token": {"command": "pass team"}}, 'token wants { file = "PATH" } or { command = ["PROGRAM"'),
        ({"token": {"env": 1}}, 'token wants the name of a variable: { env = "NAME" }'),
        ({"token": 1}, "token wants a secret: text, { env = … }"),
        ({"place": 1}, "place wants a path, not a whole number"),
    ],
)
def test_a_complaint_says_place_option_and_what_is_wanted(given: dict[str, object], words: str) -> None:
    """The message is enough to mend the line."""
    said = complaint(**given)

    assert said.startswith("config.toml, [sinks.team]: ")
    assert words in said


def test_a_missing_option_is_named_with_its_type() -> None:
    """`url` cannot have a default."""
    with pytest.raises(ConfigError, match=r'\[sinks.team\]: "url" is missing: text'):
        convert_options(Post, {}, READING)


def test_a_complaint_never_shows_a_value() -> None:
    """A password in the wrong place ends up in a message otherwise."""
    assert "hunter2" not in complaint(tries="hunter2") + complaint(verify="hunter2") + complaint(ports="hunter2")


def test_a_check_runs_no_command() -> None:
    """`check` has no side effects, and a password manager may ask its user."""
    asked: list[Sequence[str]] = []

    def note(words: Sequence[str]) -> str:
        asked.append(words)
        return do_not_run(words)

    assert convert(note, token={"command": ["rm", "-rf"]})["token"] == Secret("(rm was not run)")
    assert asked == [["rm", "-rf"]]


def test_a_command_that_hangs_or_cannot_start_is_named(tmp_path: Path) -> None:
    """The output is not quoted: it may hold half of the secret."""
    (tmp_path / "not-executable").write_text("secret")

    with pytest.raises(ValueError, match="not-executable, which failed: PermissionError"):
        run_command([str(tmp_path / "not-executable")])


def test_types_are_told_in_the_words_of_the_file() -> None:
    """`plugins` is read by people who do not write Python."""
    assert describe_type(dict[str, int]) == "a table of a whole number"
    assert describe_type(tuple[str, ...] | None) == "a list of text"
    assert describe_type(datetime_like := type("Moment", (), {})) == datetime_like.__name__
