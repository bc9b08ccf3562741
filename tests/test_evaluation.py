"""All figures of a run: one drive worked by hand, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from owseg.datasets import CAMVID11, LabelSpace, TruthMap
from owseg.engines import fake_manifest
from owseg.errors import TruthError
from owseg.evaluation import Evaluation, truth_map_for
from owseg.metrics import ComponentRules
from owseg.prototypes import NovelClass
from owseg.types import Frame, Result

LABELS = {0: "a", 1: "b", 2: "c", 7: "thing", 11: "void"}
MAP = TruthMap(name="hand", labels=LABELS, held_out=("thing",), ignore=("void",))


@pytest.fixture
def manifest():
    return fake_manifest(4, 4, ("a", "b", "c"), slots=2)


def result_of(known, anomaly, threshold=0.5, index=0):
    known = np.array(known, np.uint8)
    anomaly = np.array(anomaly, np.float32)
    open_set = np.where(anomaly > threshold, np.uint8(255), known)
    frame = Frame(image=np.zeros((*known.shape, 3), np.uint8), index=index)
    clusters = (open_set == 255).astype(np.uint16)
    return Result(frame=frame, known=known, anomaly=anomaly, open_set=open_set, clusters=clusters)


def labels_of(*rows):
    return np.array(rows, np.uint8)


def test_hand_worked(manifest):
    evaluation = Evaluation(manifest, MAP)
    # void and 255 count nowhere; truth 7 is the anomaly, whatever the known class says
    evaluation.update(
        result_of([[0, 0, 1, 1], [1, 0, 2, 0]], [[0, 0.2, 0.4, 0.2], [0.9, 0.3, 0.9, 0.1]]),
        labels_of([0, 0, 0, 1], [7, 7, 11, 255]),
    )
    # an image without anomalies
    evaluation.update(
        result_of([[2, 2, 2, 2], [0, 0, 0, 0]], [[0.1] * 4, [0.1] * 4]),
        labels_of([2, 2, 2, 2], [0, 0, 1, 1]),
    )
    figures = evaluation.metrics()
    # a: 4 of 4 + 1 missed + 2 wrong; b: 1 of 1 + 2 missed + 1 wrong; c: 4 of 4
    assert figures["iou"] == {"a": 4 / 7, "b": 1 / 4, "c": 1.0}
    assert figures["miou"] == pytest.approx((4 / 7 + 1 / 4 + 1) / 3)
    assert figures["pixel_accuracy"] == pytest.approx(9 / 12)
    # image 1: anomalies 0.9 and 0.3 against 0, 0.2, 0.4, 0.2: 7 of 8 pairs in order;
    # precision 1 at 0.9, 2/3 at 0.3, where 1 of 4 normal pixels lies above
    per_image = figures["anomaly_per_image"]
    assert per_image["auroc"] == pytest.approx(7 / 8)
    assert per_image["aupr"] == pytest.approx((1 + 2 / 3) / 2)
    assert per_image["fpr95"] == pytest.approx(1 / 4)
    assert (per_image["images"], per_image["images_without_anomaly"]) == (1, 1)
    # pooled: 12 normal pixels, of which one lies above 0.3
    assert figures["anomaly"]["auroc"] == pytest.approx(23 / 24)
    assert figures["anomaly"]["aupr"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures["anomaly"]["fpr95"] == pytest.approx(1 / 12)
    # 15 bins of 1/15: 0 | 0.1 x 8 | 0.2 x 2, bin 3 | 0.3 (bin 4) | 0.4 (bin 6) | 0.9 (bin 13)
    gaps = 0 + 8 * 0.1 + 2 * 0.2 + abs(0.3 - 1) + 0.4 + abs(0.9 - 1)
    assert figures["ece"] == pytest.approx(gaps / 14, abs=1e-6)
    assert figures["frames_with_truth"] == 2
    assert (figures["truth_map"], figures["held_out"]) == ("hand", ["thing"])
    json.dumps(figures, allow_nan=False)


def test_unknown_as_a_decision_by_hand(manifest):
    evaluation = Evaluation(manifest, MAP)
    # a: one found, one called unknown, one anomaly and one b taken for it; b: one of two
    evaluation.update(
        result_of([[0, 0, 0, 1, 0, 2]], [[0.1, 0.9, 0.1, 0.1, 0.1, 0.9]]),
        labels_of([0, 0, 7, 1, 1, 7]),
    )
    figures = evaluation.metrics()
    found = figures["open_set"]
    assert found["iou"] == {"a": 1 / 4, "b": 1 / 2, "c": None}
    assert found["open_miou"] == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert found["unknown_iou"] == pytest.approx(1 / 3)
    # without the detector: a 2 of 3, b 1 of 2
    assert found["gap"] == pytest.approx((2 / 3 + 1 / 2) / 2 - (1 / 4 + 1 / 2) / 2)
    # one of four normal pixels is called unknown, one of two anomalous ones is not
    assert figures["decisions"]["false_alarms"] == pytest.approx(1 / 4)
    assert figures["decisions"]["false_frames"] == 1.0
    assert figures["decisions"]["missed"] == pytest.approx(1 / 2)
    assert [entry["pixels"] for entry in figures["reliability"]] == [0, 4] + [0] * 11 + [2, 0]


def test_labels_without_classes_have_no_open_miou(manifest):
    truth_map = TruthMap(
        name="two", labels={0: "normal", 1: "thing"}, held_out=("thing",), normal=("normal",)
    )
    evaluation = Evaluation(manifest, truth_map)
    evaluation.update(result_of([[0, 1, 2]], [[0.9, 0.9, 0.1]]), labels_of([0, 1, 0]))
    figures = evaluation.metrics()
    assert figures["open_set"]["open_miou"] is figures["open_set"]["gap"] is None
    assert figures["decisions"]["false_alarms"] == pytest.approx(1 / 2)
    assert figures["decisions"]["missed"] == 0.0


def test_rules_of_components(manifest):
    labels = np.zeros((12, 12), np.uint8)
    labels[2:6, 2:6] = 7
    anomaly = np.where(labels == 7, 0.9, 0.1)
    found = []
    for rules in (ComponentRules(min_prediction=16, min_truth=16), ComponentRules(min_truth=17)):
        evaluation = Evaluation(manifest, MAP, rules=rules)
        evaluation.update(result_of(np.zeros((12, 12)), anomaly), labels)
        found.append(evaluation.metrics()["components"]["siou"])
    assert found == [1.0, None]


def test_segmentation_is_that_of_the_known_classes_whatever_the_score(manifest):
    evaluation = Evaluation(manifest, MAP)
    evaluation.update(result_of([[0, 1, 2]], [[0.9, 0.9, 0.1]]), labels_of([0, 1, 1]))
    assert evaluation.metrics()["pixel_accuracy"] == pytest.approx(2 / 3)


def test_components_are_those_of_the_open_set_mask(manifest):
    evaluation = Evaluation(manifest, MAP)
    evaluation.components.rules = ComponentRules(min_prediction=1, min_truth=1)
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 2:6] = 7
    labels[0] = 11
    anomaly = np.zeros((8, 8))
    anomaly[0:6, 2:4] = 0.8  # 2 void pixels, 2 false ones, 8 of the 16 true ones
    anomaly[7, 7] = 0.5  # not above the threshold
    evaluation.update(result_of(np.zeros((8, 8)), anomaly), labels)
    found = evaluation.metrics()["components"]
    assert found["siou"] == pytest.approx(8 / 18)
    assert found["ppv"] == pytest.approx(8 / 10)
    # thresholds 0.25 .. 0.75: found up to 0.40, which is 4 of 11; the prediction is never false
    assert found["f1"] == pytest.approx(4 / 11)


def test_a_drive_without_anything_to_score(manifest):
    evaluation = Evaluation(manifest, MAP)
    empty = evaluation.metrics()
    assert empty["frames_with_truth"] == 0
    assert empty["miou"] is None
    evaluation.update(result_of([[0, 1]], [[0.1, 0.9]]), labels_of([11, 255]))
    figures = evaluation.metrics()
    assert figures["iou"] == {"a": None, "b": None, "c": None}
    assert figures["anomaly"] == {"auroc": None, "aupr": None, "fpr95": None}
    assert figures["ece"] is None
    json.dumps(figures, allow_nan=False)


def test_keys_of_metrics_json(manifest):
    figures = Evaluation(manifest, MAP).metrics()
    assert {"miou", "iou", "anomaly", "anomaly_per_image", "components", "ece"} <= figures.keys()
    assert set(figures["components"]) == {"siou", "ppv", "f1"}
    assert set(figures["anomaly"]) == {"auroc", "aupr", "fpr95"}
    assert set(figures["anomaly"]) < set(figures["anomaly_per_image"])


def test_update_returns_the_truth_in_ids_of_the_model(manifest):
    truth = Evaluation(manifest, MAP).update(
        result_of([[0, 0, 0, 0]], [[0.1] * 4]), labels_of([2, 7, 11, 255])
    )
    assert truth.known.tolist() == [[2, 255, 255, 255]]
    assert truth.anomaly.tolist() == [[False, True, False, False]]
    assert truth.valid.tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("shape", [(3, 4), (4, 2), (2, 4, 1), (8,)])
def test_truth_of_another_size(manifest, shape):
    evaluation = Evaluation(manifest, MAP)
    size = "x".join(str(n) for n in shape[::-1])
    with pytest.raises(TruthError, match=f"frame 5 is 4x2, its ground truth {size}"):
        evaluation.update(result_of([[0] * 4] * 2, [[0] * 4] * 2, index=5), np.zeros(shape, int))
    assert evaluation.metrics()["frames_with_truth"] == 0


def test_unknown_ids(manifest):
    evaluation = Evaluation(manifest, MAP)
    with pytest.raises(TruthError, match="does not list: 3, 12; add them"):
        evaluation.update(result_of([[0, 0, 0]], [[0, 0, 0]]), labels_of([0, 12, 3]))
    assert evaluation.metrics()["frames_with_truth"] == 0
    assert evaluation.metrics()["ece"] is None


def test_a_class_that_neither_side_explains(manifest):
    labels = {**LABELS, 5: "lamp"}
    truth_map = TruthMap(name="more", labels=labels, held_out=("thing",), ignore=("void",))
    with pytest.raises(TruthError, match="class 'lamp' is not one of the model's"):
        Evaluation(manifest, truth_map)


# The natural truth map of a data set -----------------------------------------------------------


def test_classes_that_the_model_lacks_are_the_anomalies():
    model = fake_manifest()  # CamVid without car
    truth_map = truth_map_for(model, CAMVID11)
    assert truth_map.held_out == ("car",)
    assert truth_map.known_names == model.class_names
    truth = truth_map.apply(np.arange(12, dtype=np.uint8)[None], model.class_names)
    assert truth.known.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 255, 8, 9, 255]]
    assert truth.anomaly[0].nonzero()[0].tolist() == [8]
    assert truth.valid[0].tolist() == [True] * 11 + [False]


def test_a_model_that_knows_all_classes_has_no_anomalies():
    model = fake_manifest(classes=CAMVID11.names)
    assert truth_map_for(model, CAMVID11).held_out == ()


def test_several_void_ids():
    space = LabelSpace(name="s", names=("a", "b"), colors=((0, 0, 0),) * 2, void_ids=(5, 9))
    truth_map = truth_map_for(fake_manifest(classes=("a",)), space)
    truth = truth_map.apply(np.array([[0, 1, 5, 9]], np.uint8), ("a",))
    assert truth.known.tolist() == [[0, 255, 255, 255]]
    assert truth.valid.tolist() == [[True, True, False, False]]


def test_labels_that_say_themselves_what_is_an_anomaly():
    model = fake_manifest(classes=("a", "b"))
    space = LabelSpace(
        name="s", names=("a", "c", "odd"), colors=((0, 0, 0),) * 3, anomalies=("odd",)
    )
    truth_map = truth_map_for(model, space)
    assert (truth_map.held_out, truth_map.normal) == (("odd",), ("c",))
    truth = truth_map.apply(np.array([[0, 1, 2, 255]], np.uint8), model.class_names)
    assert truth.known.tolist() == [[0, 255, 255, 255]]
    assert truth.anomaly.tolist() == [[False, False, True, False]]
    assert truth.valid.tolist() == [[True, True, True, False]]
    knows_all = fake_manifest(classes=("a", "c", "odd"))
    assert truth_map_for(knows_all, space).held_out == ("odd",)
    assert truth_map_for(knows_all, space).normal == ()


BINARY = TruthMap(name="binary", labels={0: "rest", 1: "odd"}, held_out=("odd",), normal=("rest",))


def test_labels_without_classes(manifest):
    evaluation = Evaluation(manifest, BINARY)
    evaluation.components.rules = ComponentRules(min_prediction=1, min_truth=1)
    truth = evaluation.update(
        result_of([[0, 1, 2, 0]], [[0.9, 0.8, 0.4, 0.6]]), labels_of([1, 0, 0, 255])
    )
    assert truth.valid.tolist() == [[True, True, True, False]]
    figures = evaluation.metrics()
    assert figures["anomaly"] == {"auroc": 1.0, "aupr": 1.0, "fpr95": 0.0}
    assert figures["miou"] is figures["pixel_accuracy"] is None
    assert figures["goss"]["gq"] is figures["goss"]["gq_unknown"] is None
    assert figures["components"]["siou"] == pytest.approx(1 / 2)  # the second pixel is false
    assert figures["note"].endswith("only anomalies: no mIoU, no GOSS figures")
    assert "note" not in Evaluation(manifest, MAP).metrics()
    strange = TruthMap(name="s", labels={7: "thing"}, held_out=("thing",))
    note = Evaluation(manifest, strange).metrics()["note"]
    assert note == "the model knows no class of these labels: no mIoU"
    json.dumps(figures, allow_nan=False)


def test_a_learnt_class_of_a_normal_name_changes_nothing(manifest):
    before, after = Evaluation(manifest, BINARY), Evaluation(manifest, BINARY, [novel(5, "rest")])
    for evaluation in (before, after):
        evaluation.update(result_of([[0, 1]], [[0.9, 0.2]]), labels_of([1, 0]))
    assert after.metrics() == before.metrics()


# Learnt classes --------------------------------------------------------------------------------


def novel(number, name):
    vectors = np.zeros((1, 3), np.float32)
    return NovelClass(id=number, name=name, color=(1, 2, 3), radius=1.0, vectors=vectors)


LEARNT_TRUTH = labels_of([0, 0, 0, 1, 1], [7, 7, 7, 7, 11])
LEARNT = [[0, 0, 5, 1, 5], [5, 5, 0, 4, 5]]
SCORES = [[0.1, 0.1, 0.7, 0.1, 0.7], [0.9, 0.2, 0.9, 0.9, 0.9]]


def learnt_figures(manifest, novel_classes, truth_map=MAP, known=LEARNT):
    evaluation = Evaluation(manifest, truth_map, novel_classes)
    result = result_of(known, SCORES)
    truth = evaluation.update(result, LEARNT_TRUTH)
    return evaluation.metrics(), truth


def test_a_learnt_class_counts_both_ways(manifest):
    """Claims on old classes lower these, pixels not claimed lower the learnt class."""
    figures, truth = learnt_figures(manifest, [novel(4, "other"), novel(5, "Thing")])
    # a: 2 of 3, once said wrongly (a thing); b: 1 of 2; thing: 2 of 4, 2 said wrongly
    want = {"a": 2 / 4, "b": 1 / 2, "c": None, "thing": 2 / 6}
    assert figures["iou"] == pytest.approx(want)
    assert figures["learnt"] == ["thing"]
    incremental = figures["incremental"]
    assert incremental["old"] == pytest.approx(1 / 2)
    assert incremental["novel"] == pytest.approx(1 / 3)
    assert incremental["all"] == figures["miou"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    assert incremental["harmonic"] == pytest.approx(2 / (2 + 3))
    np.testing.assert_array_equal(truth.known, [[0, 0, 0, 1, 1], [5, 5, 5, 5, 255]])
    assert not truth.anomaly.any()
    json.dumps(figures, allow_nan=False)


def test_learning_leaves_the_figures_of_the_score(manifest):
    before, _ = learnt_figures(manifest, [])
    after, _ = learnt_figures(manifest, [novel(5, "thing")])
    for key in ("anomaly", "anomaly_per_image", "ece", "held_out", "truth_map"):
        assert after[key] == before[key]
    assert "incremental" not in before
    assert "learnt" not in before


def test_a_learnt_class_need_not_be_held_out(manifest):
    all_known = TruthMap(name="hand", labels=LABELS, ignore=("void",))
    with pytest.raises(TruthError, match="class 'thing' is not one of"):
        Evaluation(manifest, all_known)
    figures, _ = learnt_figures(manifest, [novel(5, "thing")], all_known)
    held_out, _ = learnt_figures(manifest, [novel(5, "thing")])
    for key in ("iou", "incremental", "anomaly", "ece"):
        assert figures[key] == held_out[key]


def test_novel_classes_that_the_truth_lacks_only_take(manifest):
    ignored = TruthMap(name="hand", labels=LABELS, held_out=("thing",), ignore=("void", "c"))
    for truth_map in (MAP, ignored):
        figures, truth = learnt_figures(
            manifest, [novel(5, "sofa"), novel(6, "void"), novel(7, "c2")], truth_map
        )
        assert figures["iou"] == {"a": 2 / 3, "b": 1 / 2, "c": None}
        assert "incremental" not in figures
        assert truth.anomaly.sum() == 4


def test_of_two_held_out_classes_one_is_learnt(manifest):
    labels = {**LABELS, 8: "sofa"}
    both = TruthMap(name="two", labels=labels, held_out=("thing", "sofa"), ignore=("void",))
    evaluation = Evaluation(manifest, both, [novel(9, "sofa")])
    evaluation.components.rules = ComponentRules(min_prediction=1, min_truth=1)
    truth_labels = np.zeros((8, 8), np.uint8)
    truth_labels[1:4, 1:4] = 7
    truth_labels[5:8, 5:8] = 8
    anomaly = np.where(np.isin(truth_labels, (7, 8)), 0.9, 0.1)
    truth = evaluation.update(result_of(np.zeros((8, 8)), anomaly), truth_labels)
    figures = evaluation.metrics()
    np.testing.assert_array_equal(truth.anomaly, truth_labels == 7)
    np.testing.assert_array_equal(truth.known == 9, truth_labels == 8)
    # the score: both are anomalies; what is left unknown: only the thing is to be found, and
    # a sofa that is called unknown is neither a hit nor a false alarm
    assert figures["anomaly"]["auroc"] == 1
    assert figures["components"] == pytest.approx({"siou": 1.0, "ppv": 1.0, "f1": 1.0})
    assert figures["incremental"]["novel"] == 0
    assert figures["incremental"]["harmonic"] == 0


def test_where_nothing_is_left_to_find_there_are_no_components(manifest):
    figures, _ = learnt_figures(manifest, [novel(5, "thing")])
    assert figures["components"] == {"siou": None, "ppv": None, "f1": None}


def test_a_learnt_class_without_a_true_pixel(manifest):
    evaluation = Evaluation(manifest, MAP, [novel(5, "thing")])
    evaluation.update(result_of([[0, 5]], [[0.1, 0.1]]), labels_of([0, 0]))
    figures = evaluation.metrics()
    assert figures["incremental"] == {"old": 0.5, "novel": None, "all": 0.5, "harmonic": None}
    assert figures["iou"]["thing"] == 0.0


# GOSS ------------------------------------------------------------------------------------------


def test_goss_by_hand(manifest):
    evaluation = Evaluation(manifest, MAP)
    labels = np.zeros((4, 8), np.uint8)
    labels[1:3, 1:3] = 7  # two things that touch at a corner are one
    labels[3, 3] = 7
    labels[0, 6:] = 7
    labels[3, 7] = 11
    anomaly = np.where(labels == 7, 0.9, 0.1)
    anomaly[1, 3] = 0.9  # a false pixel of the first thing
    result = result_of(np.zeros((4, 8)), anomaly)
    clusters = np.where(result.open_set == 255, 1, 0).astype(np.uint16)
    clusters[0, 6:] = 5
    evaluation.update(replace(result, clusters=clusters), labels)
    figures = evaluation.metrics()["goss"]
    # unknown: 5 of 6 pixels, and an exact one; a: 23 of 24 pixels, one is called unknown
    assert figures["gq_unknown"] == pytest.approx((5 / 6 + 1) / 2)
    assert figures["gq_known"] == pytest.approx(23 / 24)
    assert figures["gq"] == pytest.approx((11 / 12 + 23 / 24) / 2)
    assert figures["gq_cluster"] is None
    assert figures["min_area"] == {
        "pixels": 100,
        "gq": None,
        "gq_known": None,
        "gq_unknown": None,
        "gq_cluster": None,
    }


def test_the_partition_is_compared_with_segments_of_all_classes(manifest):
    evaluation = Evaluation(manifest, MAP)
    labels = labels_of([0, 0, 1, 1, 7, 7, 11, 11], [0, 0, 1, 1, 7, 7, 11, 11])
    result = result_of(np.zeros((2, 8)), np.zeros((2, 8)))
    partition = labels_of([1, 1, 2, 2, 2, 2, 3, 3], [1, 1, 2, 2, 2, 2, 3, 3]).astype(np.uint16)
    evaluation.update(replace(result, partition=partition), labels)
    figures = evaluation.metrics()["goss"]
    # the first is right, two true ones are one: half of it is no match; void counts nowhere
    assert figures["gq_cluster"] == pytest.approx(1 / (1 + 0.5 * 1 + 0.5 * 2))
    assert set(figures) == {"gq", "gq_known", "gq_unknown", "gq_cluster", "min_area"}


def test_a_learnt_class_is_a_known_one(manifest):
    evaluation = Evaluation(manifest, MAP, [novel(3, "thing")])
    labels = labels_of([0, 0, 7, 7])
    evaluation.update(result_of([[0, 0, 3, 3]], [[0, 0, 0.1, 0.1]]), labels)
    figures = evaluation.metrics()["goss"]
    assert figures["gq_known"] == 1.0
    assert figures["gq_unknown"] is None
