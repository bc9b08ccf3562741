"""The tables of the papers: their rows, how ours are made, and the figures that they print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from owseg.errors import UsageError
from owseg_export.tables.networks import ENSEMBLE, NETWORKS

Printed = Mapping[str, float]
"""Figures in percent as a paper prints them, by the name of a column."""

DMLNET = "DMLNet (Cen et al., ICCV 2021)"
UNKNOWN = "Detecting and Learning the Unknown (Uhlemeyer et al., 2022)"


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A row of a table.

    Attributes:
        method: as the paper calls it, or what it is.
        network: name in `NETWORKS`, or "ensemble"; "" = not built here.
        score: name of the score.
        printed: the paper's figures by benchmark; none for rows that the paper lacks.
    """

    method: str
    network: str = ""
    score: str = ""
    printed: Mapping[str, Printed] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table of all scores of networks.

    Attributes:
        name: as on the command line.
        title: what it shows.
        paper: which table of which paper.
        benchmarks: those of the paper.
        rows: the rows.
    """

    name: str
    title: str
    paper: str
    benchmarks: tuple[str, ...]
    rows: tuple[PaperRow, ...]

    @property
    def networks(self) -> tuple[str, ...]:
        """Networks that it needs, in their usual order."""
        needed = {row.network for row in self.rows}
        return tuple(name for name in (*NETWORKS, ENSEMBLE) if name in needed)


@dataclass(frozen=True, kw_only=True)
class SegmentTable:
    """A table of unknown segments.

    Attributes:
        name: as on the command line.
        title: what it shows.
        paper: which table of which paper.
        benchmarks: those of the paper.
        networks: names in `NETWORKS`.
        printed: by threshold and "before" or "after" false and missed segments, F1, delta in
            percentage points.
    """

    name: str
    title: str
    paper: str
    benchmarks: tuple[str, ...]
    networks: tuple[str, ...]
    printed: Mapping[str, Mapping[str, tuple[int, int, float, float]]]


def _row(method: str, made: str = "", **printed: tuple[float | None, ...]) -> PaperRow:
    """Return a row; figures are AUPR, AUROC, FPR95 and mIoU, None where none is printed."""
    network, _, score = made.partition("/")
    names = ("aupr", "auroc", "fpr95", "miou")
    figures = {
        benchmark: {n: v for n, v in zip(names, values, strict=False) if v is not None}
        for benchmark, values in printed.items()
    }
    return PaperRow(method=method, network=network, score=score, printed=figures)


_OPEN = _row("training of the shipped model, EDS", "open/eds")

DMLNET_1 = PaperTable(
    name="dmlnet_1",
    title="Open-set segmentation",
    paper=f"Table 1 of {DMLNET}",
    benchmarks=("street_hazards",),
    rows=(
        _row("AE", street_hazards=(2.2, 66.1, 91.7, 53.2)),
        _row("MSP+CRF", street_hazards=(6.5, 88.1, 29.9, 53.2)),
        _row("MSP", "softmax/msp", street_hazards=(6.6, 87.7, 33.7, 53.2)),
        _row("Dropout", "dropout/mc_dropout", street_hazards=(7.5, 69.9, 79.4)),
        _row("SynthCP", street_hazards=(9.3, 88.5, 28.4, 53.2)),
        _row("MaxLogit", "softmax/max_logit", street_hazards=(10.6, 89.3, 26.5, 53.2)),
        _row("DML", "metric/eds", street_hazards=(14.7, 93.7, 17.3, 53.9)),
        _OPEN,
    ),
)

DMLNET_2 = PaperTable(
    name="dmlnet_2",
    title="Anomaly segmentation",
    paper=f"Table 2 of {DMLNET}",
    benchmarks=("lost_and_found", "road_anomaly"),
    rows=(
        _row(
            "Ensemble",
            "ensemble/ensemble",
            lost_and_found=(None, 57),
            road_anomaly=(None, 67),
        ),
        _row("RBM", lost_and_found=(None, 86), road_anomaly=(None, 59)),
        _row("MSP", "softmax/msp", lost_and_found=(21, 83, 31), road_anomaly=(19, 70, 61)),
        _row(
            "MaxLogit", "softmax/max_logit", lost_and_found=(37, 91, 21), road_anomaly=(32, 78, 49)
        ),
        _row("DUIR", lost_and_found=(None, 93), road_anomaly=(None, 83)),
        _row("DML", "metric/eds", lost_and_found=(45, 97, 10), road_anomaly=(37, 84, 37)),
        _OPEN,
    ),
)

DMLNET_3 = PaperTable(
    name="dmlnet_3",
    title="Losses and criteria of DMLNet",
    paper=f"Table 3 of {DMLNET}",
    benchmarks=("street_hazards",),
    rows=(
        _row("VL, EDS", "metric_vl/eds", street_hazards=(15.1, 91.5, 25.1, 49.0)),
        _row("VL, MMSP", "metric_vl/mmsp", street_hazards=(6.8, 88.6, 27.7, 49.0)),
        _row("VL, EDS and MMSP", "metric_vl/mixture", street_hazards=(13.7, 91.0, 25.5, 49.0)),
        _row("DCE, EDS", "metric_dce/eds", street_hazards=(13.3, 89.7, 27.8, 52.6)),
        _row("DCE, MMSP", "metric_dce/mmsp", street_hazards=(8.2, 91.1, 21.3, 52.6)),
        _row("DCE, EDS and MMSP", "metric_dce/mixture", street_hazards=(13.3, 92.4, 20.5, 52.6)),
        _row("VL and DCE, EDS", "metric/eds", street_hazards=(14.7, 93.7, 17.3, 53.9)),
        _row("VL and DCE, MMSP", "metric/mmsp", street_hazards=(8.8, 91.7, 19.8, 53.9)),
        _row("VL and DCE, EDS and MMSP", "metric/mixture", street_hazards=(14.1, 93.5, 18.0, 53.9)),
    ),
)


def _unknown_row(
    method: str, made: str, known: tuple[float, float, float], obstacle: tuple[float, float, float]
) -> PaperRow:
    return _row(method, made, lost_and_found_no_known=known, road_obstacle21=obstacle)


UNKNOWN_1 = PaperTable(
    name="unknown_1",
    title="Anomaly segmentation",
    paper=f"Table 1 of {UNKNOWN}",
    benchmarks=("lost_and_found_no_known", "road_obstacle21"),
    rows=(
        _unknown_row("Maximum softmax", "softmax/msp", (30.1, 93.0, 33.2), (10.0, 95.5, 17.9)),
        _unknown_row("ODIN", "softmax/odin", (52.9, 95.1, 30.0), (11.9, 96.0, 16.4)),
        _unknown_row("Mahalanobis", "softmax/mahalanobis", (55.0, 97.5, 12.9), (19.5, 95.1, 21.7)),
        _unknown_row(
            "Monte-Carlo dropout", "dropout/mc_dropout", (36.8, 92.2, 35.5), (4.9, 83.5, 50.3)
        ),
        _unknown_row("Void classifier", "n_plus_1/n_plus_1", (4.8, 79.5, 47.0), (10.4, 89.7, 41.5)),
        _unknown_row("Embedding density", "softmax/density", (61.7, 98.0, 10.4), (0.8, 81.0, 46.4)),
        _unknown_row("Image resynthesis", "", (42.7, 96.4, 17.4), (37.5, 98.6, 4.7)),
        _unknown_row("SynBoost", "", (81.7, 98.3, 4.6), (71.3, 99.4, 3.2)),
        _unknown_row(
            "Entropy maximization", "entropy/entropy", (77.9, 98.0, 9.7), (76.0, 99.7, 1.3)
        ),
        _row("entropy maximisation on foreign pieces", "negatives_entropy/entropy"),
        _row("foreign pieces as one more class", "negatives/n_plus_1"),
        _OPEN,
    ),
)

UNKNOWN_2 = SegmentTable(
    name="unknown_2",
    title="Unknown segments at thresholds of the entropy",
    paper=f"Table 2 of {UNKNOWN}",
    benchmarks=("lost_and_found_no_known",),
    networks=("negatives_entropy", "entropy"),
    printed={
        "0.30": {"before": (8068, 191, 0.26, 0.30), "after": (290, 308, 0.82, 0.06)},
        "0.40": {"before": (4035, 289, 0.39, 0.11), "after": (251, 359, 0.81, 0.03)},
        "0.50": {"before": (1215, 415, 0.60, 0.04), "after": (145, 447, 0.80, 0.02)},
        "0.60": {"before": (327, 613, 0.69, 0.02), "after": (49, 619, 0.76, 0.02)},
        "0.70": {"before": (135, 879, 0.61, 0.01), "after": (21, 881, 0.63, 0.01)},
    },
)

SCORES_TABLE = "scores"
"""The table of all scores of all networks."""

TABLES: dict[str, PaperTable | SegmentTable] = {
    table.name: table for table in (DMLNET_1, DMLNET_2, DMLNET_3, UNKNOWN_1, UNKNOWN_2)
}
"""Tables of the papers by name."""


def check_table(name: str) -> None:
    """Refuse a table that does not exist.

    Raises:
        UsageError: no table has this name.
    """
    if name not in (*TABLES, SCORES_TABLE):
        raise UsageError(f"no table '{name}'; there are {', '.join((*TABLES, SCORES_TABLE))}")
