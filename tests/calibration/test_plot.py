"""The reliability diagram: written, and refused where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from owseg.calibration.plot import plot_reliability
from owseg.errors import OutputError
from owseg.metrics import CalibrationMetric


def test_the_diagram(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    metric = CalibrationMetric()
    scores = rng.random((40, 50)).astype(np.float32)
    metric.update(scores, rng.random((40, 50)) < scores**2)
    found = metric.compute()
    path = tmp_path / "reliability.svg"
    plot_reliability(found.bins, found.ece, path, "a drawing")
    text = path.read_text()
    assert text.count("<use") > 15  # a mark for each of the bins
    plot_reliability(CalibrationMetric().compute().bins, None, tmp_path / "none.png", "nothing")
    assert (tmp_path / "none.png").stat().st_size > 1000
    with pytest.raises(OutputError, match="cannot write the plot"):
        plot_reliability(found.bins, found.ece, tmp_path / "x.nothing", "a drawing")
