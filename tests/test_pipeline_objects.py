"""Unknown objects through the pipeline: fields asked for, ids that stay, whole partitions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from owseg.engines import FakeEngine, fake_manifest
from owseg.errors import UsageError
from owseg.grouping import GROUPINGS, ClusterTracker, SuperBpd, connected_components
from owseg.outputs import cluster_mask
from owseg.pipeline import Pipeline
from owseg.types import Frame

HEIGHT, WIDTH, STRIDE = 96, 128, 4


class FieldEngine(FakeEngine):
    """A fake engine with a field of two discs side by side, or of what it is given."""

    def __init__(self, field=None):
        super().__init__(fake_manifest(HEIGHT, WIDTH, ("a", "b"), slots=2))
        rows, columns = np.mgrid[: HEIGHT // STRIDE, : WIDTH // STRIDE]
        middle = np.where(columns < 16, 9.5, 22.5)
        self.field = np.stack([11.5 - rows, middle - columns]) if field is None else field
        self.asked = []

    def infer(self, images, prototypes, threshold, outputs=()):
        self.asked.append(tuple(outputs))
        found = super().infer(images, prototypes, threshold, outputs)
        if "direction" in found:
            found["direction"] = self.field[None].astype(np.float32)
        return found


def discs(size=(HEIGHT, WIDTH)):
    """Give an image of two unknown discs that touch."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for column in (40, 88):
        cv2.circle(image, (column, 48), 25, (0, 0, 255), cv2.FILLED)
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def test_the_field_tells_objects_apart():
    engine = FieldEngine()
    result = Pipeline(engine, grouping="super_bpd").process(Frame(image=discs()))
    assert engine.asked == [("known", "anomaly", "open_set", "direction")]
    assert result.num_clusters == 2
    assert len(np.unique(result.clusters[:, :60])) == 2
    np.testing.assert_array_equal(result.clusters > 0, result.open_set == 255)
    assert result.objects is None
    assert result.partition is None
    assert Pipeline(FieldEngine()).process(Frame(image=discs())).num_clusters == 1


@pytest.mark.parametrize("size", [(288, 384), (48, 64), (77, 90), (200, 100)])
def test_groups_are_found_at_the_resolution_of_the_network(size):
    result = Pipeline(FieldEngine(), grouping="super_bpd").process(Frame(image=discs(size)))
    assert result.clusters.shape == size
    assert result.num_clusters == 2
    assert (result.clusters > 0).mean() == pytest.approx((result.open_set == 255).mean(), rel=0.02)


@pytest.mark.parametrize("grouping", list(GROUPINGS))
@pytest.mark.parametrize("size", [(96, 128), (211, 317), (60, 500), (50, 60)])
def test_only_unknown_pixels_have_a_cluster(grouping, size):
    pipeline, tracker = Pipeline(FieldEngine(), grouping=grouping), ClusterTracker()
    for follow in (None, tracker, tracker):
        result = pipeline.process(Frame(image=discs(size)), tracker=follow)
        assert result.clusters.dtype == np.uint16
        assert not result.clusters[result.open_set != 255].any()
        assert result.clusters.any()


@pytest.mark.parametrize(
    ("grouping", "group", "partition", "field"),
    [
        ("components", True, True, False),
        ("watershed", True, True, False),
        ("super_bpd", False, False, False),
        ("super_bpd", True, False, True),
        ("super_bpd", False, True, True),
    ],
)
def test_a_field_is_asked_for_only_where_it_is_needed(grouping, group, partition, field):
    engine = FieldEngine()
    pipeline = Pipeline(engine, grouping=grouping)
    result = pipeline.process(Frame(image=discs()), group=group, partition=partition)
    assert ("direction" in engine.asked[0]) == field
    assert (result.num_clusters > 0) == group
    assert (result.partition is not None) == (partition and grouping == "super_bpd")


