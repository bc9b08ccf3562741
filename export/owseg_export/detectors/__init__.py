"""Detectors of anomalies behind one interface: an image gives a score map.

Those that are scores of the exported graph run on the vehicle (`GraphScore`). The others look at
gradients, at many samples or at many networks, and are for comparisons: `Odin`, `DropoutSamples`,
`Ensemble`.
"""

from __future__ import annotations

from owseg_export.detectors.base import Detector, to_unit
from owseg_export.detectors.dropout import DropoutSamples
from owseg_export.detectors.ensemble import Ensemble
from owseg_export.detectors.graph_score import GraphScore
from owseg_export.detectors.odin import Odin

__all__ = ["Detector", "DropoutSamples", "Ensemble", "GraphScore", "Odin", "to_unit"]
