"""Which classes are known from the start, and which are learnt one after another."""

from __future__ import annotations

from dataclasses import dataclass

from owseg.datasets import TruthMap, load_truth_map
from owseg.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """An incremental setting.

    Attributes:
        name: as on the command line.
        dataset: name of a reader in `owseg.datasets.READERS`.
        base_map: truth map in which the new classes are held out.
        full_map: truth map of the upper bound, in which they are known.
        novel: the new classes, in the order in which they are learnt.
        recipe: recipe of the base network.
        split: split that is evaluated.
    """

    name: str
    dataset: str
    base_map: str
    full_map: str
    novel: tuple[str, ...]
    recipe: str
    split: str = "val"

    @property
    def base_names(self) -> tuple[str, ...]:
        """Names of the base classes, in the order of their ids."""
        return load_truth_map(self.base_map).known_names

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all classes: the base, then the new ones in their order."""
        return (*self.base_names, *self.novel)

    @property
    def truth(self) -> TruthMap:
        """The truth map with nothing held out."""
        return load_truth_map(self.full_map)


_PROTOCOLS = (
    Protocol(
        name="camvid_10+1",
        dataset="camvid",
        base_map="camvid_a",
        full_map="camvid",
        novel=("car",),
        recipe="camvid_small",
    ),
    Protocol(
        name="camvid_8+3",
        dataset="camvid",
        base_map="camvid_b",
        full_map="camvid",
        novel=("car", "pedestrian", "bicyclist"),
        recipe="camvid_small",
    ),
    Protocol(
        name="cityscapes_16+1",
        dataset="cityscapes",
        base_map="cityscapes_16_1",
        full_map="cityscapes_17",
        novel=("car",),
        recipe="cityscapes_small",
    ),
    Protocol(
        name="cityscapes_16+3",
        dataset="cityscapes",
        base_map="cityscapes_16_3",
        full_map="cityscapes",
        novel=("car", "truck", "bus"),
        recipe="cityscapes_small",
    ),
)

PROTOCOLS = {protocol.name: protocol for protocol in _PROTOCOLS}
"""The protocols by name. Those of Cityscapes are Table 4 of the DMLNet paper."""


def get_protocol(name: str) -> Protocol:
    """Return the protocol of a name.

    Raises:
        UsageError: no protocol has this name.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"no protocol '{name}'; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
