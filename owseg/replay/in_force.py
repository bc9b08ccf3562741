"""What the figures of a run rest on: model, score, threshold, and what was fitted on top of it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from owseg.calibration.table import CalibrationTable
from owseg.pipeline import Pipeline


def in_force(pipeline: Pipeline) -> dict[str, Any]:
    """Return the settings of a pipeline under the keys of metrics.json.

    Figures of `anomaly` belong to `score`, or to the probability that `calibration` makes of it;
    None there = the score itself. `meta` and `min_object` change what is decided, not the score.
    """
    score, meta = pipeline.manifest.score, pipeline.meta
    return {
        "model": pipeline.manifest.name,
        "engine": pipeline.engine.name,
        "threshold": pipeline.threshold,
        "calibrated": pipeline.calibrated,
        "score": {
            "name": score.get("method"),
            "form": score.get("form"),
            "type": pipeline.score_type,
        },
        "calibration": None if pipeline.calibration is None else _about(pipeline.calibration),
        "meta": None if meta is None else dict(meta.about()),
        "min_object": pipeline.min_object,
    }


def _about(table: CalibrationTable) -> dict[str, str]:
    """Describe a calibration map; the digest is that of its probabilities as float64."""
    probabilities = np.asarray(table.probabilities, "<f8")
    return {
        "method": table.method,
        "fitted_on": table.fitted_on,
        "sha256": hashlib.sha256(probabilities.tobytes()).hexdigest(),
    }
