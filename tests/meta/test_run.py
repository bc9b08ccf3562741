"""Meta classification end to end with the tiny bundle: commands, pipeline, and their agreement."""

from __future__ import annotations

import hashlib
import importlib
import json

import cv2
import numpy as np
import pytest

from owseg.cli import main
from owseg.datasets import open_dataset
from owseg.engines import open_engine
from owseg.evaluation import truth_map_for
from owseg.grouping import ClusterTracker
from owseg.meta.model import load_meta
from owseg.meta.run import Recorder, drive_of, evaluate_meta, measure_objects, without_false
from owseg.pipeline import Pipeline
from owseg.types import Frame

FRAMES = 24


@pytest.fixture(scope="module")
def camvid(tmp_path_factory):
    """Write a CamVid in which cars are large and false alarms small; two drives to fit, one more.

    The score is blue: 1 on both.
    """
    root = tmp_path_factory.mktemp("blobs") / "CamVid"
    for folder in ("images", "labels", "splits"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{drive}_{index:03}" for drive in ("one", "two", "three") for index in range(FRAMES)]
    for name in names:
        labels, image = np.zeros((24, 32), np.uint8), np.zeros((24, 32, 3), np.uint8)
        image[..., 2] = 90
        row, column = rng.integers(0, 12), rng.integers(0, 20)
        labels[row : row + 11, column : column + 11] = 8
        image[labels == 8] = (255, 0, 0)
        for _ in range(2):
            size = rng.integers(2, 5)
            row, column = rng.integers(0, 24 - size), rng.integers(0, 32 - size)
            if not (labels[row - 1 : row + size + 1, column - 1 : column + size + 1] == 8).any():
                image[row : row + size, column : column + size] = (255, 0, 0)
        cv2.imwrite(str(root / "images" / f"{name}.png"), image)
        cv2.imwrite(str(root / "labels" / f"{name}.png"), labels)
    (root / "splits" / "train.txt").write_text("\n".join(names[: 2 * FRAMES]) + "\n")
    (root / "splits" / "val.txt").write_text("\n".join(names[2 * FRAMES :]) + "\n")
    return root


@pytest.fixture(scope="module")
def fitted(camvid, tiny_bundle, tmp_path_factory):
    """Fit a meta classifier to the first two drives, and give its file."""
    pytest.importorskip("sklearn")
    path = tmp_path_factory.mktemp("meta") / "new" / "meta.json"
    data = ("--data", "camvid", "--root", camvid, "--model", tiny_bundle)
    argv = ("meta", "fit", *data, "--out", path, "--kind", "logistic")
    assert main([str(arg) for arg in argv]) == 0
    return path


@pytest.fixture
def run(capfd):
    """Give a function that runs the command line: exit code, output, lines of errors."""

    def call(*argv):
        capfd.readouterr()
        code = main([str(arg) for arg in argv])
        out, err = capfd.readouterr()
        lines = err.split("\n")
        return code, out, [line for line in lines if line and not line.startswith("\r")]

    return call


def test_false_alarms_of_another_drive_are_dropped(run, fitted, camvid, tiny_bundle):
    data = ("--data", "camvid", "--root", camvid, "--model", tiny_bundle)
    code, out, err = run("meta", "eval", *data, "--meta", fitted, "--json")
    assert (code, err) == (0, [])
    (row,) = json.loads(out)["rows"]
    assert row["threshold"] == 0.5
    assert row["before"]["false"] > 20
    assert row["after"]["false"] <= row["before"]["false"] / 2
    assert row["after"]["missed"] <= row["before"]["missed"] + 1
    assert row["after"]["f1"] > row["before"]["f1"]
    # what is known again is of the right class: red is road here, as all around
    assert row["after"]["delta"] <= row["before"]["delta"]


def test_the_table_in_words(run, fitted, camvid, tiny_bundle):
    data = ("--data", "camvid", "--root", camvid, "--model", tiny_bundle, "--max-frames", 3)
    code, out, _ = run("meta", "eval", *data, "--meta", fitted, "--thresholds", 0.5, 0.999)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["without", "with"]
    assert [line.split()[0] for line in lines[2:]] == ["0.500", "0.999"]


def test_figures_of_the_fit(fitted):
    classifier = load_meta(fitted)
    assert classifier.classes == ("road", "tree", "sky")
    assert classifier.threshold == 0.5
    assert classifier.fitted_on.startswith("camvid train, 48 images")
    assert classifier.figures["left_out_in_turn"] == "drives"
    assert classifier.figures["found"] == 48
    assert classifier.figures["found_lost"] <= 0.02


@pytest.mark.parametrize("size", [(24, 32), (48, 64), (240, 320), (12, 16)])
@pytest.mark.parametrize("grouping", ["components", "super_bpd"])
def test_the_pipeline_drops_what_the_evaluation_drops(fitted, camvid, tiny_bundle, size, grouping):
    classifier = load_meta(fitted)
    recorder = Recorder()
    samples = list(open_dataset("camvid", camvid, "val"))[:6]
    changed = 0
    with open_engine(tiny_bundle, "onnxruntime", "cpu") as engine:
        plain = Pipeline(engine, meta=recorder, grouping=grouping)
        strict = Pipeline(engine, meta=classifier, grouping=grouping)
        for sample in samples:
            image = cv2.resize(sample.load()[0], size[::-1], interpolation=cv2.INTER_NEAREST)
            before, after = plain.process(Frame(image=image)), strict.process(Frame(image=image))
            clusters, open_set = without_false(before, recorder.features, classifier)
            np.testing.assert_array_equal(after.open_set, open_set)
            np.testing.assert_array_equal(after.clusters > 0, clusters > 0)
            # the ids that stay are 1, 2, ... in their order
            kept = np.unique(clusters[clusters > 0])
            assert np.unique(after.clusters[after.clusters > 0]).tolist() == list(
                range(1, len(kept) + 1)
            )
            for new, old in enumerate(kept, start=1):
                np.testing.assert_array_equal(after.clusters == new, clusters == old)
            np.testing.assert_array_equal(after.anomaly, before.anomaly)
            np.testing.assert_array_equal(after.known, before.known)
            changed += int((after.open_set != before.open_set).any())
    assert changed or size == (12, 16)


def test_tracked_objects_are_those_that_stay(fitted, camvid, tiny_bundle):
    image = next(iter(open_dataset("camvid", camvid, "val"))).load()[0]
    with open_engine(tiny_bundle, "onnxruntime", "cpu") as engine:
        plain = Pipeline(engine).process(Frame(image=image), tracker=ClusterTracker())
        strict = Pipeline(engine, meta=load_meta(fitted))
        result = strict.process(Frame(image=image), tracker=ClusterTracker())
    assert 1 == result.num_clusters < plain.num_clusters
    assert result.objects[0].area == 121


def test_evaluation_without_any_object(fitted, camvid, tiny_bundle):
    samples = list(open_dataset("camvid", camvid, "val"))[:2]
    recorder = Recorder()
    with open_engine(tiny_bundle, "onnxruntime", "cpu") as engine:
        pipeline = Pipeline(engine, threshold=1.0, meta=recorder)
        truth_map = truth_map_for(
            engine.manifest, open_dataset("camvid", camvid, "val").label_space
        )
        figures = evaluate_meta(pipeline, recorder, load_meta(fitted), samples, truth_map)
        objects = measure_objects(pipeline, recorder, samples, truth_map)
    assert figures.as_dict()["after"] == figures.as_dict()["before"]
    assert figures.as_dict()["before"]["missed"] == 2
    assert (objects.verdicts.size, objects.found, objects.drives) == (0, (), ("three", "three"))


def test_drives_by_name():
    assert drive_of("0006R0_f00930") == "0006R0"
    assert drive_of("berlin/berlin_000_001") == "berlin"
    assert drive_of("7") == "7"


def test_replay_and_eval_take_one(run, fitted, camvid, tiny_bundle, tmp_path):
    data = ("--data", "camvid", "--root", camvid, "--model", tiny_bundle)
    for name, more in (("without", ()), ("with", ("--meta", fitted))):
        assert run("eval", *data, *more, "--json", tmp_path / f"{name}.json")[0] == 0
    before, after = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("without", "with")
    )
    assert after["decisions"]["false_alarms"] < before["decisions"]["false_alarms"]
    assert after["open_set"]["open_miou"] > before["open_set"]["open_miou"]
    assert after["anomaly"] == before["anomaly"]
    digest = hashlib.sha256(fitted.read_bytes()).hexdigest()
    assert before["meta"] is None
    assert (after["meta"]["file"], after["meta"]["sha256"]) == (fitted.name, digest)
    assert after["meta"]["threshold"] == load_meta(fitted).threshold
    folder = ("replay", camvid / "images", "--model", tiny_bundle, "--max-frames", 2)
    assert run(*folder, "--out", tmp_path / "OUT", "--meta", fitted)[0] == 0
    told = json.loads((tmp_path / "OUT" / "metrics.json").read_text())
    assert told["meta"] == after["meta"]
    assert told["score"] == after["score"] == {"name": "blue", "form": None, "type": "float32"}


