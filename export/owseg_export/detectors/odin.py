"""ODIN: the maximum softmax probability at a high temperature, after a step against the input.

The image is changed by a small step that makes the network surer of what it sees; that helps what
it knows more than what it does not. It needs the gradient with respect to the image, a second and
third pass, and so does not run in the exported graph.

Source: Liang et al., "Enhancing The Reliability of Out-of-distribution Image Detection in Neural
Networks", ICLR 2018, Eq. 1 and 2; Uhlemeyer et al., "Detecting and Learning the Unknown in Semantic
Segmentation", Eq. 18 and 19, which leaves the temperature out of the second pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from owseg.errors import UsageError
from owseg.types import UInt8Array
from owseg_export.detectors.base import to_unit
from owseg_export.trained import TrainedNetwork


class Odin:
    """1 - max softmax(z(x') / t), x' = x + e sign(d/dx sum log max softmax(z(x) / t)).

    Args:
        trained: the network.
        temperature: t, above 0.
        step: e in units of the image's range 0..1, at least 0.

    Raises:
        UsageError: a parameter is out of its range.
    """

    def __init__(
        self, trained: TrainedNetwork, temperature: float = 10.0, step: float = 0.0014
    ) -> None:
        if temperature <= 0 or step < 0:
            raise UsageError(
                f"ODIN needs a temperature above 0 and a step of at least 0, not {temperature} "
                f"and {step}"
            )
        self.trained, self.temperature, self.step = trained, temperature, step

    def __call__(self, image: UInt8Array) -> Tensor:
        """Return the score map; see `Detector`."""
        x = to_unit(image).requires_grad_()
        size = (image.shape[0], image.shape[1])
        with torch.enable_grad():
            sure = self._log_best(x, size).sum()
            (slope,) = torch.autograd.grad(sure, x)
        with torch.no_grad():
            changed = x + self.step * slope.sign()
            return -torch.expm1(self._log_best(changed, size))[0].float()

    def _log_best(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return log max softmax(z / t) as (B, H, W); in float64, as a high t hides the rest."""
        logits = self.trained.evidence_of(x, size).logits.double() / self.temperature
        return logits.amax(dim=1) - logits.logsumexp(dim=1)
