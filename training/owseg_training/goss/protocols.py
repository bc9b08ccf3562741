"""Which classes are unknown, and what is trained and evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from owseg.datasets import TruthMap, load_truth_map
from owseg.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class GossProtocol:
    """A comparison.

    Attributes:
        name: as on the command line; that of a benchmark in `owseg.datasets.goss`.
        dataset: name of a reader in `owseg.datasets.READERS`.
        truth_map: truth map that holds the unknown classes out.
        recipe: recipe of the networks.
        split: split that is evaluated; networks and thresholds come from "train".
    """

    name: str
    dataset: str
    truth_map: str
    recipe: str
    split: str = "val"

    @property
    def truth(self) -> TruthMap:
        """The truth map."""
        return load_truth_map(self.truth_map)


PROTOCOLS = {
    name: GossProtocol(name=name, dataset=dataset, truth_map=name, recipe=recipe)
    for name, dataset, recipe in (
        ("camvid_a", "camvid", "camvid_goss_small"),
        ("camvid_b", "camvid", "camvid_goss_small"),
        ("cityscapes_16_3", "cityscapes", "cityscapes_goss_deeplab50"),
        ("cityscapes_13_6", "cityscapes", "cityscapes_goss_deeplab50"),
    )
}
"""The protocols by name. Those of Cityscapes are the splits of Table 4 of the paper."""


def get_protocol(name: str) -> GossProtocol:
    """Return the protocol of a name.

    Raises:
        UsageError: no protocol has this name.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"no protocol '{name}'; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
