"""The pipeline: what it does to sizes, ids and thresholds around an engine."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import cv2
import numpy as np
import pytest

from owseg.engines import FakeEngine, fake_manifest
from owseg.errors import BundleError, UsageError
from owseg.grouping import connected_components
from owseg.pipeline import Pipeline, _Stopwatch
from owseg.types import Frame

HEIGHT, WIDTH = 24, 32
RNG = np.random.default_rng(3)

OUTPUTS = ("known", "anomaly", "open_set")


class SpyEngine(FakeEngine):
    """Notes what it is asked, and returns what it is told to."""

    def __init__(self, answer=None):
        super().__init__(fake_manifest(HEIGHT, WIDTH, ("a", "b", "c"), slots=2))
        self.answer = answer
        self.calls = []

    def infer(self, images, prototypes, threshold, outputs=OUTPUTS):
        self.calls.append((images, prototypes, threshold, tuple(outputs)))
        return self.answer or super().infer(images, prototypes, threshold, outputs)


def picture(height=HEIGHT, width=WIDTH):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def answer(shape=(1, HEIGHT, WIDTH)):
    known = RNG.integers(0, 3, shape, dtype=np.uint8)
    anomaly = RNG.random(shape, dtype=np.float32)
    return {"known": known, "anomaly": anomaly, "open_set": np.where(anomaly > 0.5, 255, known)}


# Sizes -----------------------------------------------------------------------------------------


def test_at_the_resolution_of_the_network_nothing_is_touched():
    arrays = answer()
    arrays["open_set"] = arrays["open_set"].astype(np.uint8)
    engine = SpyEngine(arrays)
    image = picture()
    result = Pipeline(engine).process(Frame(image=image, index=4, stamp_ns=7, frame_id="cam"))
    assert engine.calls[0][0].base is image
    for name in OUTPUTS:
        found = getattr(result, name)
        assert np.shares_memory(found, arrays[name])
        np.testing.assert_array_equal(found, arrays[name][0])
    assert (result.frame.index, result.frame.stamp_ns, result.frame.frame_id) == (4, 7, "cam")
    assert result.frame.image is image


def test_a_view_of_a_larger_image_is_made_contiguous():
    engine = SpyEngine()
    wide = picture(HEIGHT, 2 * WIDTH)
    view = wide[:, ::2]
    Pipeline(engine).process(Frame(image=view))
    assert engine.calls[0][0].flags.c_contiguous
    np.testing.assert_array_equal(engine.calls[0][0][0], view)


def nearest(ids, height, width):
    """Pick the pixel under the centre of each new pixel."""
    rows = ((np.arange(height) + 0.5) * ids.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * ids.shape[1] / width).astype(int)
    return ids[np.ix_(rows, columns)]


def linear(scores, height, width):
    """Interpolate between pixel centres, one axis after the other."""
    for axis, size in enumerate((height, width)):
        old = np.arange(scores.shape[axis]) + 0.5
        new = (np.arange(size) + 0.5) * scores.shape[axis] / size
        scores = np.apply_along_axis(lambda row, n=new, o=old: np.interp(n, o, row), axis, scores)
    return scores


# Sizes at which no new pixel's centre falls between two old pixels: there either is right.
@pytest.mark.parametrize(("height", "width"), [(48, 64), (72, 96), (40, 160), (16, 32), (8, 96)])
def test_ids_are_picked_and_scores_interpolated(height, width):
    arrays = answer()
    arrays["open_set"] = arrays["open_set"].astype(np.uint8)
    result = Pipeline(SpyEngine(arrays)).process(Frame(image=picture(height, width)))
    assert (result.known.dtype, result.anomaly.dtype) == (np.uint8, np.float32)
    for name in ("known", "open_set"):
        want = nearest(arrays[name][0], height, width)
        np.testing.assert_array_equal(getattr(result, name), want)
    want = linear(arrays["anomaly"][0].astype(np.float64), height, width)
    np.testing.assert_allclose(result.anomaly, want, atol=1e-5)


@pytest.mark.parametrize("size", [(360, 480), (33, 29), (1080, 1920), (25, 32), (23, 33)])
def test_interpolated_scores_stay_in_range(size):
    arrays = answer()
    arrays["open_set"] = arrays["known"]
    for scores in (np.ones((1, HEIGHT, WIDTH), np.float32), np.round(arrays["anomaly"])):
        arrays["anomaly"] = scores.astype(np.float32)
        result = Pipeline(SpyEngine(arrays)).process(Frame(image=picture(*size)))
        assert result.anomaly.min() >= 0.0
        assert result.anomaly.max() <= 1.0


def test_a_larger_image_is_averaged_on_the_way_in():
    engine = SpyEngine()
    image = picture(3 * HEIGHT, 4 * WIDTH)
    Pipeline(engine).process(Frame(image=image))
    means = image.reshape(HEIGHT, 3, WIDTH, 4, 3).mean(axis=(1, 3))
    assert engine.calls[0][0].shape == (1, HEIGHT, WIDTH, 3)
    assert np.abs(engine.calls[0][0][0] - means).max() <= 0.5 + 1e-9


def test_a_smaller_image_is_interpolated_on_the_way_in():
    engine = SpyEngine()
    image = picture(HEIGHT // 2, WIDTH // 2)
    Pipeline(engine).process(Frame(image=image))
    want = np.stack([linear(image[..., c].astype(float), HEIGHT, WIDTH) for c in range(3)], -1)
    assert np.abs(engine.calls[0][0][0] - want).max() <= 1


def test_half_precision_scores_come_out_as_float32():
    arrays = answer()
    arrays["open_set"] = arrays["known"]
    arrays["anomaly"] = arrays["anomaly"].astype(np.float16)
    result = Pipeline(SpyEngine(arrays)).process(Frame(image=picture()))
    assert result.anomaly.dtype == np.float32
    np.testing.assert_array_equal(result.anomaly, arrays["anomaly"][0])


# Thresholds ------------------------------------------------------------------------------------


def test_the_default_operating_point_is_used():
    engine = SpyEngine()
    Pipeline(engine).process(Frame(image=picture()))
    assert engine.calls[0][2:] == (0.5, OUTPUTS)
    assert not engine.calls[0][1].valid.any()


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_a_threshold_is_handed_on(value):
    pipeline = Pipeline(SpyEngine(), threshold=value)
    image = picture()
    result = pipeline.process(Frame(image=image))
    np.testing.assert_array_equal(result.open_set == 255, image[..., 2] / np.float32(255) > value)


def test_a_threshold_can_be_changed_between_frames():
    pipeline = Pipeline(SpyEngine(), threshold=1.0)
    image = picture()
    assert not (pipeline.process(Frame(image=image)).open_set == 255).any()
    pipeline.threshold = 0
    assert isinstance(pipeline.threshold, float)
    unknown = pipeline.process(Frame(image=image)).open_set == 255
    np.testing.assert_array_equal(unknown, image[..., 2] > 0)


@pytest.mark.parametrize("value", [-0.1, 1.1, 2, float("nan"), float("inf")])
def test_thresholds_out_of_range(value):
    with pytest.raises(UsageError, match=r"threshold must be in 0\.\.1"):
        Pipeline(SpyEngine(), threshold=value)
    pipeline = Pipeline(SpyEngine(), threshold=0.3)
    with pytest.raises(UsageError, match=r"threshold must be in 0\.\.1"):
        pipeline.threshold = value
    assert pipeline.threshold == 0.3


def test_unknown_names():
    with pytest.raises(BundleError, match="no operating point 'fpr_9'; it has half"):
        Pipeline(SpyEngine(), operating_point="fpr_9")
    with pytest.raises(UsageError, match="no grouping 'x'; there are components"):
        Pipeline(SpyEngine(), grouping="x")


# The rest --------------------------------------------------------------------------------------


def test_unknown_objects_are_grouped():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[2:6, 3:8, 2] = 255
    image[10:20, 20:30, 2] = 255
    result = Pipeline(SpyEngine()).process(Frame(image=image))
    want = np.zeros((HEIGHT, WIDTH), np.uint16)
    want[2:6, 3:8] = 1
    want[10:20, 20:30] = 2
    np.testing.assert_array_equal(result.clusters, want)
    assert result.clusters.dtype == np.uint16
    assert result.num_clusters == 2


@pytest.mark.parametrize(
    "scale", [(1, 1), (3, 4), (1, 2), (2.5, 1.25), (1, 0.5), (0.6, 3), (0.3, 0.4)]
)
def test_objects_are_those_of_the_enlarged_map(scale):
    """Grouped at either resolution, the pixels of each object are the same."""
    noise = cv2.GaussianBlur(RNG.random((HEIGHT, WIDTH)), (0, 0), 1.0)
    open_set = np.where(noise > np.median(noise), 255, 1).astype(np.uint8)
    arrays = {**answer(), "open_set": open_set[None]}
    size = [round(side * factor) for side, factor in zip(open_set.shape, scale, strict=True)]
    result = Pipeline(SpyEngine(arrays)).process(Frame(image=picture(*size)))
    assert result.clusters.shape == result.open_set.shape
    assert result.clusters.dtype == np.uint16
    want = connected_components(result.open_set)
    assert want.max() >= 2
    np.testing.assert_array_equal(result.clusters > 0, want > 0)
    pairs = {*zip(result.clusters.ravel().tolist(), want.ravel().tolist(), strict=True)}
    assert len(pairs) == want.max() + 1


def test_the_smallest_object_is_a_share_of_the_image_whatever_its_size():
    engine = SpyEngine()
    engine.manifest = replace(engine.manifest, height=100, width=100)
    for side, wanted in ((1, 0), (2, 1)):
        open_set = np.zeros((1, 100, 100), np.uint8)
        open_set[0, 40 : 40 + side, 40:42] = 255
        maps = {"known": open_set, "anomaly": np.zeros((1, 100, 100), np.float32)}
        engine.answer = {**maps, "open_set": open_set}
        for factor in (1, 3):
            frame = Frame(image=picture(100 * factor, 100 * factor))
            assert Pipeline(engine).process(frame).num_clusters == wanted


def test_timings_are_milliseconds_between_laps():
    ticks = count(10.0, 0.25)
    clock = _Stopwatch(lambda: next(ticks))
    clock.lap("inference")
    clock.lap("grouping")
    assert clock.laps == {"inference": 250.0, "grouping": 250.0}
    result = Pipeline(SpyEngine()).process(Frame(image=picture()))
    assert list(result.timings_ms) == ["inference", "grouping"]
    assert all(value >= 0 for value in result.timings_ms.values())


def test_warm_up_runs_one_black_picture():
    engine = SpyEngine()
    Pipeline(engine).warm_up()
    assert len(engine.calls) == 1
    assert engine.calls[0][0].shape == (1, HEIGHT, WIDTH, 3)
    assert not engine.calls[0][0].any()


def test_classes_are_those_of_the_model():
    engine = SpyEngine()
    assert [c.name for c in Pipeline(engine).classes] == ["a", "b", "c"]
    assert Pipeline(engine).process(Frame(image=picture())).classes == engine.manifest.classes


@pytest.mark.parametrize(("score", "name"), [("uint8", "anomaly_u8"), ("float16", "anomaly_f16")])
def test_scores_of_fewer_bytes_change_nothing_but_their_rounding(score, name):
    image = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    engine = SpyEngine()
    found = Pipeline(engine, score=score).process(Frame(image=image))
    assert engine.calls[0][3] == ("known", name, "open_set")
    plain = Pipeline(SpyEngine()).process(Frame(image=image))
    assert found.anomaly.dtype == np.float32
    assert np.abs(found.anomaly - plain.anomaly).max() <= 0.5 / 255 + 1e-6
    np.testing.assert_array_equal(found.open_set, plain.open_set)
    np.testing.assert_array_equal(found.known, plain.known)
    np.testing.assert_array_equal(found.clusters, plain.clusters)


def test_an_unknown_type_of_scores():
    with pytest.raises(UsageError, match="no type of scores 'int4'; there are float32, float16, u"):
        Pipeline(SpyEngine(), score="int4")
