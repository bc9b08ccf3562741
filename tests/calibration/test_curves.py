"""False alarms and misses over the grid: against counting pixels."""

from __future__ import annotations

import numpy as np
import pytest

from owseg.calibration.curves import THRESHOLDS, FrameCurves
from owseg.errors import InputError, TruthError


def test_against_counting() -> None:
    rng = np.random.default_rng(0)
    curves = FrameCurves()
    frames = []
    for _ in range(3):
        scores = rng.beta(0.3, 0.3, (12, 17)).astype(np.float32)
        truth, valid = rng.random((12, 17)) < 0.2, rng.random((12, 17)) < 0.8
        frames.append((scores, truth & valid, ~truth & valid))
        curves.update(scores, truth, valid)
    assert curves.false_alarms.shape == curves.missed.shape == (3, THRESHOLDS)
    for k in range(0, THRESHOLDS, 97):
        for row, (scores, anomalous, normal) in enumerate(frames):
            above = scores > curves.thresholds[k]
            assert curves.false_alarms[row, k] == pytest.approx(above[normal].mean())
            assert curves.missed[row, k] == pytest.approx((~above)[anomalous].mean())


def test_the_grid() -> None:
    thresholds = FrameCurves().thresholds
    assert (np.diff(thresholds) >= 0).all()  # at the top there are fewer floats than bins
    assert thresholds[0] >= 0
    assert thresholds[-1] == 1.0  # nothing lies above it
    assert np.diff(thresholds).max() < 1 / 1000
    assert thresholds[1] < 1e-4


def test_frames_without_a_kind_of_pixels_count_for_the_other() -> None:
    curves = FrameCurves()
    half = np.full((2, 2), 0.5, np.float32)
    curves.update(half, np.zeros((2, 2), bool))
    curves.update(half, np.ones((2, 2), bool))
    curves.update(half, np.zeros((2, 2), bool), np.zeros((2, 2), bool))
    assert (len(curves.false_alarms), len(curves.missed), curves.frames) == (1, 1, 3)
    # at the top nothing is called unknown, and everything is missed
    assert curves.false_alarms[0, -1] == 0.0
    assert curves.missed[0, -1] == 1.0


def test_what_is_refused() -> None:
    curves = FrameCurves()
    with pytest.raises(InputError, match="float32"):
        curves.update(np.zeros((2, 2)), np.zeros((2, 2), bool))
    with pytest.raises(TruthError, match="anomaly mask"):
        curves.update(np.zeros((2, 2), np.float32), np.zeros((2, 3), bool))
    assert curves.frames == 0
    assert curves.missed.shape == (0, THRESHOLDS)
