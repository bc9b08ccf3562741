"""Learning a class: from pictures to prototypes that claim the right pixels."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from owseg.bundle import load_bundle
from owseg.engines import FakeEngine, OnnxRuntimeEngine, PrototypeSlots, fake_manifest
from owseg.errors import EngineError, PrototypeError, ShotError, UsageError
from owseg.pipeline import Pipeline
from owseg.prototypes import NovelClass, PrototypeSet
from owseg.prototypes.examples import CLASS, IGNORE, OTHER, Example
from owseg.prototypes.learn import LearnOptions, embed, learn_class
from owseg.types import Frame

HEIGHT, WIDTH = 48, 64
RNG = np.random.default_rng(8)


class SpyEngine(FakeEngine):
    """Notes what it is asked; may return broken embeddings. Red and green are the embedding."""

    def __init__(self, *, slots=4, broken=False, classes=("a", "b", "c")):
        manifest = fake_manifest(HEIGHT, WIDTH, classes, slots)
        super().__init__(manifest)
        self.broken, self.calls = broken, []

    def infer(self, images, prototypes, threshold, outputs=()):
        self.calls.append((images, prototypes, tuple(outputs)))
        arrays = super().infer(images, prototypes, threshold, outputs)
        if self.broken:
            arrays["embedding"][0, 1, 3, 3] = np.nan
        return arrays


class MetricEngine(SpyEngine):
    """A fake engine with prototypes of known classes at the corners of red and green."""

    def __init__(self, prototypes, **more):
        super().__init__(classes=[f"k{i}" for i in range(len(prototypes))], **more)
        rows = np.zeros((len(prototypes), self.manifest.embedding_size), np.float32)
        rows[:, :2] = prototypes
        self.manifest = replace(self.manifest, prototypes=rows)


class HeadEngine(SpyEngine):
    """A fake engine whose last class has a head: it claims what is blue, and nothing else."""

    def __init__(self, **more):
        super().__init__(classes=("a", "b", "c", "truck"), **more)
        rows = np.array([[0, 0, 0, 9], [0, 0, 9, 0], [9, 9, 0, 0]], np.float32)
        self.manifest = replace(self.manifest, prototypes=rows, heads=1)

    def infer(self, images, prototypes, threshold, outputs=()):
        arrays = super().infer(images, prototypes, threshold, outputs)
        for name in {"known", "open_set"} & set(arrays):
            base = np.where(arrays[name] == 3, 2, arrays[name])
            arrays[name] = np.where(images[..., 2] > 127, 3, base).astype(np.uint8)
        return arrays


def example(objects, ground=(0, 0), *, size=(HEIGHT, WIDTH), noise=0, source="shot"):
    """Make an image with coloured boxes of the class: ((top, left, height, width), (r, g))."""
    image = np.zeros((*size, 3), np.int16)
    image[..., :2] = ground
    mask = np.full(size, OTHER, np.uint8)
    for (top, left, height, width), color in objects:
        box = slice(top, top + height), slice(left, left + width)
        image[box][..., :2] = color
        mask[box] = CLASS
    image += RNG.integers(-noise, noise + 1, image.shape, dtype=np.int16)
    return Example(image=np.clip(image, 0, 255).astype(np.uint8), mask=mask, source=source)


def novel(learned, number=3, name="new"):
    return NovelClass(
        id=number, name=name, color=(1, 2, 3), radius=learned.radius, vectors=learned.vectors
    )


def at(*color):
    """Embedding of a colour in the fake engine with three classes."""
    return [color[0] / 255, color[1] / 255, 0]


BOX = (8, 8, 16, 24)


# What is learnt --------------------------------------------------------------------------------


def test_the_prototype_is_the_mean_under_the_mask():
    shots = [example([(BOX, (200, 40))]), example([((8, 8, 16, 48), (230, 40))])]
    learned = learn_class(SpyEngine(), shots)
    np.testing.assert_allclose(learned.vectors, [at(220, 40)], atol=1e-6)
    by_image = learn_class(SpyEngine(), shots, LearnOptions(pooling="image"))
    np.testing.assert_allclose(by_image.vectors, [at(215, 40)], atol=1e-6)


def test_only_the_embedding_is_asked_for_one_image_at_a_time():
    engine = SpyEngine()
    learn_class(engine, [example([(BOX, (200, 40))], noise=3) for _ in range(3)])
    assert [outputs for *_, outputs in engine.calls] == [("embedding",)] * 3
    assert all(images.shape == (1, HEIGHT, WIDTH, 3) for images, *_ in engine.calls)
    assert not any(slots.valid.any() for _, slots, _ in engine.calls)


def test_images_are_resized_as_in_the_pipeline():
    engine = SpyEngine()
    large = example([((40, 40, 60, 90), (200, 40))], size=(3 * HEIGHT, 3 * WIDTH), noise=9)
    learn_class(engine, [large])
    Pipeline(engine).process(Frame(image=large.image))
    np.testing.assert_array_equal(engine.calls[0][0], engine.calls[1][0])
    assert embed(engine, large.image).shape == (3, HEIGHT // 4, WIDTH // 4)


def test_learnt_pixels_are_claimed_and_no_others():
    engine = SpyEngine()
    shots = [example([(BOX, (200, 40))], (40, 90), noise=12) for _ in range(3)]
    learned = learn_class(engine, shots)
    assert learned.rating.found == 1
    assert learned.rating.taken == 0
    assert (learned.held_out, learned.warnings) == ("shots", ())
    pipeline = Pipeline(engine)
    pipeline.set_prototypes(PrototypeSet(space=engine.space, version=1, classes=(novel(learned),)))
    fresh = example([((24, 32, 16, 16), (200, 40))], (40, 90), noise=12)
    known = pipeline.process(Frame(image=fresh.image)).known
    np.testing.assert_array_equal(known == 3, fresh.mask == CLASS)


def test_a_single_shot_will_do():
    learned = learn_class(SpyEngine(), [example([(BOX, (200, 40))], (40, 90), noise=12)])
    assert learned.held_out == "halves"
    assert (learned.rating.found, learned.rating.taken) == (1, 0)
    assert len(learned.shots) == 1


def test_shots_are_remembered():
    shots = [example([(BOX, (200, 40))], noise=5, source=f"{i}.png") for i in range(2)]
    learned = learn_class(SpyEngine(), shots)
    for shot, one in zip(learned.shots, shots, strict=True):
        assert shot.image_sha256 == hashlib.sha256(one.image.tobytes()).hexdigest()
        assert (shot.pixels, shot.source) == (16 * 24, one.source)


def test_masks_of_one_image_count_as_one_shot():
    """Else each object would be a counter-example to the other."""
    both = example([((4, 4, 16, 16), (200, 40)), ((28, 36, 16, 16), (200, 40))], noise=3)
    parts = []
    for rows in (slice(0, 24), slice(24, 48)):
        mask = np.full(both.mask.shape, OTHER, np.uint8)
        mask[rows] = both.mask[rows]
        parts.append(Example(image=both.image, mask=mask, source=f"rows {rows.start}"))
    learned = learn_class(SpyEngine(), parts)
    assert [(s.pixels, s.source) for s in learned.shots] == [(512, "rows 0, rows 24")]
    whole = learn_class(SpyEngine(), [both])
    np.testing.assert_array_equal(learned.vectors, whole.vectors)
    assert learned.radius == whole.radius


def test_ignored_pixels_say_nothing():
    shots = []
    for _ in range(2):
        one = example([(BOX, (200, 40))], (40, 90), noise=4)
        one.image[32:, 32:, :2] = (200, 40)
        one.mask[32:, 32:] = IGNORE
        shots.append(one)
    learned = learn_class(SpyEngine(), shots)
    assert (learned.rating.found, learned.rating.taken) == (1, 0)
    for one in shots:
        one.mask[32:, 32:] = OTHER
    assert learn_class(SpyEngine(), shots).rating.taken > 0.05


def test_more_instances_outside_of_the_masks():
    shots = []
    for _ in range(2):
        one = example([(BOX, (200, 40))], (40, 90), noise=8)
        one.image[:, 40:, :2] = (200, 40)
        shots.append(one)
    learned = learn_class(SpyEngine(), shots, LearnOptions(more_instances=True))
    assert (learned.rating.taken, learned.rating.iou, learned.claims) == (None, None, {})
    assert learned.rating.found >= 0.7


# Number of prototypes --------------------------------------------------------------------------


TWO_TONED = [(BOX, (250, 10)), ((28, 8, 16, 24), (10, 250))]


def test_two_prototypes_where_one_would_take_the_middle():
    shots = [example(TWO_TONED, (130, 130), noise=10) for _ in range(4)]
    learned = learn_class(SpyEngine(), shots)
    assert len(learned.vectors) == 2
    np.testing.assert_allclose(
        sorted(learned.vectors.tolist()), [at(10, 250), at(250, 10)], atol=0.03
    )
    assert learned.rating.iou == 1
    one = learn_class(SpyEngine(), shots, LearnOptions(prototypes=1))
    assert len(one.vectors) == 1
    assert one.rating.iou < 0.2


def test_one_prototype_where_more_gain_nothing():
    shots = [example([(BOX, (200, 40))], (40, 90), noise=12) for _ in range(4)]
    assert len(learn_class(SpyEngine(), shots).vectors) == 1


@pytest.mark.parametrize(
    ("scores", "count"),
    [
        ((0.5, 0.54, 0.3, 0.54), 1),
        ((0.5, 0.56, 0.3, 0.3), 2),
        ((0.5, 0.56, 0.3, 0.6), 2),
        ((0.5, 0.5, 0.5, 0.6), 4),
        ((0.0, 0.0, 0.0, 0.0), 1),
    ],
)
def test_more_prototypes_must_be_worth_a_tenth(monkeypatch, scores, count):
    given = iter(scores)
    monkeypatch.setattr("owseg.prototypes.learn._score", lambda *_: next(given))
    shots = [example([(BOX, (200, 40))], (40, 90), noise=12) for _ in range(2)]
    assert len(learn_class(SpyEngine(), shots).vectors) == count


def test_no_more_prototypes_than_slots_are_free():
    shots = [example(TWO_TONED, (130, 130), noise=10) for _ in range(4)]
    assert len(learn_class(SpyEngine(slots=1), shots).vectors) == 1
    learned = learn_class(SpyEngine(), shots, LearnOptions(prototypes=3))
    assert len(learned.vectors) == 3


def test_a_number_of_prototypes_holds_for_a_single_shot():
    learned = learn_class(SpyEngine(), [example(TWO_TONED, noise=4)], LearnOptions(prototypes=2))
    assert len(learned.vectors) == 2


# Options ---------------------------------------------------------------------------------------


def test_a_radius_by_hand():
    shots = [example([(BOX, (200, 40))], (40, 90), noise=12) for _ in range(2)]
    learned = learn_class(SpyEngine(), shots, LearnOptions(radius=0.25))
    assert learned.radius == learned.rating.radius == 0.25


def test_a_smaller_share_claims_less():
    shots = [example([(BOX, (150, 80))], (100, 80), noise=60) for _ in range(3)]
    radii = [
        learn_class(SpyEngine(), shots, LearnOptions(share=share, prototypes=1)).radius
        for share in (0.5, 0.001)
    ]
    assert radii[0] > radii[1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pooling": "median"}, "no pooling 'median'; there are pixel, image"),
        ({"prototypes": 0}, "at least one prototype, got 0"),
        ({"radius": 0.0}, "radius must be a float32 number above 0"),
        ({"radius": float("nan")}, "radius must be a float32 number above 0"),
        ({"radius": float("inf")}, "radius must be a float32 number above 0"),
        ({"radius": 1e39}, "radius must be a float32 number above 0"),
        ({"share": 0.0}, "between 0 and 1"),
        ({"share": 1.0}, "between 0 and 1"),
    ],
)
def test_options_that_make_no_sense(options, says):
    with pytest.raises(UsageError, match=says):
        LearnOptions(**options)


# Collisions ------------------------------------------------------------------------------------


def test_a_class_that_takes_a_known_one_is_reported():
    engine = SpyEngine()
    shots = []
    for _ in range(3):
        one = example([(BOX, (200, 40))], (40, 90), noise=6)
        one.image[:, 40:, :2] = np.where(np.arange(24)[:, None] % 12 < 8, (200, 40), (100, 40))
        shots.append(one)
    learned = learn_class(engine, shots, LearnOptions(radius=0.01))
    # Without prototypes of known classes the largest channel decides: red is a, green is b.
    # Two columns of three in the red part look like the new class.
    assert learned.claims.keys() == {"a", "b"}
    assert learned.claims["a"] == pytest.approx(2 / 3, abs=0.01)
    assert learned.claims["b"] == 0
    text = learned.warnings[1]
    assert "the class takes 67% of a (as the model calls it) in its own shots" in text
    assert "\n" not in text


def test_a_prototype_next_to_a_known_one_is_reported():
    engine = MetricEngine([(0, 0), (1, 0), (0, 1)])
    shots = [example([(BOX, (230, 20))], (20, 20), noise=4) for _ in range(3)]
    (text,) = learn_class(engine, shots, LearnOptions(radius=0.5)).warnings
    assert text.startswith("the class lies close to k1: its radius 0.5 reaches past the middle")
    assert not learn_class(engine, shots, LearnOptions(radius=1e-3)).warnings


def test_a_class_that_the_model_knows_is_not_found():
    engine = MetricEngine([(0, 0), (1, 0)])
    # Five sixths of the masks are k1, the rest draws the mean away from them.
    boxes = [((0, 0, 20, 32), (255, 0)), ((20, 0, 4, 32), (255, 255))]
    shots = [example(boxes, ground) for ground in ((0, 0), (1, 1))]
    learned = learn_class(engine, shots, LearnOptions(prototypes=1))
    assert learned.rating.found < 0.2
    assert "to the model 83% of the masks is k1, a class that it knows" in learned.warnings[0]


def test_a_class_that_is_like_its_surroundings_is_not_found():
    shots = [example([(BOX, (100, 100))], (100, 100), noise=60) for _ in range(3)]
    learned = learn_class(SpyEngine(), shots)
    assert learned.rating.taken <= 0.1
    assert learned.warnings[0].startswith("where it was held out, ")
    assert "the model hardly tells it from the rest" in learned.warnings[0]
    few = learn_class(SpyEngine(), shots, LearnOptions(more_instances=True))
    assert not any("held out" in text for text in few.warnings)


def test_a_class_that_is_found_with_too_much_else_is_reported():
    """Nine tenths of what has its colours is something else."""
    shots = []
    for _ in range(3):
        one = example([(BOX, (200, 40))], (40, 90), noise=8)
        one.image[:, 34:, :2] = (200, 40)
        shots.append(one)
    learned = learn_class(SpyEngine(), shots, LearnOptions(radius=0.05, share=0.5))
    assert (learned.rating.found, learned.rating.iou > 0.5) == (1, True)
    assert "100% of the class was found and" in learned.warnings[0]
    assert len(learned.warnings[0].splitlines()) == 1


def test_beyond_the_radius_of_a_learnt_class_there_is_nothing_to_hide_behind():
    """What lies nearer to it, but farther away than its radius, is claimed in the graph."""
    engine = SpyEngine()
    sofa = NovelClass(
        id=3, name="sofa", color=(0, 0, 0), radius=1e-4, vectors=np.float32([at(150, 40)])
    )
    present = PrototypeSet(space=engine.space, version=1, classes=(sofa,))
    shots = [example([(BOX, (200, 40))], (160, 40)) for _ in range(2)]
    loose = LearnOptions(radius=0.05)
    learned = learn_class(engine, shots, loose, present)
    assert (learned.rating.found, learned.rating.taken) == (1, 1)
    pipeline = Pipeline(engine)
    new = replace(present, classes=(sofa, novel(learned, number=4)))
    pipeline.set_prototypes(new)
    assert (pipeline.process(Frame(image=shots[0].image)).known == 4).all()
    wide = replace(present, classes=(replace(sofa, radius=0.05),))
    assert learn_class(engine, shots, loose, wide).rating.taken == 0


def test_a_radius_that_had_to_be_guessed_is_reported():
    full = example([((0, 0, HEIGHT, WIDTH), (200, 40))], noise=20)
    says = "the masks leave hardly anything of the images that is not the class"
    assert learn_class(SpyEngine(), [full]).warnings[0].startswith(says)
    for options in (LearnOptions(radius=0.1), LearnOptions(more_instances=True)):
        assert not any(says in text for text in learn_class(SpyEngine(), [full], options).warnings)


def test_a_class_next_to_a_learnt_one_is_reported():
    engine = SpyEngine()
    first = learn_class(engine, [example([(BOX, (200, 40))], noise=4) for _ in range(2)])
    present = PrototypeSet(space=engine.space, version=1, classes=(novel(first, name="sofa"),))
    shots = [example([(BOX, (205, 45))], noise=4) for _ in range(2)]
    learned = learn_class(engine, shots, present=present)
    assert any("lies close to sofa" in text for text in learned.warnings)


# Heads of their own ----------------------------------------------------------------------------


def with_truck(one, columns):
    """Make some columns blue, which the head of HeadEngine claims."""
    one.image[:, columns, 2] = 255
    return one


def test_what_a_head_claims_says_nothing_of_a_class():
    """Here it looks like the class, but can neither be found nor be taken."""
    engine = HeadEngine()
    shots = []
    for _ in range(3):
        one = example([(BOX, (200, 40))], (40, 90), noise=6)
        one.image[:, 40:, :2] = (200, 40)  # the truck
        one.image[8:24, 28:32, :2] = (90, 250)  # a sixth of the mask, which the truck keeps
        shots.append(with_truck(with_truck(one, slice(40, 64)), slice(28, 32)))
    learned = learn_class(engine, shots)
    assert [outputs for *_, outputs in engine.calls] == [("embedding", "known")] * 3
    np.testing.assert_allclose(learned.vectors[0, :2], np.array([200, 40]) / 255, atol=0.01)
    assert (learned.rating.found, learned.rating.taken, learned.warnings) == (1, 0, ())
    assert set(learned.claims.values()) == {0}
    pipeline = Pipeline(engine)
    new = PrototypeSet(space=engine.space, version=1, classes=(novel(learned, number=4),))
    pipeline.set_prototypes(new)
    known = pipeline.process(Frame(image=shots[0].image)).known
    left = (shots[0].mask == CLASS) & (shots[0].image[..., 2] < 128)
    np.testing.assert_array_equal(known[:, :28] == 4, left[:, :28])


def test_a_head_that_keeps_much_of_the_masks_is_reported():
    shots = [
        with_truck(example([(BOX, (200, 40))], (40, 90), noise=6), slice(8, stop))
        for stop in (20, 14)
    ]
    learned = learn_class(HeadEngine(), shots)
    assert learned.warnings == (
        "to the model 38% of the masks is truck, a class that keeps its pixels",
    )
    few = [with_truck(example([(BOX, (200, 40))], (40, 90), noise=6), slice(8, 12))]
    assert not learn_class(HeadEngine(), few).warnings


def test_a_head_that_keeps_all_of_a_mask():
    shots = [
        example([(BOX, (200, 40))], (40, 90)),
        with_truck(example([(BOX, (200, 40))], source="b.png"), slice(0, 40)),
    ]
    with pytest.raises(ShotError, match=r"b\.png: to the model all of the mask is truck, a class"):
        learn_class(HeadEngine(), shots)


def test_what_heads_claim_is_looked_up_at_the_size_of_the_mask():
    size = (2 * HEIGHT, 3 * WIDTH)
    one = with_truck(example([((16, 24, 32, 72), (200, 40))], (40, 90), size=size), slice(24, 60))
    learned = learn_class(HeadEngine(), [one])
    assert "50% of the masks is truck" in learned.warnings[0]


# What cannot be learnt -------------------------------------------------------------------------


def test_no_shot():
    with pytest.raises(ShotError, match="there is no shot to learn from"):
        learn_class(SpyEngine(), [])


def test_a_model_that_gives_nan():
    with pytest.raises(EngineError, match=r"bad\.png: the embedding holds NaN"):
        learn_class(SpyEngine(broken=True), [example([(BOX, (200, 40))], source="bad.png")])


def test_all_slots_are_in_use():
    engine = SpyEngine(slots=3)
    item = NovelClass(
        id=3, name="x", color=(0, 0, 0), radius=1.0, vectors=np.zeros((2, 3), np.float32)
    )
    present = PrototypeSet(space=engine.space, version=1, classes=(item,))
    shots = [example([(BOX, (200, 40))], noise=3) for _ in range(2)]
    assert len(learn_class(engine, shots, present=present).vectors) == 1
    with pytest.raises(PrototypeError, match="2 more prototypes do not fit: 2 of the 3 slots"):
        learn_class(engine, shots, LearnOptions(prototypes=2), present)
    assert len(engine.calls) == 2


def test_classes_of_another_network():
    item = NovelClass(
        id=3, name="x", color=(0, 0, 0), radius=1.0, vectors=np.zeros((1, 3), np.float32)
    )
    present = PrototypeSet(space="ab" * 32, version=1, classes=(item,))
    with pytest.raises(PrototypeError, match="belong to model abababababab, not to 'fake'"):
        learn_class(SpyEngine(), [example([(BOX, (200, 40))])], present=present)


# With a real graph -----------------------------------------------------------------------------


def test_learning_with_a_bundle(tiny_bundle, scene_of):
    with OnnxRuntimeEngine(load_bundle(tiny_bundle), "cpu", threads=1) as engine:
        shots = []
        for index in (0, 2):
            image, truth = scene_of(index)
            shots.append(Example(image=image, mask=(truth == 7).astype(np.uint8)))
        learned = learn_class(engine, shots)
        assert learned.vectors.shape == (1, 3)
        # the thing is pure blue; border cells of 4x4 pixels are partly road
        assert learned.vectors[0, 2] > 0.6
        pipeline = Pipeline(engine)
        item = novel(learned, name="thing")
        pipeline.set_prototypes(PrototypeSet(space=engine.space, version=1, classes=(item,)))
        image, truth = scene_of(5)
        known = pipeline.process(Frame(image=image)).known
        np.testing.assert_array_equal(known == 3, truth == 7)
        assert PrototypeSlots.empty(engine.manifest).valid.sum() == 0
