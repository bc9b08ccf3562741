"""What the node publishes on request: probabilities, objects without false alarms, short scores."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from owseg.bundle import load_bundle
from owseg.calibration.rewrite import save_with_manifest
from owseg.calibration.table import CalibrationTable
from owseg.engines import FakeEngine, OnnxRuntimeEngine, fake_manifest
from owseg.errors import UsageError
from owseg.grouping import ClusterTracker
from owseg.meta.features import feature_names
from owseg.meta.model import MetaClassifier
from owseg.outputs import (
    CLUSTERS,
    CONFIDENCE,
    DETECTIONS,
    IMAGES,
    LABELS,
    MASK,
    PROBABILITY,
    array_of,
)
from owseg.pipeline import Pipeline
from owseg.types import Frame
from owseg_ros.commands.node import start as main
from owseg_ros.perception.detections import DETECTION_ARRAY
from owseg_ros.watchdog import RAW

TABLE = CalibrationTable(method="hand", probabilities=(0.0, 0.1, 0.9), fitted_on="street 1")
LABEL_INFO = "vision_msgs/msg/LabelInfo"
FEW, MANY = 9, 100
"""Pixels of the objects of `objects`."""


@pytest.fixture
def calibrated_bundle(tiny_bundle, tmp_path):
    """Write the tiny bundle with a calibration."""
    bundle = load_bundle(tiny_bundle)
    manifest = replace(bundle.manifest, calibration=TABLE)
    return save_with_manifest(bundle, manifest, tmp_path / "calibrated.onnx").path


def by_size(classes):
    """Give a classifier that calls objects of up to 30 of 24x32 pixels false alarms."""
    names = feature_names(classes)
    weights = [float(name == "log_area") for name in names]
    numbers = {"mean": [0.0] * len(names), "scale": [1.0] * len(names), "weights": weights}
    return MetaClassifier(
        kind="logistic",
        classes=tuple(classes),
        model=numbers | {"bias": math.log(24 * 32 / 30)},
        keep_above=0.5,
        threshold=0.625,
        fitted_on="by hand",
    )


@pytest.fixture
def meta_file(tmp_path):
    """Write such a classifier for the classes of the fake engine."""
    path = tmp_path / "meta.json"
    by_size(fake_manifest().class_names).save(path)
    return path


def objects():
    """Give an image of 24x32 with two unknown objects, of FEW and of MANY pixels."""
    image = np.zeros((24, 32, 3), np.uint8)
    image[..., 0] = 90
    image[2:5, 2:5, 2] = image[8:18, 12:22, 2] = 255
    return image


def array_in(message, dtype=np.uint8):
    data = np.asarray(message.data, np.uint8).tobytes()
    return np.frombuffer(data, dtype).reshape(message.height, message.width)


def said_of(node):
    """Return the values of the status of the engine."""
    found = next(status for status in node.statuses() if status.name == "engine")
    return found.values


# Probabilities -----------------------------------------------------------------------------------


def test_probabilities_are_those_of_the_offline_pipeline(
    perception, friend, eventually, noise, calibrated_bundle
):
    friend.listen_to_all()
    node = perception(engine="onnxruntime", device="cpu", model=calibrated_bundle, calibrated=True)
    image = noise(48, 64)
    friend.send(image)
    assert eventually(lambda: all(friend.of(topic) for topic in IMAGES))
    with OnnxRuntimeEngine(load_bundle(calibrated_bundle), "cpu", threads=1) as engine:
        pipeline = Pipeline(engine, calibrated=True)
        result = pipeline.process(Frame(image=image), tracker=ClusterTracker())
        score = Pipeline(engine).process(Frame(image=image))
    for topic in IMAGES:
        data = np.asarray(friend.of(topic)[0].data, np.uint8).tobytes()
        assert data == array_of(topic, result).tobytes(), topic
    assert not np.allclose(result.anomaly, score.anomaly, atol=0.05)
    np.testing.assert_array_equal(array_in(friend.of(MASK)[0]), score.open_set)
    values = said_of(node)
    assert values["published anomaly"] == "probability, calibrated on street 1 (hand)"
    assert (values["anomaly threshold"], values["meta classifier"]) == ("0.5", "-")


def test_the_label_threshold_is_on_the_scale_of_what_is_published(
    perception, friend, tricks, eventually, noise
):
    """Confidence below it is unknown: where the score is 0.75, the probability is 0.5."""
    tricks.manifest = replace(tricks.manifest, calibration=TABLE)
    friend.listen(LABEL_INFO, LABELS)
    node = perception(calibrated=True, anomaly_threshold=0.75)
    friend.listen(RAW, MASK)
    friend.listen(RAW, CONFIDENCE)
    friend.send(noise())
    assert eventually(lambda: friend.of(MASK) and friend.of(CONFIDENCE))
    node.host.parameters.set({"anomaly_threshold": 0.25})
    assert eventually(lambda: len(friend.of(LABELS)) == 2)
    node.host.parameters.set({"anomaly_threshold": -1.0})
    assert eventually(lambda: len(friend.of(LABELS)) == 3)
    friend.send(noise(), 2 * 10**9)
    assert eventually(lambda: len(friend.of(MASK)) == 2)
    thresholds = [message.threshold for message in friend.of(LABELS)]
    assert thresholds == pytest.approx([0.5, 0.95, 0.9], abs=1e-6)
    unknown = array_in(friend.of(MASK)[0]) == 255
    assert 0 < unknown.sum() < unknown.size / 2
    np.testing.assert_array_equal(array_in(friend.of(CONFIDENCE)[0]) / 255 < 0.5, unknown)


def test_a_map_is_not_used_unless_asked_for(perception, friend, tricks, eventually, noise):
    tricks.manifest = replace(tricks.manifest, calibration=TABLE)
    friend.listen(LABEL_INFO, LABELS)
    friend.listen(RAW, PROBABILITY)
    node = perception(anomaly_threshold=0.75)
    image = noise()
    friend.send(image)
    assert eventually(lambda: friend.of(PROBABILITY) and friend.of(LABELS))
    scores = array_in(friend.of(PROBABILITY)[0], np.float32)
    np.testing.assert_array_equal(scores, image[..., 2] / np.float32(255))
    assert friend.of(LABELS)[0].threshold == 0.25
    assert said_of(node)["published anomaly"] == "score"


# False alarms ------------------------------------------------------------------------------------


def test_a_false_alarm_is_in_no_output(perception, friend, tricks, eventually, meta_file):
    friend.listen(DETECTION_ARRAY, DETECTIONS)
    friend.listen_to_all()
    node = perception(meta=meta_file)
    image = objects()
    friend.send(image)
    assert eventually(lambda: all(friend.of(topic) for topic in (*IMAGES, DETECTIONS)))
    engine = FakeEngine(tricks.manifest)
    pipeline = Pipeline(engine, meta=by_size(tricks.manifest.class_names))
    result = pipeline.process(Frame(image=image), tracker=ClusterTracker())
    for topic in IMAGES:
        data = np.asarray(friend.of(topic)[0].data, np.uint8).tobytes()
        assert data == array_of(topic, result).tobytes(), topic
    assert (array_in(friend.of(MASK)[0]) == 255).sum() == MANY
    assert np.count_nonzero(array_in(friend.of(CLUSTERS)[0])) == MANY
    assert len(friend.of(DETECTIONS)[0].detections) == 1
    values = said_of(node)
    assert values["meta classifier"] == f"{meta_file}, fitted at the threshold 0.625"


def test_small_objects_are_in_no_mask(perception, friend, tricks, eventually):
    """Whoever listens: the mask alone needs the objects, too."""
    perception(min_object=(FEW + 1) / objects()[..., 0].size)
    friend.listen(RAW, MASK)
    friend.send(objects())
    assert eventually(lambda: friend.of(MASK))
    assert (array_in(friend.of(MASK)[0]) == 255).sum() == MANY


def test_without_a_classifier_all_objects_stay(perception, friend, tricks, eventually):
    perception()
    friend.listen(RAW, MASK)
    friend.send(objects())
    assert eventually(lambda: friend.of(MASK))
    assert (array_in(friend.of(MASK)[0]) == 255).sum() == FEW + MANY


def test_the_mask_does_not_depend_on_who_listens(perception, friend, tricks, eventually, meta_file):
    """Somebody who wants the mask alone gets it without false alarms, too."""
    perception(meta=meta_file)
    friend.listen(RAW, MASK)
    friend.send(objects())
    assert eventually(lambda: friend.of(MASK))
    assert (array_in(friend.of(MASK)[0]) == 255).sum() == MANY


def test_who_wants_neither_mask_nor_objects_waits_for_no_search(
    perception, friend, tricks, eventually, meta_file
):
    node = perception(meta=meta_file)
    assert not node._model.needs_objects({PROBABILITY, CONFIDENCE})
    for topic in (MASK, CLUSTERS, DETECTIONS):
        assert node._model.needs_objects({PROBABILITY, topic})


# Scores in fewer bytes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score_type", "output"),
    [("float32", "anomaly"), ("float16", "anomaly_f16"), ("uint8", "anomaly_u8")],
)
def test_the_type_of_the_scores(
    perception, friend, tricks, eventually, noise, score_type, output, monkeypatch
):
    asked = []
    infer = FakeEngine.infer

    def spy(engine, images, prototypes, threshold, outputs):
        asked.append(set(outputs))
        return infer(engine, images, prototypes, threshold, outputs)

    monkeypatch.setattr(FakeEngine, "infer", spy)
    friend.listen(RAW, PROBABILITY)
    perception(score_type=score_type)
    image = noise()
    friend.send(image)
    assert eventually(lambda: friend.of(PROBABILITY))
    scores = image[..., 2] / np.float32(255)
    rounded = scores.astype(np.float16) if score_type == "float16" else scores
    found = array_in(friend.of(PROBABILITY)[0], np.float32)
    np.testing.assert_array_equal(found, rounded.astype(np.float32))
    assert {"anomaly", "anomaly_f16", "anomaly_u8"} & asked[-1] == {output}


# What cannot be used -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("meta", "none.json", "cannot read the meta classifier none.json: No such file"),
        (
            "meta",
            "FOREIGN",
            "the meta classifier was fitted for the classes a, b; model 'fake' has",
        ),
        ("meta", "MODEL", "is not a meta classifier"),
        ("calibrated", "true", "model 'fake' has no calibration; fit one with 'owseg calibrate'"),
        ("calibrated", "1", "parameter 'calibrated' takes a bool, got 1"),
        ("score_type", "int4", "must be float32 or float16 or uint8, got 'int4'"),
    ],
)
def test_unusable_values_end_the_node_with_one_line(
    kinds, ros_domain, capfd, tmp_path, tiny_bundle, name, value, says
):
    by_size(("a", "b")).save(tmp_path / "foreign.json")
    value = {"FOREIGN": tmp_path / "foreign.json", "MODEL": tiny_bundle}.get(value, value)
    argv = ["-p", "engine:=fake", "-p", f"{name}:={value}"]
    assert main(["perception", "--host", kinds[0], "--ros-args", *argv]) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if says in line]
    assert len(lines) == 1


def test_an_unusable_classifier_is_refused_before_the_model_is_loaded(perception, tricks, tmp_path):
    node = perception(meta=tmp_path / "none.json", begin=False)
    assert not node.start()
    assert (node.exit_code, tricks.opened) == (2, 0)
    node.host.parameters.set({"meta": ""})
    assert node.start()
    with pytest.raises(UsageError, match="'meta' is fixed while the node is configured"):
        node.host.parameters.set({"meta": "other.json"})
