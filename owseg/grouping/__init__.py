"""Grouping of unknown pixels into objects."""

from __future__ import annotations

from collections.abc import Callable

from owseg.grouping.components import connected_components
from owseg.types import UInt8Array, UInt16Array

__all__ = ["GROUPINGS", "connected_components"]

GROUPINGS: dict[str, Callable[[UInt8Array], UInt16Array]] = {"components": connected_components}
"""Groupings by name: open-set mask (H, W) uint8 -> cluster ids (H, W) uint16, 0 = not unknown."""
