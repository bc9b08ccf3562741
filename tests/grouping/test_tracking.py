"""Ids over time: who keeps one, who gets a new one, and what is said of each object."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.errors import UsageError
from owseg.grouping import ClusterTracker, TrackingRules
from owseg.grouping.tracking import _edges
from owseg.types import Cluster

SIZE = (60, 80)


def squares(*boxes, size=SIZE):
    """Draw squares (row, column, side) with ids 1, 2, ..."""
    clusters = np.zeros(size, np.uint16)
    for number, (row, column, side) in enumerate(boxes, start=1):
        clusters[row : row + side, column : column + side] = number
    return clusters


def follow(tracker, *boxes, anomaly=0.5):
    """Give the ids of squares, in their order."""
    clusters = squares(*boxes)
    shown, objects = tracker.update(clusters, np.full(SIZE, anomaly, np.float32))
    ids = [int(shown[row + side // 2, column + side // 2]) for row, column, side in boxes]
    assert [cluster.id for cluster in objects] == ids
    np.testing.assert_array_equal(shown > 0, clusters > 0)
    return ids


# Who is who ------------------------------------------------------------------------------------


def test_objects_that_overlap_keep_their_ids_in_any_order():
    tracker = ClusterTracker()
    assert follow(tracker, (5, 5, 10), (30, 40, 20)) == [1, 2]
    assert follow(tracker, (31, 43, 20), (7, 6, 10)) == [2, 1]
    assert follow(tracker, (9, 7, 10), (32, 46, 20), (5, 60, 8)) == [1, 2, 3]


def test_the_largest_overlap_wins():
    # the new square overlaps both; the old one with the larger IoU stays itself
    tracker = ClusterTracker()
    assert follow(tracker, (10, 10, 10), (10, 21, 10)) == [1, 2]
    assert follow(tracker, (10, 17, 10)) == [2]
    tracker = ClusterTracker()
    follow(tracker, (10, 10, 20))
    parts = follow(tracker, (10, 10, 8), (10, 18, 14))  # it falls apart
    assert parts == [2, 1]


def test_a_fast_small_object_is_found_where_it_is_expected():
    tracker = ClusterTracker(TrackingRules(patience=2))
    assert follow(tracker, (10, 10, 4)) == [1]
    assert follow(tracker, (10, 14, 4)) == [1]  # no overlap, but as near as it is wide
    assert follow(tracker, (10, 24, 4)) == [2]  # 6 pixels from where it was expected
    tracker = ClusterTracker()
    follow(tracker, (10, 10, 4))
    for step in range(1, 8):  # the step grows, and is expected to go on
        assert follow(tracker, (10, 10 + 3 * step + step * step // 4, 4)) == [1]


def test_an_object_of_another_size_is_another():
    tracker = ClusterTracker()
    follow(tracker, (10, 10, 6))
    assert follow(tracker, (10, 10, 30)) == [2]  # the same place, IoU 1 / 25
    assert follow(tracker, (20, 20, 3)) == [3]


def test_an_object_that_flickers_keeps_its_id_for_a_while():
    rules = TrackingRules(patience=2)
    tracker = ClusterTracker(rules)
    assert follow(tracker, (10, 10, 10)) == [1]
    assert follow(tracker) == follow(tracker) == []
    assert follow(tracker, (11, 11, 10)) == [1]
    for _ in range(3):
        follow(tracker)
    assert follow(tracker, (11, 11, 10)) == [2]


def test_patience_of_zero_still_expects_motion():
    tracker = ClusterTracker(TrackingRules(patience=0))
    follow(tracker, (10, 10, 4))
    assert follow(tracker, (10, 14, 4)) == [1]
    follow(tracker)
    assert follow(tracker, (10, 14, 4)) == [2]


def test_a_lost_object_is_not_taken_for_one_that_stays():
    tracker = ClusterTracker()
    assert follow(tracker, (10, 10, 10), (10, 30, 10)) == [1, 2]
    assert follow(tracker, (10, 28, 10)) == [2]
    assert follow(tracker, (10, 26, 10), (11, 10, 10)) == [2, 1]


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_ids_follow_objects_that_move_slowly(seed):
    rng = np.random.default_rng(seed)
    tracker = ClusterTracker()
    number = int(rng.integers(1, 7))
    # each has a lane of its own: whatever order they come in, overlaps tell who is who
    places = np.stack([9.0 * np.arange(number), rng.uniform(0, 60, number)], axis=1)
    steps = rng.uniform(-1.5, 1.5, number)
    names = {}
    for _ in range(12):
        places[:, 1] = np.clip(places[:, 1] + steps, 0, 70)
        order = rng.permutation(number)
        boxes = [(int(places[k, 0]), int(places[k, 1]), 8) for k in order]
        ids = follow(tracker, *boxes)
        assert len(set(ids)) == number
        for k, found in zip(order.tolist(), ids, strict=True):
            assert names.setdefault(k, found) == found


def test_few_ids_switch_in_a_drive():
    """Objects grow and drift outwards as the camera drives on, with noisy borders."""
    rng = np.random.default_rng(0)
    places = rng.uniform(-1, 1, (40, 2)) * (90, 160)
    tracker = ClusterTracker()
    names, before, switches, matched = {}, set(), 0, 0
    for frame in range(25):
        clusters = np.zeros((200, 320), np.uint16)
        shown_of = []
        for k, (row, column) in enumerate(places):
            zoom = 1.03**frame
            y, x = int(100 + row * zoom), int(160 + column * zoom)
            radius = int((3 + k % 7) * zoom + rng.integers(-1, 2))
            blob = np.zeros_like(clusters, np.uint8)
            cv2.circle(blob, (x, y), radius, 1, cv2.FILLED)
            if (blob & (clusters == 0)).sum() > 12 and 0 <= y < 200 and 0 <= x < 320:
                shown_of.append(k)
                clusters[(blob > 0) & (clusters == 0)] = len(shown_of)
        _, objects = tracker.update(clusters, np.zeros(clusters.shape, np.float32))
        assert len(objects) == len({cluster.id for cluster in objects}) == len(shown_of)
        for k, cluster in zip(shown_of, objects, strict=True):
            matched += k in before
            switches += k in before and names[k] != cluster.id
            names[k] = cluster.id
        before = set(shown_of)
    assert matched > 400
    assert switches / matched < 0.02


# Ids -------------------------------------------------------------------------------------------


def test_ids_of_the_gone_come_back_last():
    tracker = ClusterTracker(TrackingRules(last_id=4, patience=0))
    corners = [(0, 0, 8), (0, 40, 8), (40, 0, 8), (40, 40, 8)]
    assert follow(tracker, corners[0], corners[1]) == [1, 2]
    assert follow(tracker, corners[1]) == [2]  # 1 is free
    assert follow(tracker, corners[2]) == [3]  # not 1, and 2 is free
    assert follow(tracker, corners[2], corners[3]) == [3, 4]
    assert follow(tracker, corners[2], corners[3], corners[0]) == [3, 4, 1]
    assert follow(tracker, corners[3], corners[0], corners[1]) == [4, 1, 2]


def test_ids_in_use_are_not_given_twice_and_may_run_out():
    tracker = ClusterTracker(TrackingRules(last_id=2, patience=0))
    clusters = squares((0, 0, 8), (0, 40, 8), (40, 0, 8))
    shown, objects = tracker.update(clusters, np.zeros(SIZE, np.float32))
    assert [cluster.id for cluster in objects] == [1, 2]
    assert not shown[40:48, :8].any()
    again, _ = tracker.update(squares((40, 0, 8)), np.zeros(SIZE, np.float32))
    assert not again.any()  # the same object, still without one
    assert follow(tracker, (0, 20, 6)) == [1]


def test_after_65535_births_ids_start_again():
    tracker = ClusterTracker(TrackingRules(patience=0))
    tracker._fresh = 65535
    assert follow(tracker, (0, 0, 8)) == [65535]
    follow(tracker)
    assert follow(tracker, (40, 40, 8)) == [65535]


def test_another_size_starts_anew_without_using_ids_twice():
    tracker = ClusterTracker()
    assert follow(tracker, (5, 5, 10)) == [1]
    clusters = squares((5, 5, 10), size=(50, 50))
    shown, objects = tracker.update(clusters, np.zeros((50, 50), np.float32))
    assert [(cluster.id, cluster.age) for cluster in objects] == [(2, 1)]
    assert shown.max() == 2


def test_reset_forgets_everything():
    tracker = ClusterTracker()
    follow(tracker, (5, 5, 10), (30, 30, 10))
    tracker.reset()
    assert follow(tracker, (30, 30, 10)) == [1]


# What is said of an object ---------------------------------------------------------------------


def test_measures_by_hand():
    clusters = np.array([[0, 1, 1, 0], [2, 2, 1, 0], [2, 0, 0, 0]], np.uint16)
    anomaly = np.array([[0, 0.2, 0.4, 1], [0.5, 0.6, 0.9, 1], [1.0, 1, 1, 1]], np.float32)
    tracker = ClusterTracker()
    shown, objects = tracker.update(clusters, anomaly)
    np.testing.assert_array_equal(shown, clusters)
    assert objects[0] == Cluster(
        id=1, area=3, box=(1, 0, 2, 2), mean_anomaly=pytest.approx(0.5, abs=1e-5), age=1
    )
    assert objects[1] == Cluster(
        id=2, area=3, box=(0, 1, 2, 2), mean_anomaly=pytest.approx(0.7, abs=1e-5), age=1
    )
    _, objects = tracker.update(clusters, anomaly)
    assert [cluster.age for cluster in objects] == [2, 2]


def test_age_counts_frames_since_the_first():
    tracker = ClusterTracker()
    follow(tracker, (5, 5, 10))
    follow(tracker)
    _, objects = tracker.update(squares((5, 6, 10)), np.zeros(SIZE, np.float32))
    assert (objects[0].id, objects[0].age) == (1, 3)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 30), st.integers(1, 40)),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
@settings(deadline=None, max_examples=100)
def test_measures_are_those_of_the_enlarged_map(seed, size, frame):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 6, [side // 4 + 1 for side in size])
    raw = np.kron(blocks, np.ones((4, 4), int))[: size[0], : size[1]]
    _, numbers = np.unique(np.append(raw, 0), return_inverse=True)
    clusters = numbers[:-1].reshape(size).astype(np.uint16)
    anomaly = rng.random(size, dtype=np.float32)
    tracker = ClusterTracker()
    tracker.update(np.zeros(size, np.uint16), anomaly, frame)
    shown, objects = tracker.update(clusters, anomaly, frame)
    wanted = cv2.resize(clusters, frame[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    np.testing.assert_array_equal(shown, wanted)
    assert [cluster.id for cluster in objects] == np.unique(wanted[wanted > 0]).tolist()
    for cluster in objects:
        rows, columns = np.nonzero(wanted == cluster.id)
        assert cluster.area == rows.size
        x, y, width, height = cluster.box
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())
        mean = anomaly[clusters == cluster.id].mean()
        assert cluster.mean_anomaly == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize(("cells", "pixels"), [(7, 7), (10, 23), (13, 40), (64, 101), (40, 13)])
def test_edges_are_those_of_opencv(cells, pixels):
    row = np.arange(cells, dtype=np.uint8)[None]
    shown = cv2.resize(row, (pixels, 1), interpolation=cv2.INTER_NEAREST_EXACT)[0]
    wanted = [int(np.searchsorted(shown, k)) for k in range(cells)] + [pixels]
    assert _edges(cells, pixels).tolist() == wanted


def test_many_objects():
    rng = np.random.default_rng(0)
    clusters = np.arange(1, 40 * 50 + 1, dtype=np.uint16).reshape(40, 50).repeat(4, 0).repeat(4, 1)
    other = rng.permutation(2001).astype(np.uint16)
    other[other.argmin()], other[0] = other[0], 0
    tracker = ClusterTracker()
    anomaly = np.zeros(clusters.shape, np.float32)
    first, objects = tracker.update(clusters, anomaly)
    assert len(objects) == 2000
    moved = np.roll(other[clusters], 1, axis=1)
    second, _ = tracker.update(moved, anomaly)
    np.testing.assert_array_equal(second, np.roll(first, 1, axis=1))


# What is refused -------------------------------------------------------------------------------


def test_maps_of_two_sizes():
    with pytest.raises(UsageError, match=r"clusters are \(60, 80\), but anomaly scores are"):
        ClusterTracker().update(squares(), np.zeros((60, 81), np.float32))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_iou", 1.1),
        ("reach", -1),
        ("max_growth", 0.5),
        ("patience", -1),
        ("last_id", 0),
        ("last_id", 65536),
        ("min_iou", float("nan")),
    ],
)
def test_rules_out_of_range(name, value):
    with pytest.raises(UsageError, match=f"tracking rule '{name}' must be in"):
        TrackingRules(**{name: value})


def test_warming_up_leaves_no_trace():
    tracker = ClusterTracker()
    follow(tracker, (5, 5, 10))
    tracker.warm_up()
    assert follow(tracker, (5, 6, 10), (40, 40, 9)) == [1, 2]