def test_the_partition_covers_all_pixels():
    engine = FieldEngine()
    frame = Frame(image=discs((192, 256)))
    result = Pipeline(engine, grouping="super_bpd").process(frame, partition=True)
    everything = np.full((HEIGHT, WIDTH), 255, np.uint8)
    whole = SuperBpd(STRIDE)(everything, engine.field.astype(np.float32))
    np.testing.assert_array_equal(result.partition, whole.repeat(2, 0).repeat(2, 1))
    assert result.partition.min() > 0
    assert (result.clusters == 0).any()


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (288, 384), (48, 64)])
@pytest.mark.parametrize("grouping", ["components", "super_bpd"])
def test_small_objects_become_known_again(grouping, size):
    """A disc of 9 % of the image, one of 1.4 % and a speck: shares whatever the resolution."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for column, radius in ((24, 18), (88, 7), (120, 0)):
        cv2.circle(image, (column, 48), radius, (0, 0, 255), cv2.FILLED)
    frame = Frame(image=cv2.resize(image, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))
    plain = Pipeline(FieldEngine(), grouping=grouping).process(frame)
    before = [(plain.open_set == 255).mean()]
    for share, objects in ((0.005, 2), (0.05, 1), (0.5, 0)):
        pipeline = Pipeline(FieldEngine(), grouping=grouping, min_object=share)
        assert pipeline.drops_objects
        found = pipeline.process(frame)
        assert found.num_clusters == objects
        np.testing.assert_array_equal(found.open_set == 255, found.clusters > 0)
        known_again = (plain.open_set == 255) & (found.open_set != 255)
        np.testing.assert_array_equal(found.open_set[known_again], found.known[known_again])
        np.testing.assert_array_equal(found.anomaly, plain.anomaly)
        before.append((found.open_set == 255).mean())
    assert before == sorted(before, reverse=True)
    assert before[-1] == 0 < before[2]


def test_all_objects_stay_unless_asked_for():
    assert not Pipeline(FieldEngine()).drops_objects


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_shares_out_of_range(share):
    with pytest.raises(UsageError, match=r"smallest object must be a share in 0\.\.1, got"):
        Pipeline(FieldEngine(), min_object=share)


def test_a_model_without_a_field_still_groups():
    pipeline = Pipeline(FakeEngine(fake_manifest(HEIGHT, WIDTH)), grouping="super_bpd")
    result = pipeline.process(Frame(image=discs()))
    np.testing.assert_array_equal(result.clusters, connected_components(result.open_set))


def test_warming_up_warms_the_grouping_too(monkeypatch):
    order = []
    real = GROUPINGS["super_bpd"]

    def spy(stride):
        grouping = real(stride)
        grouping.warm_up = lambda: order.append(stride)
        return grouping

    monkeypatch.setitem(GROUPINGS, "super_bpd", spy)
    Pipeline(FieldEngine(), grouping="super_bpd").warm_up()
    assert order == [STRIDE]


def test_unknown_groupings():
    wanted = "no grouping 'x'; there are components, super_bpd, watershed"
    with pytest.raises(UsageError, match=wanted):
        Pipeline(FieldEngine(), grouping="x")


# Tracking --------------------------------------------------------------------------------------


def moving(step, size=(HEIGHT, WIDTH)):
    """Give an image of two squares; the first appears in the second frame."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    if step:
        image[4:24, 8 : 8 + 20] = (0, 0, 200)
    image[40:72, 4 + 8 * step : 36 + 8 * step] = (0, 0, 255)
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (192, 256), (48, 64)])
def test_ids_stay_and_objects_are_described(size):
    pipeline, tracker = Pipeline(FieldEngine()), ClusterTracker()
    for step in range(4):
        result = pipeline.process(Frame(image=moving(step, size)), tracker=tracker)
        row, column = (side // ratio for side, ratio in zip(size, (2, 4), strict=True))
        assert result.clusters[row, column] == 1
        large = next(cluster for cluster in result.objects if cluster.id == 1)
        assert large.age == step + 1
        assert large.area == (result.clusters == 1).sum()
        assert large.mean_anomaly > 0.95
        rows, columns = np.nonzero(result.clusters == 1)
        assert large.box == (
            columns.min(),
            rows.min(),
            np.ptp(columns) + 1,
            np.ptp(rows) + 1,
        )
        assert result.num_clusters == len(result.objects) == (1 if step == 0 else 2)
    assert {cluster.id for cluster in result.objects} == {1, 2}
    assert np.unique(result.clusters).tolist() == [0, 1, 2]


def test_without_grouping_nothing_is_tracked():
    tracker = ClusterTracker()
    pipeline = Pipeline(FieldEngine())
    pipeline.process(Frame(image=moving(0)), tracker=tracker)
    idle = pipeline.process(Frame(image=moving(0)), group=False, tracker=tracker)
    assert idle.objects is None
    assert not idle.clusters.any()
    again = pipeline.process(Frame(image=moving(0)), tracker=tracker)
    assert [(c.id, c.age) for c in again.objects] == [(1, 2)]


def test_an_id_above_254_makes_the_mask_wider():
    tracker = ClusterTracker()
    tracker._fresh = 254
    pipeline = Pipeline(FieldEngine())
    result = pipeline.process(Frame(image=moving(0)), tracker=tracker)
    mask = cluster_mask(result)
    assert (mask.dtype, mask.max(), result.num_clusters) == (np.uint8, 254, 1)
    result = pipeline.process(Frame(image=moving(1)), tracker=tracker)
    mask = cluster_mask(result)
    assert (mask.dtype, mask.max(), result.num_clusters) == (np.uint16, 255, 2)
