"""Swapping novel classes in a running pipeline: nothing changes but the pixels they claim."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.bundle import load_bundle, shipped_model
from owseg.engines import FakeEngine, OnnxRuntimeEngine, fake_manifest
from owseg.errors import PrototypeError
from owseg.pipeline import Pipeline
from owseg.prototypes import NovelClass, PrototypeSet
from owseg.prototypes.learn import embed
from owseg.types import Frame

MAPS = ("known", "anomaly", "open_set", "clusters")
EMPTY = PrototypeSet()


def item(number, vectors, radius=0.05, name=None):
    return NovelClass(
        id=number,
        name=name or f"n{number}",
        color=(number, 0, 0),
        radius=radius,
        vectors=np.asarray(vectors, np.float32).reshape(len(vectors), -1),
    )


def set_of(engine, *items, version=1):
    return PrototypeSet(space=engine.space, version=version, classes=items)


@pytest.fixture(scope="module", params=["fake", "bundle"])
def engine(request):
    """Give the fake engine (embedding: red, green, 0) or the tiny bundle (red, green, blue)."""
    if request.param == "fake":
        yield FakeEngine(fake_manifest(24, 32, ("road", "tree", "sky"), slots=4))
        return
    bundle = load_bundle(request.getfixturevalue("tiny_bundle"))
    with OnnxRuntimeEngine(bundle, "cpu", threads=1) as engine:
        yield engine


def picture(seed, blue=None):
    """Blocks of 4x4 pixels in a few colours, so that claims hold whole cells."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (8, 3), dtype=np.uint8)
    if blue is not None:
        colors[:, 2] = blue
    blocks = rng.integers(0, len(colors), (6, 8))
    return colors, np.kron(colors[blocks], np.ones((4, 4, 1), np.uint8))


def embedding_of(engine, color):
    scaled = np.float32(color) / np.float32(255)
    return scaled * (1, 1, engine.name != "fake")


def same(first, second, where=...):
    """Compare results; where pixels leave, objects are numbered anew."""
    for name in MAPS if where is ... else MAPS[:3]:
        np.testing.assert_array_equal(getattr(first, name)[where], getattr(second, name)[where])


# Only claimed pixels change --------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), which=st.integers(0, 7), radius=st.floats(1e-4, 0.5))
@settings(max_examples=25, deadline=None)
def test_outside_of_the_claims_nothing_changes(engine, seed, which, radius):
    colors, image = picture(seed)
    frame = Frame(image=image)
    pipeline = Pipeline(engine)
    before = pipeline.process(frame)
    vector = embedding_of(engine, colors[which])
    pipeline.set_prototypes(set_of(engine, item(9, [vector], radius)))
    during = pipeline.process(frame)
    claimed = during.known == 9
    assert claimed[(image == colors[which]).all(axis=-1)].all()
    same(before, during, ~claimed)
    np.testing.assert_array_equal(during.anomaly, before.anomaly)
    assert (during.open_set[claimed] == 9).all()
    gap = np.square(image / np.float32(255) * (1, 1, engine.name != "fake") - vector).sum(axis=-1)
    clear = np.abs(gap - radius) > 1e-5
    np.testing.assert_array_equal(claimed[clear], gap[clear] < radius)
    pipeline.set_prototypes(EMPTY)
    same(before, pipeline.process(frame))


def test_removing_one_of_two_classes_restores_its_pixels(engine):
    colors, image = picture(3)
    frame, pipeline = Frame(image=image), Pipeline(engine)
    first, second = (item(5 + i, [embedding_of(engine, colors[i])], 1e-3) for i in range(2))
    pipeline.set_prototypes(set_of(engine, first))
    alone = pipeline.process(frame)
    pipeline.set_prototypes(set_of(engine, first, second))
    both = pipeline.process(frame)
    assert (both.known == 6).any()
    same(alone, both, both.known != 6)
    pipeline.set_prototypes(set_of(engine, first))
    same(alone, pipeline.process(frame))


def test_prototypes_of_one_class_share_its_id(engine):
    colors, image = picture(11)
    vectors = [embedding_of(engine, colors[i]) for i in range(3)]
    pipeline = Pipeline(engine)
    pipeline.set_prototypes(
        set_of(engine, item(7, vectors[:2], 1e-4), item(200, vectors[2:], 1e-4))
    )
    result = pipeline.process(Frame(image=image))
    for index, number in ((0, 7), (1, 7), (2, 200)):
        cells = (image == colors[index]).all(axis=-1)
        assert cells.any()
        assert (result.known[cells] == number).all()
        assert (result.open_set[cells] == number).all()
    assert set(np.unique(result.known)) <= {0, 1, 2, 7, 200}


