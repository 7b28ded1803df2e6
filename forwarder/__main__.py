"""The command ``forwarder``, also as ``python -m forwarder``."""

from __future__ import annotations

from forwarder.app.cli import main

if __name__ == "__main__":
    main()
