"""Names that say nothing: keyed, stable, and the same in paths, texts and file names."""

import re

import pytest

from forwarder.pipeline.pseudonyms import KINDS, Pseudonyms
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules

KEY = b"k" * 32
NAMES = Pseudonyms(KINDS, key=KEY, user="alice", host="laptop")
ALICE = NAMES.replace("alice")


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("/home/alice/code", f"/home/{ALICE}/code"),
        ("/Users/Alice", f"/Users/{ALICE}"),
        (r"C:\Users\alice\code", rf"C:\Users\{ALICE}\code"),
        (r'{"cwd":"C:\\Users\\alice"}', rf'{{"cwd":"C:\\Users\\{ALICE}"}}'),
        (r"\/home\/alice\/x", rf"\/home\/{ALICE}\/x"),
        ("projects/-home-alice-code/x.jsonl", f"projects/-home-{ALICE}-code/x.jsonl"),
        ("file:///home/alice/x, alice's", f"file:///home/{ALICE}/x, {ALICE}'s"),
        ("drwxr-xr-x 2 alice staff", f"drwxr-xr-x 2 {ALICE} staff"),
        ("malice and alices stay", "malice and alices stay"),
        (
            "/home/root /home/ubuntu/x /Users/Shared /api/users/7",
            "/home/root /home/ubuntu/x /Users/Shared /api/users/7",
        ),
        ("version 1.2.3 at 127.0.0.1", "version 1.2.3 at 127.0.0.1"),
    ],
)
def test_a_person_has_one_pseudonym_wherever_the_name_stands(text: str, becomes: str) -> None:
    """The leak /home/alice/...: in paths of every system, escaped, in folders named after paths, and alone."""
    assert NAMES.replace(text) == becomes


def test_others_have_other_pseudonyms() -> None:
    """A home folder tells a name also when it is not this user's."""
    bob, carol = (NAMES.replace(f"/home/{name}/x") for name in ("bob", "carol"))

    assert re.fullmatch(r"/home/user-[0-9a-f]{8}/x", bob)
    assert bob != carol != f"/home/{ALICE}/x"


def test_leak_ip_addresses_and_the_machine() -> None:
    """They are replaced too, when that is wanted."""
    shown = NAMES.replace("alice@laptop: ssh 10.0.0.7.")

    assert re.fullmatch(r"user-\w{8}@host-\w{8}: ssh ip-\w{8}\.", shown)
    assert NAMES.replace("10.0.0.7") != NAMES.replace("10.0.0.8")


def test_another_key_gives_other_pseudonyms() -> None:
    """Without the key nobody can try names."""
    assert Pseudonyms(KINDS, key=b"x" * 32, user="alice", host="laptop").replace("alice") != ALICE


@pytest.mark.parametrize("text", ["/home/alice/x -home-alice-x alice laptop 10.0.0.7", "/home/user-x/y"])
def test_twice_changes_nothing(text: str) -> None:
    """A text may pass again on its way to a stricter sink."""
    once = NAMES.replace(text)

    assert NAMES.replace(once) == once


def test_only_what_is_wanted() -> None:
    """Each kind by itself."""
    assert Pseudonyms(["users"], key=KEY, user="alice", host="laptop").replace("alice@laptop 10.0.0.7") == (
        f"{ALICE}@laptop 10.0.0.7"
    )


@pytest.mark.parametrize("level", [Level.PREVIEW, Level.NONE])
def test_contents_and_names_have_them(level: Level) -> None:
    """Before the cut, so that half a name never shows."""
    redactor = Redactor(Rules.load_builtin(), pseudonyms=NAMES)

    shown = redactor.content("x" * 30 + " /home/alice", level)

    assert shown == "x" * 30 + f" /home/{ALICE}"
    assert redactor.name("/home/alice") == f"/home/{ALICE}"
