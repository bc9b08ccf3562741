"""Deep ensemble: the entropy of the mean prediction of networks that were trained apart.

Source: Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep
Ensembles", NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from owseg.errors import UsageError
from owseg.types import UInt8Array
from owseg_export.detectors.base import mean_and_spread, to_unit
from owseg_export.trained import TrainedNetwork


class Ensemble:
    """Entropy of the mean softmax.

    Args:
        members: networks of the same classes, two or more.

    Raises:
        UsageError: there are too few, or their classes differ.
    """

    def __init__(self, members: Sequence[TrainedNetwork]) -> None:
        if len(members) < 2:
            raise UsageError(f"an ensemble needs 2 networks or more, not {len(members)}")
        first = members[0].checkpoint.class_names
        for member in members[1:]:
            if member.checkpoint.class_names != first:
                raise UsageError(
                    "the networks of an ensemble must have the same classes: "
                    f"{', '.join(first)} and {', '.join(member.checkpoint.class_names)}"
                )
        self.members = tuple(members)

    @torch.no_grad()
    def __call__(self, image: UInt8Array) -> Tensor:
        """Return the score map; see `Detector`."""
        x, size = to_unit(image), (image.shape[0], image.shape[1])
        found = [one.evidence_of(x, size).logits.softmax(dim=1) for one in self.members]
        return mean_and_spread(torch.cat(found))[0]
