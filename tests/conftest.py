"""What holds for all tests."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

# A shell's background job ignores Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One PEM file with key and certificate of 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    command = f"""openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1
        -addext subjectAltName=IP:127.0.0.1 -addext keyUsage=digitalSignature,keyCertSign
        -keyout {folder}/key.pem -out {folder}/cert.pem"""
    subprocess.run(command.split(), check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return both
