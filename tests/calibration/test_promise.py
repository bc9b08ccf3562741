"""Promises: they are kept as often as they say, and refused where the frames cannot bear them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from owseg.calibration.curves import FrameCurves
from owseg.calibration.promise import KINDS, Promise, keep
from owseg.errors import InputError, UsageError

GRID = np.linspace(0.0, 1.0, 101)


class Known:
    """Curves of frames whose loss is known for every threshold, with the means over all frames.

    A frame has a level u, drawn evenly: its normal pixels exceed t in the share
    2 a u (1 - t)^2, its anomalous ones miss it in the share min(1, 2 a u t^2 + [t = 1]).
    """

    thresholds = GRID.astype(np.float32)

    def __init__(self, frames: int, seed: int, amount: float = 0.3) -> None:
        u = np.random.default_rng(seed).random((frames, 1))
        self.false_alarms = 2 * amount * u * (1 - GRID) ** 2
        self.missed = np.where(GRID < 1, 2 * amount * u * GRID**2, 1.0)

    @staticmethod
    def truth(kind: str, threshold: float, of_frame: float, amount: float = 0.3) -> float:
        """Return the figure of a threshold over all frames there can be."""
        if kind == "missed":
            return amount * threshold**2 if threshold < 1 else 1.0
        worst = 2 * amount * (1 - threshold) ** 2
        if kind == "false_alarms":
            return worst / 2
        return max(0.0, 1 - of_frame / worst) if worst else 0.0


WANTED = {
    "false_alarms": Promise(kind="false_alarms", limit=0.05, confidence=0.8),
    "false_frames": Promise(kind="false_frames", limit=0.1, confidence=0.8, of_frame=0.05),
    "missed": Promise(kind="missed", limit=0.1, confidence=0.8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_promises_are_kept_as_often_as_they_say(kind) -> None:
    promise, draws, broken, useful = WANTED[kind], 250, 0, []
    for seed in range(draws):
        point = keep(promise, Known(120, seed), "a drawing")
        true = Known.truth(kind, point.threshold, promise.of_frame)
        broken += true > promise.limit
        useful.append(true)
    assert broken / draws <= 0.2 + 3 * math.sqrt(0.2 * 0.8 / draws)
    # and they are no empty ones: the thresholds come near the limit
    assert np.mean(useful) > 0.3 * promise.limit


@pytest.mark.parametrize("kind", ["false_alarms", "missed"])
def test_in_expectation_the_next_frame_keeps_the_limit(kind) -> None:
    promise = Promise(kind=kind, limit=0.05, confidence=None)
    figures = [
        Known.truth(kind, keep(promise, Known(200, seed), "a drawing").threshold, 0.0)
        for seed in range(300)
    ]
    assert np.mean(figures) <= promise.limit + 3 * np.std(figures) / math.sqrt(len(figures))
    assert np.mean(figures) > 0.8 * promise.limit
    assert max(figures) > 0.95 * promise.limit


def test_one_draw_of_bad_frames_is_noticed() -> None:
    """Frames of which a few are all false alarms: the mean of the others says nothing."""
    promise = Promise(kind="false_alarms", limit=0.05)
    good = Known(200, 0, amount=0.02)
    before = keep(promise, good, "x").threshold
    good.false_alarms[:12] = 1 - GRID**8
    assert keep(promise, good, "x").threshold > before + 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_more_frames_more_use(kind) -> None:
    few, many = (keep(WANTED[kind], Known(n, 0), "x").threshold for n in (60, 6000))
    assert (many > few) if kind == "missed" else (many < few)


def test_the_point() -> None:
    curves = Known(500, 0)
    point = keep(Promise(kind="false_alarms", limit=0.025), curves, "camvid val, 500 images")
    assert point.name == "false_alarms_2.5"
    assert point.fitted_on == (
        "camvid val, 500 images: at most 2.5 % of a frame's normal pixels unknown, mean over "
        "frames, 95 % sure"
    )
    column = int(np.argmin(abs(GRID - point.threshold)))
    assert point.promise == {
        "kind": "false_alarms",
        "limit": 0.025,
        "confidence": 0.95,
        "frames": 500,
        "measured": pytest.approx(curves.false_alarms[:, column].mean(), abs=1e-6),
    }
    frames = keep(WANTED["false_frames"], curves, "x")
    assert frames.promise["of_frame"] == 0.05
    assert "10 % of frames with more than 5 %" in frames.fitted_on


@pytest.mark.parametrize(
    ("promise", "needed"),
    [
        (Promise(kind="false_frames", limit=0.01), 299),  # ln 0.05 / ln 0.99
        (Promise(kind="false_frames", limit=0.05, confidence=0.9), 45),
        (Promise(kind="false_alarms", limit=0.01, confidence=None), 99),  # 1 / (n + 1) <= 0.01
    ],
)
def test_frames_needed(promise, needed) -> None:
    assert promise.frames_needed() == needed
    keep(promise, Known(needed, 0), "x")
    with pytest.raises(InputError, match=f"x: {needed - 1} frames .* it takes {needed};"):
        keep(promise, Known(needed - 1, 0), "x")


def test_betting_needs_few_more_frames_than_the_exact_test() -> None:
    assert 299 <= Promise(kind="false_alarms", limit=0.01).frames_needed() <= 330


def test_no_frames_at_all() -> None:
    with pytest.raises(InputError, match="0 frames with anomalies cannot promise"):
        keep(Promise(kind="missed", limit=0.5, confidence=0.5), FrameCurves(), "x")
    with pytest.raises(InputError, match="0 frames with normal pixels"):
        keep(Promise(kind="false_alarms", limit=0.5, confidence=None), FrameCurves(), "x")


def test_a_promise_that_no_threshold_keeps() -> None:
    curves = Known(200, 0)
    curves.missed[:] = 0.3
    with pytest.raises(
        InputError, match=r"no threshold keeps .* even the most careful one has 30 %"
    ):
        keep(Promise(kind="missed", limit=0.1), curves, "x")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "luck"}, "nothing is promised about 'luck'"),
        ({"limit": 0.0}, "limit of false_alarms must lie between 0 and 1"),
        ({"limit": 1.0}, "limit of false_alarms"),
        ({"limit": float("nan")}, "limit of false_alarms"),
        ({"confidence": 1.0}, "confidence must lie between 0 and 1"),
        ({"of_frame": 1.0}, "share of a frame"),
    ],
)
def test_what_is_refused(changes, says) -> None:
    with pytest.raises(UsageError, match=says):
        Promise(**{"kind": "false_alarms", "limit": 0.1, **changes})
