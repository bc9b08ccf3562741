"""What results are published as: the arrays of each topic, and what the recording makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from owseg import outputs
from owseg.engines import FakeEngine, fake_manifest
from owseg.pipeline import Pipeline
from owseg.render import overlay, palette
from owseg.types import ClassInfo, Cluster, Frame, Result

RED = ClassInfo(id=0, name="red", color=(200, 0, 0))
BLUE = ClassInfo(id=1, name="blue", color=(0, 0, 200))


def result_of(anomaly, clusters=None, classes=(RED, BLUE)):
    anomaly = np.asarray(anomaly, np.float32)
    shape = anomaly.shape
    known = np.zeros(shape, np.uint8)
    return Result(
        frame=Frame(image=np.full((*shape, 3), 100, np.uint8)),
        known=known,
        anomaly=anomaly,
        open_set=np.where(anomaly > 0.5, 255, known).astype(np.uint8),
        clusters=np.zeros(shape, np.uint16) if clusters is None else clusters,
        classes=classes,
    )


def test_confidence_falls_as_the_anomaly_rises():
    found = outputs.confidence(result_of([[0.0, 0.2, 0.5, 1.0]]))
    assert found.dtype == np.uint8
    assert found.tolist() == [[255, 204, 128, 0]]


@pytest.mark.parametrize(("count", "dtype"), [(0, np.uint8), (254, np.uint8), (255, np.uint16)])
def test_clusters_need_two_bytes_from_255_on(count, dtype):
    clusters = np.arange(count + 1, dtype=np.uint16).reshape(1, -1)
    found = outputs.cluster_mask(result_of(np.zeros(clusters.shape), clusters))
    assert found.dtype == dtype
    assert found.tolist() == clusters.tolist()


def test_labels_name_every_id_and_the_unknown():
    late = ClassInfo(id=12, name="kangaroo", color=(1, 2, 3))
    assert outputs.label_names([late, RED, BLUE]) == [
        (0, "red"),
        (1, "blue"),
        (12, "kangaroo"),
        (255, "unknown"),
    ]
    assert outputs.label_threshold(0.9) == pytest.approx(0.1)


def test_objects_become_detections():
    dot = Cluster(id=7, area=1, box=(0, 0, 1, 1), mean_anomaly=0.75, age=3)
    wide = Cluster(id=65535, area=12, box=(10, 20, 5, 4), mean_anomaly=1.0)
    assert outputs.detections(()) == []
    assert outputs.detections((dot, wide)) == [
        ("7", "unknown", 0.75, 0.5, 0.5, 1.0, 1.0),
        ("65535", "unknown", 1.0, 12.5, 22.0, 5.0, 4.0),
    ]
    fields = outputs.Detection._fields
    assert fields == ("id", "class_id", "score", "x", "y", "width", "height")


def test_each_topic_carries_its_array():
    clusters = np.array([[0, 0, 1]], np.uint16)
    result = result_of([[0.1, 0.4, 0.6]], clusters)
    arrays = {topic: outputs.array_of(topic, result, 0.25) for topic in outputs.IMAGES}
    assert set(arrays) == {
        "segmentation/mask",
        "segmentation/confidence",
        "anomaly/probability",
        "clusters/mask",
        "overlay",
    }
    assert arrays["segmentation/mask"].tolist() == [[0, 0, 255]]
    assert arrays["segmentation/confidence"].tolist() == [[230, 153, 102]]
    assert arrays["anomaly/probability"] is result.anomaly
    assert arrays["clusters/mask"].tolist() == [[0, 0, 1]]
    expected = overlay(result, palette(result.classes), 0.25)
    assert np.array_equal(arrays["overlay"], expected)
    assert not np.array_equal(expected, overlay(result, palette(result.classes), 0.5))


def test_the_overlay_has_the_colours_of_the_classes_of_its_frame():
    green = ClassInfo(id=0, name="green", color=(0, 200, 0))
    pictures = [
        outputs.array_of(outputs.OVERLAY, result_of(np.zeros((2, 2)), classes=(info,)), 1.0)
        for info in (RED, green, RED)
    ]
    assert [picture[0, 0].tolist() for picture in pictures] == [
        [200, 0, 0],
        [0, 200, 0],
        [200, 0, 0],
    ]


def test_only_topics_with_unknown_objects_need_the_grouping():
    pipeline = Pipeline(FakeEngine(fake_manifest(24, 32)))
    image = np.zeros((24, 32, 3), np.uint8)
    image[8:16, 8:16] = 255
    frame = Frame(image=image)
    whole, without = pipeline.process(frame), pipeline.process(frame, group=False)
    assert whole.num_clusters == 1
    assert without.num_clusters == 0
    assert without.clusters.shape == whole.clusters.shape
    assert without.clusters.dtype == np.uint16
    for topic in outputs.IMAGES:
        same = np.array_equal(outputs.array_of(topic, whole), outputs.array_of(topic, without))
        assert same == (topic not in outputs.GROUPED)
