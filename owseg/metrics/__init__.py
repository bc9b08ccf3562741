"""Streaming metrics: constant memory, one `update` per image, `merge` across workers.

    PixelAnomalyMetric   AUROC, AUPR, FPR95, operating points, curves
    SegmentationMetric   IoU per class, mIoU, pixel accuracy
    CalibrationMetric    ECE and reliability curve of the anomaly score
    ComponentMetric      sIoU, PPV and F1 of connected components
    GossMetric           GOSS quality: known classes, and unknown segments

Each has `update`, `merge` and `compute`. Figures lie in [0, 1]; one that the data
leave undefined is None.
"""

from owseg.metrics.calibration import CalibrationMetric, CalibrationScores, ReliabilityBin
from owseg.metrics.components import (
    ANOMALY_TRACK,
    OBSTACLE_TRACK,
    ComponentMetric,
    ComponentRules,
    ComponentScores,
)
from owseg.metrics.goss import GossMetric, GossScores
from owseg.metrics.pixel import AnomalyFigures, AnomalyScores, Curve, PixelAnomalyMetric
from owseg.metrics.segmentation import SegmentationMetric, SegmentationScores

__all__ = [
    "ANOMALY_TRACK",
    "OBSTACLE_TRACK",
    "AnomalyFigures",
    "AnomalyScores",
    "CalibrationMetric",
    "CalibrationScores",
    "ComponentMetric",
    "ComponentRules",
    "ComponentScores",
    "Curve",
    "GossMetric",
    "GossScores",
    "PixelAnomalyMetric",
    "ReliabilityBin",
    "SegmentationMetric",
    "SegmentationScores",
]
