"""The meta classifier as it runs: numbers by hand, against scikit-learn, and bad files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from owseg.engines import fake_manifest
from owseg.errors import InputError, OutputError, UsageError
from owseg.meta.features import feature_names
from owseg.meta.fit import MetaOptions, fit_meta
from owseg.meta.model import MetaClassifier, load_meta
from owseg.meta.run import MeasuredObjects

CLASSES = ("road", "tree")
NAMES = feature_names(CLASSES)
AREA = NAMES.index("log_area")


def logistic(keep_above=0.5, **changes) -> MetaClassifier:
    """Keep objects whose log area is above -3."""
    size = len(NAMES)
    weights = np.zeros(size)
    weights[AREA] = 4.0
    model = {"mean": [0.0] * size, "scale": [1.0] * size, "weights": weights.tolist(), "bias": 12.0}
    return MetaClassifier(
        kind="logistic",
        classes=CLASSES,
        model=model | changes,
        keep_above=keep_above,
        threshold=0.7,
        fitted_on="by hand",
        figures={"true": 2},
    )


TREE = {
    "feature": [AREA, -1, 1, -1, -1],
    "limit": [-3.0, 0.0, 0.5, 0.0, 0.0],
    "left": [1, -1, 3, -1, -1],
    "right": [2, -1, 4, -1, -1],
    "value": [0.0, -2.0, 0.0, 1.0, 3.0],
}


def boosting(tree) -> MetaClassifier:
    return MetaClassifier(
        kind="boosting",
        classes=CLASSES,
        model={"start": 0.5, "rate": 0.1, "trees": [tree, tree]},
        keep_above=0.5,
        threshold=0.7,
        fitted_on="by hand",
    )


def row(log_area=0.0, border=0.0):
    features = np.zeros((1, len(NAMES)), np.float32)
    features[0, AREA], features[0, 1] = log_area, border
    return features


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_logistic_by_hand() -> None:
    assert logistic().probability(row(-2.0))[0] == pytest.approx(sigmoid(4.0))


def test_boosting_by_hand() -> None:
    for features, leaf in ((row(-3.0), -2.0), (row(-2.9, 0.5), 1.0), (row(-2.9, 0.51), 3.0)):
        found = boosting(TREE).probability(features)
        assert found[0] == pytest.approx(sigmoid(0.5 + 2 * 0.1 * leaf))


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_it_is_what_scikit_learn_fits(kind, tmp_path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    ensemble = pytest.importorskip("sklearn.ensemble")
    objects = drawn(300)
    options = MetaOptions(kind=kind, threshold=0.7, fitted_on="a drawing")
    ours = fit_meta(objects, CLASSES, options)
    true = objects.verdicts == 1
    features = objects.features
    if kind == "boosting":
        model = ensemble.GradientBoostingClassifier(subsample=0.5, random_state=0)
    else:
        model = linear.LogisticRegression(solver="liblinear", random_state=0)
        spread = features.std(axis=0)
        features = (features - features.mean(axis=0)) / np.where(spread > 1e-6, spread, 1)
    theirs = model.fit(features, true).predict_proba(features)[:, 1]
    np.testing.assert_allclose(ours.probability(objects.features), theirs, atol=1e-4)
    ours.save(tmp_path / "meta.json")
    assert load_meta(tmp_path / "meta.json") == ours


def drawn(count, seed=0, drives=("a", "b", "c")) -> MeasuredObjects:
    """Objects that are true the more likely, the larger and the higher they are."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, len(NAMES))).astype(np.float32)
    features[:, 5] = 1.0  # one that never differs
    chance = sigmoid(3 * features[:, AREA] + 2 * features[:, NAMES.index("row")])
    verdicts = (rng.random(count) < chance).astype(np.int8)
    frames = np.sort(rng.integers(0, 30, count))
    names = tuple(drives[frame * len(drives) // 30] for frame in range(30))
    # each true one finds an object of its own
    found = tuple((int(number),) for number in np.flatnonzero(verdicts))
    return MeasuredObjects(
        features=features, verdicts=verdicts, frames=frames, drives=names, found=found
    )


def test_objects_of_a_frame_are_judged() -> None:
    clusters = np.zeros((20, 30), np.uint16)
    clusters[2:4, 2:4] = 1  # log(4 / 600) is -5
    clusters[8:18, 10:20] = 2  # log(100 / 600) is -1.8
    clusters[0, 29] = 3
    scores, known = np.full((20, 30), 0.9, np.float32), np.zeros((20, 30), np.uint8)
    found = logistic().false_alarms(clusters, scores, known)
    assert found.tolist() == [False, True, False, True]
    empty = logistic().false_alarms(np.zeros((20, 30), np.uint16), scores, known)
    assert empty.tolist() == [False]
    assert not logistic(keep_above=0.0).false_alarms(clusters, scores, known).any()


def test_a_model_with_other_classes() -> None:
    logistic().check(fake_manifest(4, 4, CLASSES))
    with pytest.raises(UsageError, match=r"fitted for the classes road, tree; model .* fit one"):
        logistic().check(fake_manifest(4, 4, ("tree", "road")))


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": [1.0]},
        {"weights": None},
        {"bias": "x"},
        {"bias": float("nan")},
        {"scale": [1.0]},
        {"mean": "none"},
    ],
)
def test_garbled_numbers(changes) -> None:
    with pytest.raises(UsageError, match="garbled"):
        logistic(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"left": [0, -1, 3, -1, -1]},  # a circle
        {"right": [9, -1, 9, -1, -1]},  # a child that is not there
        {"feature": [999, -1, 1, -1, -1]},
        {"value": [0.0]},
        {"limit": None},
    ],
)
def test_garbled_trees(changes) -> None:
    with pytest.raises(UsageError, match="garbled"):
        boosting(TREE | changes)


