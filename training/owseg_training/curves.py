"""The curve plot at the end of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from owseg.errors import OutputError

LOG_EVERY = 10
"""Steps between two logged values."""


def plot_curves(history: dict[str, list[float]], path: Path, *, title: str) -> None:
    """Draw each loss term over the steps, thin as logged and thick as a running mean.

    Args:
        history: values by term, one a `LOG_EVERY` steps.
        path: PNG to write.
        title: heading.

    Raises:
        OutputError: the file cannot be written.
    """
    terms = [name for name, values in history.items() if np.any(values)]
    figure = Figure(figsize=(4.2 * max(1, len(terms)), 3.2), layout="constrained")
    axes = figure.subplots(1, max(1, len(terms)), squeeze=False)[0]
    for axis, name in zip(axes, terms, strict=False):
        values = np.asarray(history[name])
        steps = np.arange(len(values)) * LOG_EVERY
        axis.plot(steps, values, color="#9db4c8", linewidth=0.6)
        axis.plot(steps, _running_mean(values), color="#1f4e79", linewidth=1.6)
        axis.set(title=name, xlabel="step")
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise OutputError(f"cannot write the curves {path}: {error.strerror}") from error


def _running_mean(values: npt.NDArray[np.float64], window: int = 20) -> npt.NDArray[np.float64]:
    window = max(1, min(window, len(values)))
    sums = np.cumsum(np.insert(values, 0, 0.0))
    positions = np.arange(1, len(values) + 1)
    starts = np.maximum(0, positions - window)
    out: npt.NDArray[np.float64] = (sums[positions] - sums[starts]) / (positions - starts)
    return out
