"""What every grouping offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from owseg.types import FloatArray, UInt8Array, UInt16Array


class Grouping(Protocol):
    """Groups unknown pixels into objects. It may be called from several threads at once.

    Attributes:
        needs_direction: whether it groups by the graph's output `direction`, which then has
            to be fetched.
    """

    needs_direction: bool

    def warm_up(self) -> None:
        """Do what would make the first frame slow."""

    def __call__(self, open_set: UInt8Array, direction: FloatArray | None = None) -> UInt16Array:
        """Group one frame.

        Args:
            open_set: (H, W) uint8, 255 = unknown.
            direction: (2, h, w) float32; only where it is needed.

        Returns:
            (H, W) uint16 ids 1, 2, ... without gaps; 0 where nothing is unknown, and may be 0
            in unknown pixels that belong to no object.
        """
        ...


class MaskGrouping:
    """A grouping that looks at the mask alone.

    Args:
        group: open-set mask (H, W) uint8 -> ids (H, W) uint16.
    """

    needs_direction = False

    def __init__(self, group: Callable[[UInt8Array], UInt16Array]) -> None:
        self._group = group

    def warm_up(self) -> None:
        """Do nothing."""

    def __call__(self, open_set: UInt8Array, direction: FloatArray | None = None) -> UInt16Array:
        """Group one frame; see `Grouping`."""
        return self._group(open_set)
