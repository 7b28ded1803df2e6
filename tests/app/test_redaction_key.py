"""The key of pseudonyms and fingerprints in the state folder."""

from pathlib import Path

import pytest

from forwarder.app.assembly import make_encoder, make_redactor
from forwarder.app.config import from_values
from forwarder.app.redaction_key import KEY_FILE, redaction_key
from forwarder.errors import ConfigError, StateError


def test_the_key_is_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    """Pseudonyms stay the same through restarts, and nobody else can try names."""
    folder = tmp_path / "state"

    first, second = redaction_key(folder), redaction_key(folder)

    assert first == second
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    """Half a key would be another one, and every pseudonym new."""
    (tmp_path / KEY_FILE).write_bytes(b"short")

    with pytest.raises(StateError, match="5 bytes"):
        redaction_key(tmp_path)


def test_pseudonyms_are_off_until_asked_for(tmp_path: Path) -> None:
    """No key is made, and the host is what the system says."""
    settings = from_values({"state_dir": str(tmp_path), "host": "laptop"}, place="test", folder=tmp_path)

    redactor = make_redactor(settings)

    assert redactor.name("/home/alice") == "/home/alice"
    assert make_encoder(settings, redactor).host == "laptop"
    assert list(tmp_path.iterdir()) == []


def test_pseudonyms_that_are_asked_for(tmp_path: Path) -> None:
    """In folders as in the envelope."""
    values = {"state_dir": str(tmp_path), "host": "laptop", "redaction_pseudonyms": ["users", "hosts"]}
    settings = from_values(values, place="test", folder=tmp_path)

    redactor = make_redactor(settings)

    assert redactor.name("/home/alice").startswith("/home/user-")
    assert make_encoder(settings, redactor).host.startswith("host-")


def test_a_kind_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A typing error would leave the names in."""
    with pytest.raises(ConfigError, match="did you mean"):
        from_values({"redaction_pseudonyms": ["user"]}, place="test", folder=tmp_path)
