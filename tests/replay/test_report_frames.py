"""What the report keeps of a long drive: a bounded time line, and a few frames."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.replay.report_frames import MAX_PIXELS, TRUTH_ANOMALY, FrameKeeper, take_shot
from owseg.replay.report_timeline import Timeline

made = runpy.run_path(str(Path(__file__).with_name("report_model.py")))
SECOND, START, result, truth_of = (made[name] for name in ("SECOND", "START", "result", "truth_of"))


# --- time line ---------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [0, 1, 5, 6, 7, 100, 1023])
def test_timeline_agrees_with_slices_of_the_whole(frames: int) -> None:
    values = np.random.default_rng(0).random(frames)
    timeline = Timeline(limit=6)
    for i, value in enumerate(values):
        timeline.add(i * 10, {"v": value, "rare": value if i % 50 == 0 else float("nan")})
        assert len(timeline.buckets) <= 6
    assert [b.position for b in timeline.buckets] == list(range(0, frames, timeline.stride))
    for bucket in timeline.buckets:
        part = values[bucket.position : bucket.position + timeline.stride]
        tally = bucket.tallies["v"]
        assert (bucket.frames, bucket.stamp_ns) == (len(part), bucket.position * 10)
        assert (tally.mean, tally.low, tally.high) == (
            pytest.approx(part.mean()),
            part.min(),
            part.max(),
        )
    assert timeline.overall("rare").count == -(-frames // 50)


def test_timeline_knows_when_stamps_do_not_tell_the_time() -> None:
    good, frozen, back = Timeline(), Timeline(), Timeline()
    for i in range(5):
        good.add(START + i * SECOND // 2, {})
        frozen.add(START, {})
        back.add(START - i * SECOND, {})
    assert (good.duration_s, frozen.duration_s, back.duration_s) == (2.0, None, None)


# --- choice of frames --------------------------------------------------------------------


def keep(shares: list[float], even: int = 6, peaks: int = 3) -> FrameKeeper:
    keeper = FrameKeeper(even=even, peaks=peaks)
    for i, share in enumerate(shares):
        keeper.add(result((2, 2), index=i), share)
        assert len(keeper.shots()) <= even + peaks
    return keeper


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), min_size=1, max_size=120))
def test_frames_kept_are_few_spread_and_hold_the_peak(shares: list[float]) -> None:
    keeper = keep(shares)
    positions = [shot.position for shot in keeper.shots()]
    peaks = keeper.peaks()
    even = [p for p in positions if p not in peaks]
    assert positions == sorted(set(positions))
    assert positions[0] == 0
    stride = next(s for s in (1, 2, 4, 8, 16, 32) if -(-len(shares) // s) <= 6)
    assert set(range(0, len(shares), stride)) <= set(positions)
    assert all(p % stride == 0 for p in even)
    assert all(abs(a - b) >= stride for a in peaks for b in peaks if a != b)
    if max(shares) > 0:
        assert shares[peaks[0]] == max(shares)


def test_peaks_are_spread_over_events() -> None:
    shares = [0.001] * 200
    shares[30:34] = [0.5, 0.6, 0.7, 0.6]
    shares[100:103] = [0.4, 0.45, 0.4]
    assert set(keep(shares).peaks()) >= {32, 101}


def test_frame_without_unknown_pixels_is_no_peak() -> None:
    assert keep([0.0] * 9).peaks() == []


def test_kept_frames_do_not_share_memory_with_the_pipeline() -> None:
    made = result((4, 4), unknown=0.5)
    shot = take_shot(made, 0, 0.5, truth := truth_of((4, 4)))
    before = [shot.image.copy(), shot.open_set.copy(), shot.clusters.copy(), shot.truth.copy()]
    for array in (made.frame.image, made.open_set, made.clusters, truth.known):
        array[:] = 7
    after = [shot.image, shot.open_set, shot.clusters, shot.truth]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (20, 300_000)])
def test_large_frames_are_kept_small_with_their_aspect(size: tuple[int, int]) -> None:
    shot = take_shot(result(size), 0, 0.0, truth_of(size))
    height, width = shot.open_set.shape
    assert height * width <= MAX_PIXELS
    assert width / height == pytest.approx(size[1] / size[0], rel=0.15)
    arrays = (shot.image, shot.anomaly, shot.clusters, shot.truth)
    assert {a.shape[:2] for a in arrays if a is not None} == {(height, width)}


def test_truth_of_a_shot_marks_valid_anomalies() -> None:
    truth = truth_of((5, 2))
    truth.valid[0] = False
    shot = take_shot(result((5, 2)), 0, 0.0, truth)
    assert shot.truth[:, 0].tolist() == [255, TRUTH_ANOMALY, 255, 0, 0]
