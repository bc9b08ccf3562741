"""GOSS quality against sets of pixels, and figures worked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.errors import InputError, TruthError, UsageError
from owseg.metrics import GossMetric

UNKNOWN = 255


# An independent way ----------------------------------------------------------------------------


def pixels(mask):
    return frozenset(np.flatnonzero(mask).tolist())


def segments_of(classes, ids, count):
    """Segments as {(class, name): pixels}; unknown ones have the class `count`."""
    found = {(k, "all"): pixels((classes == k) & (ids == 0)) for k in range(count)}
    found |= {(count, int(i)): pixels(ids == i) for i in np.unique(ids) if i}
    return {name: where for name, where in found.items() if where}


def counted(found, true, everything, min_area):
    """Count matches, false and missed segments, and sum up the IoU, of one image by class."""
    true = {name: where for name, where in true.items() if len(where) >= min_area}
    void = everything.difference(*true.values())
    table = {}

    def add(kind, column, value=1.0):
        table.setdefault(kind, np.zeros(4))[column] += value

    matched = set()
    for name, where in found.items():
        iou = {
            other: len(where & there) / len((where - void) | there)
            for other, there in true.items()
            if other[0] == name[0]
        }
        best = max(iou, key=iou.get, default=None)
        if best is not None and iou[best] > 0.5:
            matched.add(best)
            add(name[0], 0)
            add(name[0], 3, iou[best])
        elif 2 * len(where & void) <= len(where):
            add(name[0], 1)
    for name in true:
        if name not in matched:
            add(name[0], 2)
    return table


def quality(tables, kind):
    """Panoptic quality of a class over all images; None where it never occurs."""
    hits, false, missed, iou = sum((t.get(kind, np.zeros(4)) for t in tables), np.zeros(4))
    base = hits + false / 2 + missed / 2
    return iou / base if base else None


def image(rng, classes):
    """Draw a prediction and a truth of blocks, with specks and void."""
    height, width = rng.integers(1, 13, 2)

    def blocks(highest, side=3):
        small = rng.integers(0, highest, (height // side + 1, width // side + 1))
        return np.kron(small, np.ones((side, side), int))[:height, :width]

    open_set = blocks(classes + 1)
    open_set[open_set == classes] = UNKNOWN
    open_set[rng.random(open_set.shape) < 0.1] = 0
    known = blocks(classes + 2)
    unknown = np.where(known == classes, blocks(4, 4), 0).astype(np.int32)
    known[known >= classes] = UNKNOWN
    clusters = (blocks(4) * rng.choice([1, 300])).astype(np.uint16)
    return open_set.astype(np.uint8), clusters, known.astype(np.uint8), unknown


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0, 3, 8]))
@settings(deadline=None, max_examples=150)
def test_equals_sets_of_pixels(seed, classes, min_area):
    rng = np.random.default_rng(seed)
    parts = [GossMetric(classes, (0, min_area)) for _ in range(2)]
    tables, partitions = [], []
    for k in range(3):
        open_set, clusters, known, unknown = image(rng, classes)
        parts[k % 2].update(open_set, clusters, known, unknown)
        everything = pixels(np.ones_like(known))
        found = segments_of(open_set, np.where(open_set == UNKNOWN, clusters, 0), classes)
        tables.append(counted(found, segments_of(known, unknown, classes), everything, min_area))
        whole = rng.integers(0, 3, known.shape).astype(np.int32)
        parts[k % 2].update_partition(clusters, whole)
        one = {("any", name): where for (_, name), where in segments_of(whole, whole, 0).items()}
        other = {("any", n): where for (_, n), where in segments_of(clusters, clusters, 0).items()}
        partitions.append(counted(other, one, everything, min_area))
    parts[0].merge(parts[1])
    scores = parts[0].compute(min_area)
    wanted = [quality(tables, k) for k in range(classes)]
    assert scores.by_class == pytest.approx(tuple(wanted))
    assert scores.gq_unknown == pytest.approx(quality(tables, classes))
    assert scores.gq_cluster == pytest.approx(quality(partitions, "any"))
    present = [value for value in wanted if value is not None]
    assert scores.gq_known == pytest.approx(np.mean(present) if present else None)
    json.dumps(scores.as_dict(), allow_nan=False)


# By hand ---------------------------------------------------------------------------------------


def rows(*lines):
    return np.array(lines)


def test_hand_worked():
    metric = GossMetric(3)
    metric.update(
        rows([0, 0, 0, 1], [255, 255, 255, 255], [255, 255, 255, 1]).astype(np.uint8),
        rows([7, 7, 7, 7], [1, 1, 1, 2], [3, 3, 0, 0]).astype(np.uint16),
        rows([0, 0, 1, 1], [255, 255, 255, 255], [255, 255, 255, 255]).astype(np.uint8),
        rows([0, 0, 0, 0], [1, 1, 2, 2], [3, 3, 3, 0]).astype(np.int32),
    )
    scores = metric.compute()
    # class 0: IoU 2/3; class 1: of its 2 predicted pixels one is void: 1 of 2, no match
    # unknown: 1 has 2/3, 2 has 1/2 of its pixels, and 1/2 is no match: one false, one missed;
    # 3 has 2/3
    assert scores.by_class == pytest.approx((2 / 3, 0.0, None))
    assert scores.gq_known == pytest.approx(1 / 3)
    assert scores.gq_unknown == pytest.approx((2 / 3 + 2 / 3) / (2 + 0.5 + 0.5))
    assert scores.gq == pytest.approx((1 / 3 + 4 / 9) / 2)
    assert scores.gq_cluster is None
    assert scores.segments == (2, 3, 0)
    strict = metric.compute(absent_as_zero=True)
    assert strict.by_class == pytest.approx((2 / 3, 0.0, 0.0))
    assert strict.gq_known == pytest.approx(2 / 9)


def test_an_exact_prediction_scores_1():
    open_set = rows([0, 1, 255, 255]).astype(np.uint8)
    clusters = rows([0, 0, 4, 9]).astype(np.uint16)
    metric = GossMetric(2)
    metric.update(open_set, clusters, open_set, rows([0, 0, 1, 2]).astype(np.int32))
    metric.update_partition(clusters, rows([0, 0, 1, 2]).astype(np.int32))
    scores = metric.compute()
    assert (scores.gq, scores.gq_known, scores.gq_unknown, scores.gq_cluster) == (1, 1, 1, 1)


def test_one_cluster_over_two_objects_finds_at_most_one():
    open_set = np.full((1, 10), 255, np.uint8)
    truth = rows([1] * 6 + [2] * 4).astype(np.int32)
    metric = GossMetric(1)
    metric.update(open_set, np.ones((1, 10), np.uint16), open_set, truth)
    assert metric.compute().gq_unknown == pytest.approx(0.6 / 1.5)


def test_more_than_half_on_void_is_not_false_and_half_is():
    for void, wanted in ((2, 0.5), (3, None)):
        truth = np.full((1, 4), 255, np.uint8)
        truth[0, void:] = 0
        metric = GossMetric(2)
        metric.update(
            np.ones((1, 4), np.uint8),
            np.zeros((1, 4), np.uint16),
            truth,
            np.zeros((1, 4), np.int32),
        )
        false = metric._counts[0, 1, 1]
        assert false == (wanted is not None)


def test_unknown_pixels_without_a_cluster_are_no_segment():
    open_set = np.full((1, 6), 255, np.uint8)
    metric = GossMetric(1)
    metric.update(
        open_set,
        np.zeros((1, 6), np.uint16),
        np.zeros((1, 6), np.uint8),
        np.zeros((1, 6), np.int32),
    )
    scores = metric.compute()
    assert scores.gq_unknown is None
    assert scores.gq_known == 0.0


def test_a_prediction_of_no_known_class_is_no_segment():
    metric = GossMetric(1)
    strange = np.full((1, 4), 7, np.uint8)  # neither a class nor unknown
    zeros = np.zeros((1, 4), np.int32)
    metric.update(strange, zeros.astype(np.uint16), zeros.astype(np.uint8), zeros)
    assert metric.compute().by_class == (0.0,)


def test_small_true_segments_are_void_in_a_variant():
    metric = GossMetric(1, (0, 3))
    open_set = rows([255, 255, 255, 255, 255, 0, 0, 0]).astype(np.uint8)
    clusters = rows([1, 1, 1, 2, 2, 0, 0, 0]).astype(np.uint16)
    known = rows([255] * 5 + [0] * 3).astype(np.uint8)
    metric.update(open_set, clusters, known, rows([1, 1, 1, 0, 2, 0, 0, 0]).astype(np.int32))
    # the second cluster has half of its pixels on void: false; without its object all: nothing
    assert metric.compute(0).gq_unknown == pytest.approx((1 + 1) / 2)
    assert metric.compute(3).gq_unknown == 1.0
    assert metric.compute(3).segments == (1, 1, 0)
    assert metric.compute().segments == (1, 2, 0)


def test_ids_as_large_as_they_get():
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 65536, (40, 50)).astype(np.uint16)
    truth = rng.integers(0, 100_000, (40, 50)).astype(np.int32)
    open_set = np.full((40, 50), 255, np.uint8)
    metric = GossMetric(255)
    metric.update(open_set, clusters, open_set, truth)
    found = segments_of(open_set, clusters.astype(int), 255)
    true = segments_of(open_set, truth, 255)
    table = counted(found, true, pixels(open_set), 0)
    assert metric.compute().gq_unknown == pytest.approx(quality([table], 255))


def test_nothing_seen():
    scores = GossMetric(2).compute()
    assert (scores.gq, scores.gq_known, scores.gq_unknown, scores.gq_cluster) == (None,) * 4
    assert GossMetric(2).compute(absent_as_zero=True).gq == 0.0


# What is refused -------------------------------------------------------------------------------


def arrays(height=2, width=3):
    return [np.zeros((height, width), kind) for kind in (np.uint8, np.uint16, np.uint8, np.int32)]


@pytest.mark.parametrize(
    ("place", "array", "error"),
    [
        (0, np.zeros((2, 3), np.int64), InputError),
        (1, np.zeros((3, 2), np.uint16), InputError),
        (1, None, InputError),
        (2, np.zeros((2, 4), np.uint8), TruthError),
        (2, np.full((2, 3), 2, np.uint8), TruthError),
        (3, np.zeros((3, 3), np.int32), TruthError),
    ],
)
def test_bad_arrays_add_nothing(place, array, error):
    metric = GossMetric(2)
    given = arrays()
    given[place] = array
    with pytest.raises(error):
        metric.update(*given)
    assert metric.compute().gq_known is None


def test_a_partition_of_another_size():
    with pytest.raises(TruthError, match="but the partition is"):
        GossMetric(2).update_partition(np.zeros((2, 3), np.uint16), np.zeros((3, 2), np.int32))


def test_bad_settings():
    for classes in (0, 256):
        with pytest.raises(UsageError, match="num_classes"):
            GossMetric(classes)
    for areas in ((), (-1,)):
        with pytest.raises(UsageError, match="smallest areas"):
            GossMetric(2, areas)
    with pytest.raises(UsageError, match="cannot merge"):
        GossMetric(2).merge(GossMetric(3))
    with pytest.raises(UsageError, match="cannot merge"):
        GossMetric(2).merge(GossMetric(2, (0, 9)))
    with pytest.raises(UsageError, match="no smallest area 5"):
        GossMetric(2).compute(5)
