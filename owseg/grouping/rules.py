"""When regions of the direction field merge."""

from __future__ import annotations

from dataclasses import dataclass

from owseg.errors import UsageError
from owseg.grouping.components import MIN_AREA_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRules:
    """Thresholds of the partition into super-BPDs; angles in degrees.

    Areas are pixels of the image that the network sees, whatever the grid of the partition.
    The defaults were fitted on simulated fields of CamVid's training maps.

    Attributes:
        turn: largest angle between a cell and its parent, 0..90.
        radius: largest Chebyshev distance of roots that join, in cells, 1..4.
        repel: regions never merge where the field turns by more, on average, 0..180.
        weak_large: large regions merge where it turns by less.
        weak_small: others merge where it turns by less.
        small: largest area of a small region, which merges wherever nothing repels it.
        large: regions with a larger area are large.
        sliver: smaller regions go to the neighbour with the longest common border.
        min_share: smaller regions without a neighbour get id 0, as a share of the image.
        max_roots: share of roots among the cells of the mask from which on the field counts
            as useless, 0..1. Thin objects have many roots too.

    Raises:
        UsageError: a value is out of its range.
    """

    turn: float = 45.0
    radius: int = 2
    repel: float = 175.0
    weak_large: float = 40.0
    weak_small: float = 72.0
    small: float = 120.0
    large: float = 3200.0
    sliver: float = 250.0
    min_share: float = MIN_AREA_SHARE
    max_roots: float = 0.25

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        limits: dict[str, float] = {"turn": 90, "repel": 180, "weak_large": 180}
        limits |= {"weak_small": 180, "min_share": 1, "max_roots": 1}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(
                    f"the partition rule '{name}' must be in 0..{most:g}, got {getattr(self, name)}"
                )
        if self.radius not in (1, 2, 3, 4):
            raise UsageError(f"the partition rule 'radius' must be 1..4, got {self.radius}")
        for name in ("small", "large", "sliver"):
            if not getattr(self, name) >= 0:
                raise UsageError(
                    f"the partition rule '{name}' must be 0 or more, got {getattr(self, name)}"
                )

    @property
    def turn_units(self) -> int:
        """`turn` in 1/256 of a turn, rounded."""
        return round(self.turn * 256 / 360)
