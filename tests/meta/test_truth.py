"""Objects against ground truth: false, true, left out; found and missed."""

from __future__ import annotations

import numpy as np
import pytest

from owseg.datasets.truth_map import Truth
from owseg.meta.truth import FALSE, LEFT_OUT, TRUE, ObjectCounts, finders, judge


def truth(anomaly, void=None) -> Truth:
    anomaly = np.asarray(anomaly, bool)
    void = np.zeros_like(anomaly) if void is None else np.asarray(void, bool)
    known = np.where(anomaly | void, 255, 0).astype(np.uint8)
    return Truth(known=known, anomaly=anomaly, valid=~void)


def test_verdicts() -> None:
    clusters = np.array([[1, 1, 0, 2, 2, 0, 3, 3, 3, 0, 5, 5]], np.uint16)
    anomaly = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
    void = np.array([[0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1]])
    # one pixel is enough; half void still counts, two thirds do not, 4 has no pixel
    assert judge(clusters, truth(anomaly, void)).tolist() == [
        TRUE,
        FALSE,
        LEFT_OUT,
        LEFT_OUT,
        LEFT_OUT,
    ]
    assert judge(np.zeros((1, 3), np.uint16), truth(np.zeros((1, 3)))).size == 0


def test_counts() -> None:
    anomaly = np.zeros((40, 60), bool)
    anomaly[2:14, 2:14] = anomaly[20:32, 2:14] = anomaly[2:14, 30:42] = True
    anomaly[30:34, 50:54] = True  # too small to be missed
    clusters = np.zeros((40, 60), np.uint16)
    clusters[4:6, 4:6] = 1
    clusters[10:26, 10:12] = 2  # one segment may find two objects
    clusters[36:39, 30:40] = 3
    # from the top down, row by row
    assert [ids.tolist() for ids in finders(clusters, truth(anomaly))] == [[1, 2], [], [2]]
    counts = ObjectCounts()
    counts.update(clusters, truth(anomaly))
    assert counts.as_dict() == {"found": 2, "missed": 1, "false": 1, "f1": pytest.approx(4 / 6)}
    counts.update(np.zeros((40, 60), np.uint16), truth(anomaly))
    assert (counts.found, counts.missed, counts.false) == (2, 4, 1)
    assert ObjectCounts().f1 is None