def test_what_is_refused(run, fitted, camvid, tiny_bundle, tmp_path, monkeypatch):
    data = ("--data", "camvid", "--root", camvid, "--model", tiny_bundle)

    def fails(says, *argv):
        code, out, err = run(*argv)
        assert (code, out) == (2, "")
        assert len(err) == 1
        assert says in err[0]

    fails("cannot read the meta classifier", "eval", *data, "--meta", tmp_path / "none.json")
    fails("it is a folder", "meta", "fit", *data, "--out", tmp_path)
    fails("may be missed is 0..1", "meta", "fit", *data, "--out", tmp_path / "x", "--max-missed", 7)
    fails(
        "nothing is called unknown",
        *("meta", "fit", *data, "--out", tmp_path / "x", "--threshold", 1, "--max-frames", 3),
    )
    fails(
        "--thresholds already says it",
        *("meta", "eval", *data, "--meta", fitted, "--thresholds", 0.5, "--threshold", 0.5),
    )
    found = importlib.import_module

    def without_sklearn(name, *more):
        if name.startswith("sklearn"):
            raise ImportError("No module named 'sklearn'")
        return found(name, *more)

    monkeypatch.setattr(importlib, "import_module", without_sklearn)
    fails("needs scikit-learn", "meta", "fit", *data, "--out", tmp_path / "x")