def test_claimed_pixels_are_no_longer_unknown(engine):
    colors, image = picture(4, blue=255)
    frame, pipeline = Frame(image=image), Pipeline(engine)
    assert (pipeline.process(frame).open_set == 255).all()
    pipeline.set_prototypes(set_of(engine, item(4, [embedding_of(engine, colors[0])], 1e-3)))
    result = pipeline.process(frame)
    cells = (image == colors[0]).all(axis=-1)
    np.testing.assert_array_equal(result.open_set == 255, ~cells)
    assert not result.clusters[cells].any()


def test_ids_are_named_before_the_image_is_enlarged(engine):
    colors, image = picture(6)
    pipeline = Pipeline(engine)
    pipeline.set_prototypes(set_of(engine, item(9, [embedding_of(engine, colors[0])], 1e-3)))
    large = image.repeat(3, 0).repeat(3, 1)
    result = pipeline.process(Frame(image=large))
    np.testing.assert_array_equal(result.known == 9, (large == colors[0]).all(axis=-1))


@pytest.fixture(scope="module")
def real():
    """Give a pipeline with the graph that is shipped, a frame, its result, and its embedding.

    The frame shows noise and flat areas.
    """
    rng = np.random.default_rng(1)
    bundle = load_bundle(shipped_model())
    m = bundle.manifest
    image = np.full((m.height, m.width, 3), 90, np.uint8)
    image[60:200, 100:300] = rng.integers(0, 256, (140, 200, 3))
    image[240:] = (60, 60, 70)
    frame = Frame(image=image)
    with OnnxRuntimeEngine(bundle, "cpu", threads=1) as engine:
        pipeline = Pipeline(engine)
        yield pipeline, frame, pipeline.process(frame), embed(engine, image)


def test_a_real_network(real):
    """Claims within the radius, and nothing else."""
    pipeline, frame, before, _ = real
    m = pipeline.manifest
    vector = np.full((1, m.embedding_size), m.prototypes.mean(), np.float32)
    pipeline.set_prototypes(set_of(pipeline.engine, item(77, vector, 1.5)))
    during = pipeline.process(frame)
    claimed = during.known == 77
    assert 0.01 < claimed.mean() < 0.99
    same(before, during, ~claimed)
    np.testing.assert_array_equal(before.anomaly, during.anomaly)
    pipeline.set_prototypes(EMPTY)
    same(before, pipeline.process(frame))


LARGEST = float(np.finfo(np.float32).max)
RADII = (1e-3, 1.0, 2e9, LARGEST)
SPITEFUL = {
    "twins of the known": (lambda known, seen: [[row] for row in known], RADII),
    "three of one kind": (lambda known, seen: [[seen[7]], [seen[7]], [seen[7], seen[7]]], RADII),
    "between two known": (lambda known, seen: [[(known[0] + known[1]) / 2]], (LARGEST,)),
    "far away": (lambda known, seen: [[seen[7] * 0 + 1e10], [seen[7] * 0 - 1e15]], RADII),
    "at the end of float32": (
        lambda known, seen: [[seen[7] * 0 + 1e18], [known[0] * -1e18]],
        RADII,
    ),
    "everywhere": (lambda known, seen: [[row] for row in seen[::350]], (LARGEST,)),
}


@pytest.mark.parametrize("kind", SPITEFUL)
def test_a_real_network_and_spiteful_prototypes(real, kind):
    """None of them changes a pixel that it does not claim, nor leaves a trace behind."""
    pipeline, frame, before, embedding = real
    choose, radii = SPITEFUL[kind]
    seen = embedding.reshape(len(embedding), -1).T
    for radius in radii:
        vectors = choose(pipeline.manifest.prototypes, seen)
        items = [item(100 + i, rows, radius) for i, rows in enumerate(vectors)]
        pipeline.set_prototypes(set_of(pipeline.engine, *items))
        during = pipeline.process(frame)
        claimed = during.known >= 100
        same(before, during, ~claimed)
        np.testing.assert_array_equal(before.anomaly, during.anomaly)
        np.testing.assert_array_equal(during.open_set[claimed], during.known[claimed])
        if kind in ("far away", "at the end of float32"):
            assert not claimed.any()
        if kind == "three of one kind":
            assert set(np.unique(during.known[claimed])) == {100}
        if kind == "everywhere":
            assert claimed.mean() > 0.5
        pipeline.set_prototypes(EMPTY)
        same(before, pipeline.process(frame))


# The swap --------------------------------------------------------------------------------------


def test_the_very_next_frame_has_the_new_class(engine):
    colors, image = picture(12)
    frame, pipeline = Frame(image=image), Pipeline(engine)
    vector = embedding_of(engine, colors[0])
    for number in (3, 40, 254):
        pipeline.set_prototypes(set_of(engine, item(number, [vector], 1e-3)))
        result = pipeline.process(frame)
        assert (result.known == number).any()
        assert result.classes[-1].id == number
        pipeline.set_prototypes(EMPTY)
        assert not (pipeline.process(frame).known == number).any()


