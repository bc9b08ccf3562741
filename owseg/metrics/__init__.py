"""Streaming metrics: constant memory, one `update` per image, `merge` across workers.

    PixelAnomalyMetric   AUROC, AUPR, FPR95, operating points, curves
    SegmentationMetric   IoU per class, mIoU, pixel accuracy
    OpenSetMetric        open-mIoU: the same, with "unknown" as a decision that counts
    CalibrationMetric    ECE and reliability curve of the anomaly score
    DecisionMetric       false alarms and misses, with the frame as the unit
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
from owseg.metrics.decisions import FALSE_FRAME, DecisionMetric, DecisionScores
from owseg.metrics.goss import GossMetric, GossScores
from owseg.metrics.open_set import OpenSetMetric, OpenSetScores
from owseg.metrics.pixel import AnomalyFigures, AnomalyScores, Curve, PixelAnomalyMetric
from owseg.metrics.segmentation import SegmentationMetric, SegmentationScores

__all__ = [
    "ANOMALY_TRACK",
    "FALSE_FRAME",
    "OBSTACLE_TRACK",
    "AnomalyFigures",
    "AnomalyScores",
    "CalibrationMetric",
    "CalibrationScores",
    "ComponentMetric",
    "ComponentRules",
    "ComponentScores",
    "Curve",
    "DecisionMetric",
    "DecisionScores",
    "GossMetric",
    "GossScores",
    "OpenSetMetric",
    "OpenSetScores",
    "PixelAnomalyMetric",
    "ReliabilityBin",
    "SegmentationMetric",
    "SegmentationScores",
]
