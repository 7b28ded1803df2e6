"""Target: the configuration file, up to the objects that would do the work. Nothing is run, opened or written."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

import tomli_w

from forwarder.app.assembly import make_sources
from forwarder.app.config import Settings, load
from forwarder.app.options import do_not_run
from forwarder.app.registry import make_receiver, make_sink
from forwarder.errors import ConfigError
from forwarder.pipeline.rules import Rules
from tests.fuzz.mutation import spoilt
from tests.fuzz.target import Target, require

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
SECRET = "cfg-secret-7Qx2mK9vLr4T"

_VALUES = (
    *(
        '""',
        '"a"',
        '"\\u0000"',
        '"~"',
        '"~nobody-here/x"',
        '"{agent}/{date"',
        '"1h 30m"',
        '"9999999999999999999d"',
        '"-1s"',
    ),
    *(
        '"1e400GiB"',
        '"²"',
        '"nan"',
        '"full"',
        '"none"',
        '"*"',
        '"../.."',
        '"http://[::1"',
        '"http://a b"',
        '"127.0.0.1:99999"',
    ),
    *(
        "0",
        "-1",
        "1",
        "65536",
        "9223372036854775807",
        "99999999999999999999999999",
        "0x7f",
        "1e308",
        "inf",
        "-inf",
        "nan",
    ),
    *("true", "false", "[]", "{}", '[""]', "[1, 2]", '["a", "b"]', "[[]]", '{ env = "HOME" }', '{ env = "NOT_SET" }'),
    *(
        '{ env = "" }',
        "{ env = 5 }",
        '{ file = "nowhere" }',
        '{ file = "\\u0000" }',
        '{ file = "." }',
        "{ command = [] }",
    ),
    *(
        '{ command = ["true"] }',
        '{ command = "true" }',
        '{ env = "A", file = "b" }',
        '{ "" = "" }',
        "1979-05-27T07:32:00Z",
    ),
    *("07:32:00", "1979-05-27", '"""a\nb"""', "'''\\'''", '"Infinity"', '"\\ud7ff\\U0010ffff"', f'"{SECRET}"'),
    *(
        "[" * 5000 + "]" * 5000,
        "{a=" * 5000 + "1" + "}" * 5000,
        "9" * 5000,
        '"' + "long " * 20_000 + '"',
        "1e-400",
        "-0.0",
    ),
)
_SECTIONS = (
    *(
        "journal",
        "server",
        "sources.codex",
        "sources.pi",
        "sources.x",
        "sources",
        "sinks.a",
        "sinks.b",
        "sinks",
        "rename",
    ),
    *(
        "receivers.x",
        "receivers.pai",
        "redaction_rules",
        "[redaction_rules]",
        "[sinks]",
        "[redaction_rules.allowlists]",
    ),
)
_USES = ("codex", "claude_code", "pi", "tool_usage", "stdout", "jsonl", "http", "pai", "nobody")


@cache
def _keys() -> list[str]:
    """Every option that the example shows, and what others there are."""
    found = [line.lstrip("# ").partition(" = ")[0] for line in EXAMPLE.read_text().splitlines() if " = " in line]
    return [*found, "id", "regex", "keywords", "entropy", "secretGroup", "path", "use", "token", "unknown", '"ü"', '""']


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="forwarder-fuzz-")


class ConfigTarget(Target):
    """An input is the file."""

    name = "config"

    def seeds(self) -> list[bytes]:
        text = EXAMPLE.read_text()
        bare = "\n".join(
            line.removeprefix("# ") if " = " in line or "# [" in line else line for line in text.splitlines()
        )
        pieces = [f"[{piece}" for piece in bare.split("\n[")[1:]]
        return [text.encode(), b"", *(piece.encode() for piece in pieces)]

    def mutated(self, data: bytes, random: Random) -> bytes:
        lines = data.decode("utf-8", "surrogateescape").splitlines()
        for _ in range(random.randrange(1, 6)):
            at = random.randrange(len(lines) + 1)
            match random.randrange(7):
                case 0:
                    lines.insert(at, f"[{random.choice(_SECTIONS)}]")
                case 1:
                    lines.insert(at, f'use = "{random.choice(_USES)}"')
                case 2 | 3:
                    lines.insert(at, f"{random.choice(_keys())} = {random.choice(_VALUES)}")
                case 4 | 5 if lines:
                    at = random.randrange(len(lines))
                    lines[at] = f"{lines[at].partition('=')[0]}= {random.choice(_VALUES)}"
                case _:
                    del lines[at : at + 1]
        mutated = "\n".join(lines).encode("utf-8", "surrogateescape")
        return spoilt(mutated, random) if random.random() < 0.2 else mutated

    def check(self, data: bytes) -> None:
        file = Path(_folder().name) / "config.toml"
        file.write_bytes(data)
        try:
            settings = load(path=file)
        except ConfigError as error:
            require("config.toml" in str(error), f"the complaint does not name the file: {error}")
            return
        _make_all(settings)


def _make_all(settings: Settings) -> None:
    """What `run` makes at its start, or a complaint; and no secret shows that was in its place."""
    with suppress(ConfigError):
        make_sources(settings)
    with suppress(ConfigError):  # the same as `make_redactor`, without compiling the built-in rules each time
        Rules.from_toml(tomli_w.dumps({"rules": list(settings.rules.rules)}).encode(), origin="config.toml")
        for path in settings.rules.files:
            Rules.from_toml(path)
    for sink in settings.sinks.values():
        try:
            made = make_sink(sink, run_command=do_not_run)
        except ConfigError:
            continue
        require(sink.options.get("token") != SECRET or SECRET not in repr(made), "a token in the sink's repr")
    for receiver in settings.receivers.values():
        with suppress(ConfigError):
            make_receiver(receiver, run_command=do_not_run)