def test_values_out_of_range() -> None:
    with pytest.raises(UsageError, match=r"'keep_above' of a meta classifier is 1\.5"):
        logistic(keep_above=1.5)
    with pytest.raises(UsageError, match="no meta classifier 'forest'"):
        MetaOptions(kind="forest", threshold=0.5, fitted_on="x")
    with pytest.raises(UsageError, match=r"may be missed is 0\.\.1"):
        MetaOptions(max_missed=1.0, threshold=0.5, fitted_on="x")


def test_bad_files(tmp_path) -> None:
    path = tmp_path / "meta.json"
    with pytest.raises(UsageError, match="cannot read the meta classifier"):
        load_meta(path)
    with pytest.raises(OutputError, match="cannot write"):
        logistic().save(tmp_path / "none" / "meta.json")
    logistic().save(path)
    good = json.loads(path.read_text())
    for changes, says in (
        ({"schema": 9}, "has schema 9, this version reads 1"),
        ({"features": ["size"]}, "rests on other features"),
        ({"model": 3}, "is not a meta classifier"),
        ({"keep_above": "high"}, "is not a meta classifier"),
        ({"kind": "forest"}, "no meta classifier 'forest'"),
    ):
        path.write_text(json.dumps(good | changes))
        with pytest.raises(UsageError, match=says):
            load_meta(path)
    for text in ("", "[]", "{}", "\x00"):
        path.write_text(text)
        with pytest.raises(UsageError, match="is not a meta classifier"):
            load_meta(path)


# Fitting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
@pytest.mark.parametrize("drives", [("a", "b", "c"), ("a",)])
def test_what_is_dropped_elsewhere(kind, drives) -> None:
    pytest.importorskip("sklearn")
    options = MetaOptions(kind=kind, max_missed=0.1, threshold=0.7, fitted_on="a drawing")
    classifier = fit_meta(drawn(600, drives=drives), CLASSES, options)
    figures = classifier.figures
    assert figures["found_lost"] == pytest.approx(0.1, abs=0.005)
    assert figures["found_lost"] <= 0.1
    assert figures["left_out_in_turn"] == (
        "drives" if len(drives) > 1 else "stretches of one drive"
    )
    other = drawn(600, seed=1)
    dropped = classifier.probability(other.features) <= classifier.keep_above
    assert 0.04 < dropped[other.verdicts == 1].mean() < 0.18
    assert dropped[other.verdicts == 0].mean() > 0.5
    assert figures["false_dropped"] == pytest.approx(dropped[other.verdicts == 0].mean(), abs=0.1)


def test_objects_that_are_left_out_do_not_matter() -> None:
    pytest.importorskip("sklearn")
    options = MetaOptions(threshold=0.7, fitted_on="a drawing")
    plain = drawn(300)
    more = drawn(50, seed=5)
    both = MeasuredObjects(
        features=np.concatenate((plain.features, 50 * more.features)),
        verdicts=np.concatenate((plain.verdicts, np.full(50, -1, np.int8))),
        frames=np.concatenate((plain.frames, more.frames)),
        drives=plain.drives,
        found=plain.found,
    )
    assert fit_meta(both, CLASSES, options) == fit_meta(plain, CLASSES, options)


def test_an_object_is_lost_only_if_all_that_touches_it_is_dropped() -> None:
    pytest.importorskip("sklearn")
    objects = drawn(600)
    options = MetaOptions(max_missed=0.1, threshold=0.7, fitted_on="a drawing")
    apart = fit_meta(objects, CLASSES, options)
    true = np.flatnonzero(objects.verdicts)
    pairs = tuple(zip(true[::2].tolist(), true[1::2].tolist(), strict=False))
    together = fit_meta(replace(objects, found=pairs), CLASSES, options)
    assert together.figures["found"] == len(true) // 2
    assert together.figures["found_lost"] <= 0.1
    assert together.keep_above > 1.5 * apart.keep_above
    assert together.figures["false_dropped"] > apart.figures["false_dropped"]


def test_none_may_be_missed() -> None:
    pytest.importorskip("sklearn")
    options = MetaOptions(max_missed=0.0, threshold=0.7, fitted_on="a drawing")
    classifier = fit_meta(drawn(300), CLASSES, options)
    assert classifier.figures["found_lost"] == 0.0
    assert classifier.figures["false_dropped"] > 0.0


def test_too_few_objects() -> None:
    options = MetaOptions(threshold=0.7, fitted_on="camvid val")
    objects = drawn(40)
    for verdict in (0, 1):
        alike = MeasuredObjects(
            features=objects.features,
            verdicts=np.full(40, verdict, np.int8),
            frames=objects.frames,
            drives=objects.drives,
            found=(),
        )
        with pytest.raises(InputError, match="are too few for a meta classifier"):
            fit_meta(alike, CLASSES, options)
    none = MeasuredObjects(
        features=objects.features[:0],
        verdicts=objects.verdicts[:0],
        frames=objects.frames[:0],
        drives=objects.drives,
        found=(),
    )
    with pytest.raises(InputError, match="nothing is called unknown"):
        fit_meta(none, CLASSES, options)
