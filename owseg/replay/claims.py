"""How much of a drive the novel classes claim."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from owseg.prototypes.classes import PrototypeSet
from owseg.types import Result


class ClaimMetric:
    """Counts the pixels of novel classes, frame by frame.

    Args:
        prototypes: the novel classes in use.
    """

    def __init__(self, prototypes: PrototypeSet) -> None:
        self._prototypes = prototypes
        self._pixels = np.zeros(256, np.int64)

    def update(self, result: Result) -> None:
        """Add one frame; costs nothing where there are no novel classes."""
        if self._prototypes.classes:
            counts = cv2.calcHist([result.known], [0], None, [256], [0, 256]).reshape(-1)
            self._pixels += counts.astype(np.int64)

    def metrics(self) -> dict[str, Any]:
        """Return the section `prototypes` of metrics.json; nothing without a store."""
        if not self._prototypes.version:
            return {}
        total = max(1, int(self._pixels.sum()))
        return {
            "prototypes": {
                "version": self._prototypes.version,
                "classes": [
                    {
                        "id": item.id,
                        "name": item.name,
                        "shots": len(item.shots),
                        "prototypes": len(item.vectors),
                        "radius": item.radius,
                        "share": int(self._pixels[item.id]) / total,
                    }
                    for item in self._prototypes.classes
                ],
            }
        }
