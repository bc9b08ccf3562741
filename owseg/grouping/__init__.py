"""Grouping of unknown pixels into objects."""

from __future__ import annotations

from collections.abc import Callable

from owseg.grouping.base import Grouping, MaskGrouping
from owseg.grouping.components import connected_components
from owseg.grouping.rules import PartitionRules
from owseg.grouping.super_bpd import SuperBpd
from owseg.grouping.tracking import ClusterTracker, TrackingRules
from owseg.grouping.watershed import shape_watershed

__all__ = [
    "GROUPINGS",
    "ClusterTracker",
    "Grouping",
    "MaskGrouping",
    "PartitionRules",
    "SuperBpd",
    "TrackingRules",
    "connected_components",
    "shape_watershed",
]

GROUPINGS: dict[str, Callable[[int], Grouping]] = {
    "components": lambda stride: MaskGrouping(connected_components),
    "super_bpd": SuperBpd,
    "watershed": lambda stride: MaskGrouping(shape_watershed),
}
"""Groupings by name: stride of the network's maps -> grouping."""