def test_a_result_says_what_its_ids_mean(engine):
    pipeline = Pipeline(engine)
    frame = Frame(image=picture(1)[1])
    plain = pipeline.process(frame)
    assert plain.classes == pipeline.classes == engine.manifest.classes
    assert pipeline.prototypes == EMPTY
    chosen = set_of(engine, item(8, np.eye(3)[:1], name="sofa"), version=5)
    pipeline.set_prototypes(chosen)
    assert pipeline.prototypes is chosen
    result = pipeline.process(frame)
    assert [c.name for c in result.classes] == ["road", "tree", "sky", "sofa"]
    assert [c.id for c in pipeline.classes] == [0, 1, 2, 8]
    assert plain.classes == engine.manifest.classes


def test_a_swap_while_a_frame_is_under_way_waits_for_the_next(engine):
    colors, image = picture(12)
    pipeline = Pipeline(engine)
    chosen = set_of(engine, item(9, [embedding_of(engine, colors[0])], 1e-3))

    class Swapping:
        def __getattr__(self, name):
            return getattr(engine, name)

        def infer(self, *args):
            pipeline.set_prototypes(chosen)
            return engine.infer(*args)

    pipeline.engine = Swapping()
    result = pipeline.process(Frame(image=image))
    assert not (result.known == 9).any()
    assert result.classes == engine.manifest.classes
    assert (pipeline.process(Frame(image=image)).known == 9).any()


def test_threads_never_mix_two_sets(engine):
    colors, image = picture(12)
    frame, pipeline = Frame(image=image), Pipeline(engine)
    vectors = [embedding_of(engine, color) for color in colors[:2]]
    sets = [
        set_of(engine, item(10, vectors[:1], 1e-3), version=1),
        set_of(engine, item(20, vectors[1:], 1e-3), item(30, vectors[:1], 1e-3), version=2),
        EMPTY,
    ]
    expected = {}
    for chosen in sets:
        pipeline.set_prototypes(chosen)
        result = pipeline.process(frame)
        expected[result.classes] = result
    assert len(expected) == 3
    stop, swaps = threading.Event(), []

    def swap():
        while not stop.is_set():
            pipeline.set_prototypes(sets[len(swaps) % 3])
            swaps.append(1)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=swap)
    thread.start()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(60):
            result = pipeline.process(frame)
            same(result, expected[result.classes])
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    assert swaps


def test_without_novel_classes_no_table_is_applied(engine, monkeypatch):
    calls = []
    monkeypatch.setattr(cv2, "LUT", lambda *args: calls.append(args) or args[0])
    pipeline = Pipeline(engine)
    frame = Frame(image=picture(1)[1])
    pipeline.process(frame)
    assert not calls
    pipeline.set_prototypes(set_of(engine, item(9, np.eye(3)[:1])))
    pipeline.process(frame)
    assert len(calls) == 2
    pipeline.set_prototypes(PrototypeSet(space=engine.space, version=2))
    pipeline.process(frame)
    assert len(calls) == 2


def test_engines_say_to_which_space_prototypes_belong(engine, request):
    if engine.name == "fake":
        assert engine.space == FakeEngine().space
    else:
        assert engine.space == load_bundle(request.getfixturevalue("tiny_bundle")).space
    assert len(bytes.fromhex(engine.space)) == 32


# What does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"space": "ab" * 32}, "belong to model abababababab, not to"),
        ({"space": ""}, r"belong to model \(unknown\), not to"),
        ({"classes": (item(9, np.zeros((5, 3))),)}, "5 prototypes do not fit the 4 slots"),
        ({"classes": (item(9, np.zeros((1, 4))),)}, "prototypes of length 4"),
        ({"classes": (item(2, np.zeros((1, 3))),)}, "has the id 2"),
        ({"classes": (item(255, np.zeros((1, 3))),)}, "has the id 255"),
        ({"classes": (item(9, [[0, np.nan, 0]]),)}, "cannot be used: prototype vectors hold NaN"),
        ({"classes": (item(9, [[0, 1, 0]], np.inf),)}, "cannot be used: prototype radius hold"),
    ],
)
def test_a_set_that_does_not_fit_leaves_the_old_one(engine, change, says):
    colors, image = picture(12)
    frame, pipeline = Frame(image=image), Pipeline(engine)
    good = set_of(engine, item(9, [embedding_of(engine, colors[0])], 1e-3))
    pipeline.set_prototypes(good)
    before = pipeline.process(frame)
    with pytest.raises(PrototypeError, match=says) as error:
        pipeline.set_prototypes(replace(good, **change))
    assert "\n" not in str(error.value)
    assert pipeline.prototypes is good
    same(before, pipeline.process(frame))


def test_an_empty_set_of_another_network_is_fine(engine):
    pipeline = Pipeline(engine)
    pipeline.set_prototypes(PrototypeSet(space="ab" * 32, version=7))
    assert pipeline.prototypes.version == 7
    assert pipeline.classes == engine.manifest.classes
