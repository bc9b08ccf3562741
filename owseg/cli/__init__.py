"""The command `owseg`."""

from __future__ import annotations

from owseg.cli.main import main

__all__ = ["main"]
