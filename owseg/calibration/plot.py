"""The reliability diagram: how often pixels of a score are anomalies, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from owseg.errors import MissingDependencyError, OutputError
from owseg.metrics import ReliabilityBin

_LINE, _BAR = "#1f4e79", "#b8c4cf"


def plot_reliability(
    bins: Sequence[ReliabilityBin], ece: float | None, path: Path, title: str
) -> None:
    """Draw a reliability diagram; the suffix of the path decides on the format.

    Args:
        bins: the reliability curve.
        ece: expected calibration error, 0..1.
        path: .png, .svg or .pdf.
        title: above the diagram.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: the file cannot be written, or is of an unknown format.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"--plot needs matplotlib ({error}): pip install 'owseg_ros[viz]'"
        ) from error
    figure = Figure(figsize=(4.8, 5.6), layout="constrained")
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    used = [b for b in bins if b.mean_score is not None and b.anomaly_share is not None]
    curve.plot([0, 1], [0, 1], color="#8d99a6", linewidth=1, linestyle=":")
    curve.plot(
        [b.mean_score for b in used], [b.anomaly_share for b in used], "o-", color=_LINE, ms=4
    )
    curve.set_ylabel("share of anomalies")
    shown = "undefined" if ece is None else f"{100 * ece:.1f} %"
    curve.set_title(f"{title}\nECE {shown}", fontsize=10)
    curve.set_xlim(0, 1)
    curve.set_ylim(0, 1)
    middles = [(b.lower + b.upper) / 2 for b in used]
    counts.bar(middles, [b.pixels for b in used], 0.9 / max(1, len(bins)), color=_BAR)
    counts.set_yscale("log")
    counts.minorticks_off()
    counts.set_ylabel("pixels")
    counts.set_xlabel("anomaly score")
    for axis in (curve, counts):
        axis.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OutputError(f"cannot write the plot {path}: {reason}") from error
