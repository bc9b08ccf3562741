"""sIoU, PPV and F1: hand-worked, against the definition written out, and by invariants."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from owseg.errors import InputError, TruthError, UsageError
from owseg.metrics import (
    ANOMALY_TRACK,
    OBSTACLE_TRACK,
    ComponentMetric,
    ComponentRules,
    ComponentScores,
)

ANY_SIZE = ComponentRules(min_prediction=1, min_truth=1)


def grid(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


def run(*images, rules: ComponentRules = ANY_SIZE) -> ComponentMetric:
    metric = ComponentMetric(rules)
    for one in images:
        metric.update(*one)
    return metric


def scores(*images, rules: ComponentRules = ANY_SIZE) -> ComponentScores:
    return run(*images, rules=rules).compute()


# hand-worked


def test_exact_prediction() -> None:
    truth = grid("##..#", "....#")
    found = scores((truth, truth))
    assert (found.siou, found.ppv, found.f1) == (1, 1, 1)
    assert (found.true_components, found.predicted_components) == (2, 2)


def test_one_prediction_over_two_objects_is_adjusted() -> None:
    pred, truth = grid("##########"), grid("####..####")
    found = scores((pred, truth))
    # each object: 4 hit, union 10 minus the 4 of the other; plain IoU would be 4 / 10
    assert found.siou == pytest.approx(4 / 6)
    assert found.ppv == pytest.approx(8 / 10)
    # found up to t = 0.65, of 11 thresholds; false nowhere
    assert found.f1 == pytest.approx(9 / 11)


def test_one_object_in_two_predictions() -> None:
    pred, truth = grid("###..####."), grid("#########.")
    found = scores((pred, truth))
    assert found.siou == pytest.approx(7 / 9)
    assert found.ppv == 1
    assert found.f1 == 1


def test_missed_object_and_false_alarm() -> None:
    found = scores((grid("....##"), grid("##....")))
    assert (found.siou, found.ppv, found.f1) == (0, 0, 0)


def test_f1_counts_at_one_threshold() -> None:
    # objects: sIoU 3/5 and 0; predictions: PPV 1 and 0
    found = scores((grid("###...#"), grid("#####..")), (grid("..."), grid("#..")))
    assert found.siou == pytest.approx((3 / 5 + 0) / 2)
    assert found.ppv == pytest.approx(1 / 2)
    assert found.f1_at[0.6] == pytest.approx(2 / (2 + 1 + 1))  # exactly at the threshold: found
    assert found.f1_at[0.65] == 0
    assert found.f1 == pytest.approx(8 * 0.5 / 11)


def test_corners_connect() -> None:
    diagonal = grid("#..", ".#.", "..#")
    assert scores((diagonal, diagonal)).true_components == 1


def test_void_is_cleared_before_components_are_formed() -> None:
    pred, truth = grid("#####"), grid("##...")
    valid = ~grid("..#..")
    found = scores((pred, truth, valid))
    # the void pixel cuts the prediction in two: one exact, one a false alarm
    assert found.siou == 1
    assert found.ppv == 0.5


def test_small_predictions_are_dropped() -> None:
    rules = ComponentRules(min_prediction=2, min_truth=1)
    found = scores((grid("#..##"), grid("#..##")), rules=rules)
    assert found.predicted_components == 1
    assert found.siou == 0.5


def test_small_objects_become_void_after_the_components_are_formed() -> None:
    rules = ComponentRules(min_prediction=3, min_truth=2)
    found = scores((grid("####"), grid("#.##")), rules=rules)
    # the prediction keeps 3 of 4 pixels, 2 of them true; its size was judged with all 4
    assert found.true_components == 1
    assert found.ppv == pytest.approx(2 / 3)
    assert found.siou == pytest.approx(2 / 3)


def test_prediction_on_a_small_object_only_vanishes() -> None:
    found = scores(
        (grid("#..."), grid("#...")), rules=ComponentRules(min_prediction=1, min_truth=2)
    )
    assert found.true_components == found.predicted_components == 0
    assert found.f1 is None


def test_rules_of_the_tracks() -> None:
    assert (ANOMALY_TRACK.min_prediction, ANOMALY_TRACK.min_truth) == (500, 100)
    assert (OBSTACLE_TRACK.min_prediction, OBSTACLE_TRACK.min_truth) == (50, 10)
    assert ANOMALY_TRACK.thresholds == pytest.approx(np.linspace(0.25, 0.75, 11))


# images that lack something


def test_nothing_at_all_is_null() -> None:
    empty = grid("....")
    found = scores((empty, empty), (~empty, ~empty, empty))
    assert found.siou is found.ppv is found.f1 is None
    written = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert written["f1_at"]["0.25"] is None


def test_only_one_side() -> None:
    empty, full = grid("...."), grid("####")
    missed, false = scores((empty, full)), scores((full, empty))
    assert (missed.siou, missed.ppv, missed.f1) == (0, None, 0)
    assert (false.siou, false.ppv, false.f1) == (None, 0, 0)


# the definition, written out with sets of pixels

MASK = hnp.arrays(np.bool_, (6, 7))


def pieces(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    left, found = set(zip(*map(np.ndarray.tolist, np.nonzero(mask)), strict=True)), []
    while left:
        piece, todo = set(), [left.pop()]
        while todo:
            y, x = todo.pop()
            piece.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            todo += near
        found.append(piece)
    return found


def by_definition(pred, truth, valid, rules: ComponentRules) -> tuple[list[float], list[float]]:
    every = pieces(truth & valid)
    objects = [piece for piece in every if len(piece) >= rules.min_truth]
    void = set().union(*(piece for piece in every if len(piece) < rules.min_truth))
    found = [piece for piece in pieces(pred & valid) if len(piece) >= rules.min_prediction]
    found = [piece - void for piece in found if piece - void]
    siou = []
    for k in objects:
        touching = set().union(*(piece for piece in found if piece & k))
        others = set().union(*(piece for piece in objects if piece is not k))
        siou.append(len(k & touching) / len((k | touching) - others))
    true = set().union(*objects)
    return siou, [len(piece & true) / len(piece) for piece in found]


@given(MASK, MASK, MASK, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_against_the_definition(pred, truth, invalid, small_pred: int, small_true: int) -> None:
    valid = ~invalid | truth  # more to compare than with half of everything void
    rules = ComponentRules(min_prediction=small_pred, min_truth=small_true, thresholds=(0.3, 0.5))
    siou, ppv = (np.array(v) for v in by_definition(pred, truth, valid, rules))
    found = scores((pred, truth, valid), rules=rules)
    assert found.siou == (pytest.approx(siou.mean()) if siou.size else None)
    assert found.ppv == (pytest.approx(ppv.mean()) if ppv.size else None)
    for t in rules.thresholds:
        hits, false = np.sum(siou >= t), np.sum(ppv < t)
        base = siou.size + hits + false  # 2 TP + FN + FP
        assert found.f1_at[t] == (pytest.approx(2 * hits / base) if base else None)


@given(st.lists(st.tuples(MASK, MASK), min_size=1, max_size=4), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_merge_is_the_same_as_one_after_the_other(images, cut: int) -> None:
    left = run(*images[:cut])
    left.merge(run(*images[cut:]))
    merged, expected = left.compute(), scores(*images)
    assert merged.siou == pytest.approx(expected.siou)
    assert merged.ppv == pytest.approx(expected.ppv)
    assert merged.f1_at == expected.f1_at


# bad input


def test_other_kinds_are_refused() -> None:
    good = grid("##", "..")
    for bad in (good.astype(np.uint8), good[0], good[:0]):
        with pytest.raises(InputError, match="bool prediction"):
            run((bad, good))
    with pytest.raises(TruthError, match="anomaly mask"):
        run((good, good[:1]))
    with pytest.raises(TruthError, match="valid mask"):
        run((good, good, good.astype(np.uint8)))


@pytest.mark.parametrize("thresholds", [(), (0.0,), (0.5, 1.1)])
def test_impossible_thresholds(thresholds) -> None:
    with pytest.raises(UsageError, match="thresholds"):
        ComponentRules(thresholds=thresholds)


def test_metrics_of_other_rules_do_not_merge() -> None:
    with pytest.raises(UsageError, match="rules"):
        ComponentMetric(ANOMALY_TRACK).merge(ComponentMetric(OBSTACLE_TRACK))
