"""Constants and operating points, recomputed from all pixels in numpy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from owseg.datasets import Sample, Truth, load_truth_map, open_dataset
from owseg.metrics import PixelAnomalyMetric
from owseg_export import calibrate
from owseg_export.calibrate import (
    accumulate,
    available_scores,
    fit_constants,
    frames,
    load_resized,
    needed_scores,
    operating_points,
)
from owseg_export.trained import TrainedNetwork, load_trained
from owseg_training.config import ScoreConfig
from owseg_training.scorers import FITTED_SCORERS, SCORERS, CalibratedScore, Calibration

KNOWN = ("sky", "building", "road", "tree")
N, T = 4, 3.0
WIDE = ScoreConfig(scale_quantile=0.99)
Frames = list[tuple[np.ndarray, Truth]]


@pytest.fixture(scope="module")
def trained(checkpoint: Path) -> TrainedNetwork:
    return load_trained(checkpoint)


@pytest.fixture(scope="module")
def data(trained: TrainedNetwork, camvid_tree: Path) -> Frames:
    four = load_truth_map(trained.checkpoint.recipe.data.truth_map)
    return list(frames(open_dataset("camvid", camvid_tree, "train"), four, KNOWN, (64, 96)))


def raw_scores(trained: TrainedNetwork, data: Frames, name: str, which: str) -> np.ndarray:
    """Raw scores of all known pixels, or of all anomalous ones."""
    parts = []
    for image, truth in data:
        raw = SCORERS[name](trained.evidence(torch.from_numpy(image[None])))[0].numpy()
        parts.append(raw[truth.anomaly if which == "anomaly" else truth.known != 255])
    return np.concatenate(parts).astype(np.float64)


def test_constants_are_the_quantile_and_the_ceiling(
    trained: TrainedNetwork, data: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "PIXELS_PER_IMAGE", 10**6)
    config = ScoreConfig(scale_quantile=0.95)
    constants = fit_constants(trained, iter(data), config, tuple(SCORERS))
    ceilings = {"msp": 1 - 1 / N, "mmsp": 1 - 1 / N, "entropy": 1.0, "eds": -(N - 1) * T**2}
    for name, found in constants.items():
        values = raw_scores(trained, data, name, "known")
        assert found.low == pytest.approx(np.quantile(values, 0.05), rel=1e-5, abs=1e-6)
        assert found.high == pytest.approx(ceilings.get(name, values.max()), rel=1e-5)


def test_a_sample_of_the_pixels_is_enough_and_reproducible(
    trained: TrainedNetwork, data: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "PIXELS_PER_IMAGE", 500)
    one, two = (fit_constants(trained, iter(data), WIDE, ("eds",)) for _ in range(2))
    assert one == two
    values = raw_scores(trained, data, "eds", "known")
    assert np.mean(values > one["eds"].low) == pytest.approx(0.99, abs=0.006)


def test_held_out_pixels_do_not_enter_the_constants(trained: TrainedNetwork, data: Frames) -> None:
    image, truth = data[0]
    everything = Truth(
        known=np.zeros_like(truth.known),
        anomaly=truth.anomaly,
        valid=np.ones_like(truth.valid),
    )
    hidden = Truth(known=everything.known, anomaly=~truth.anomaly, valid=everything.valid)
    a, b = (
        fit_constants(trained, iter([(image, t)]), WIDE, ("eds",)) for t in (everything, hidden)
    )
    assert a["eds"].low != b["eds"].low


def test_operating_points_keep_what_their_names_promise(
    trained: TrainedNetwork, data: Frames
) -> None:
    constants = fit_constants(trained, iter(data), WIDE, ("eds",))
    score = CalibratedScore("eds", "constant", constants)
    points = operating_points(accumulate(trained, score, iter(data)), "test data")
    values = {point.name: point.threshold for point in points}
    assert {point.fitted_on for point in points} == {"test data"}
    constant = constants["eds"]
    normal, anomaly = (
        np.clip((raw - constant.low) / (constant.high - constant.low), 0, 1)
        for raw in (raw_scores(trained, data, "eds", w) for w in ("known", "anomaly"))
    )
    assert np.mean(normal > values["fpr_1"] + 1e-5) <= 0.01
    assert np.mean(normal > values["fpr_1"] - 1e-3) > 0.009
    assert np.mean(normal > values["fpr_5"] + 1e-5) <= 0.05
    assert np.mean(normal > values["fpr_5"] - 1e-3) > 0.049
    assert np.mean(anomaly > values["tpr_95"] - 1e-5) >= 0.95
    assert np.mean(anomaly > values["tpr_95"] + 1e-3) < 0.96
    best = max(f1_at(t, normal, anomaly) for t in np.linspace(0, 1, 400))
    assert f1_at(values["best_f1"], normal, anomaly) >= best - 1e-3


def f1_at(threshold: float, normal: np.ndarray, anomaly: np.ndarray) -> float:
    tp, fp = np.sum(anomaly > threshold), np.sum(normal > threshold)
    return float(2 * tp / (anomaly.size + tp + fp))


def test_without_anomalies_only_thresholds_on_normal_pixels_exist() -> None:
    metric = PixelAnomalyMetric()
    scores = np.linspace(0, 1, 100, dtype=np.float32)[None]
    metric.update(scores, np.zeros((1, 100), np.bool_))
    assert [p.name for p in operating_points(metric, "x")] == ["fpr_1", "fpr_5"]


def test_scores_of_each_head(trained: TrainedNetwork, softmax_checkpoint: Path) -> None:
    assert available_scores(trained) == (*SCORERS, *FITTED_SCORERS)
    plain = available_scores(load_trained(softmax_checkpoint))
    assert plain == ("msp", "max_logit", "entropy", "energy", *FITTED_SCORERS)
    assert needed_scores("mixture") == ("eds",)
    assert needed_scores("energy") == ("energy",)


def test_the_mixture_needs_no_other_constants(trained: TrainedNetwork, data: Frames) -> None:
    constants = {"eds": Calibration(low=-100.0, high=-27.0)}
    score = CalibratedScore("mixture", "constant", constants)
    evidence = trained.evidence(torch.from_numpy(data[0][0][None]))
    assert torch.isfinite(score(evidence)).all()


def sample(image: np.ndarray, labels: np.ndarray) -> Sample:
    return SimpleNamespace(load=lambda: (image, labels))  # type: ignore[return-value]


def truth_of(labels: np.ndarray) -> Truth:
    split = load_truth_map("camvid_a")
    return split.apply(labels, split.known_names)


def test_resizing_keeps_labels_unmixed_and_areas_averaged() -> None:
    labels = np.zeros((64, 96), np.uint8)  # with borders that cut through pixels of half the size
    labels[:31, 47:], labels[31:, :47], labels[31:, 47:] = 3, 8, 11
    checker = (np.indices((64, 96)).sum(axis=0) % 2 * 200).astype(np.uint8)
    image = np.repeat(checker[..., None], 3, axis=2)
    split = load_truth_map("camvid_a")
    small, truth = load_resized(sample(image, labels), split, split.known_names, (32, 48))
    assert (small == 100).all()
    expected = truth_of(labels[1::2, 1::2])
    np.testing.assert_array_equal(truth.anomaly, expected.anomaly)
    np.testing.assert_array_equal(truth.known, expected.known)


def test_frames_pass_through_at_their_own_size(camvid_tree: Path) -> None:
    split = load_truth_map("camvid_a")
    reader = open_dataset("camvid", camvid_tree, "train")
    image, _ = next(frames(reader, split, split.known_names, (64, 96)))
    stored = cv2.imread(str(camvid_tree / "images" / "frame_0.png"))[..., ::-1]
    np.testing.assert_array_equal(image, stored)
