"""The fused heads against the slow reference, and what they promise."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from owseg.engines import PrototypeSlots
from owseg.engines.heads import FusedHeads, HeadSpec, fused, kernel

MAPS = ("known", "anomaly", "open_set")
METRIC = ("eds", "msp", "mmsp", "entropy", "energy", "max_logit", "mixture")
LOGITS = ("msp", "entropy", "energy", "max_logit")


def spec_of(method, form="constant", classes=5, size=None, metric=True, seed=0):
    """Heads with prototypes in general position."""
    rng = np.random.default_rng(seed)
    size = size or classes
    vectors = rng.normal(0, 1, (classes, size)).astype(np.float32)
    return HeadSpec(
        prototypes=vectors if metric else vectors[:0],
        classes=classes,
        method=method,
        form=form,
        low=-60.0 if form == "constant" else 0.0,
        high=-10.0 if form == "constant" else 1.0,
    )


def embedding_of(size, grid, batch=1, seed=1, scale=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, scale, (batch, size, *grid)).astype(np.float32)


def slots_of(size, used, slots=32, seed=2, reach=(2.0, 8.0)):
    """Draw `used` prototypes in random slots."""
    rng = np.random.default_rng(seed)
    found = PrototypeSlots(
        vectors=rng.normal(0, 1, (slots, size)).astype(np.float32),
        radius=rng.uniform(*reach, slots).astype(np.float32),
        valid=np.zeros(slots, np.float32),
    )
    found.valid[rng.permutation(slots)[:used]] = 1
    return found


@pytest.fixture
def check(reference, fitted):
    """Give a function that checks all maps of a batch and returns the reference of each image.

    The scale of the score is fitted to the first image unless `fit` is False. The threshold calls
    2 in 5 pixels unknown.
    """

    def compare(spec, size, embedding, slots, *, tie=0.05, fit=True):
        spec = fitted(spec, size, embedding[0]) if fit and spec.form == "constant" else spec
        heads = FusedHeads(spec, size)
        scores = heads.run(embedding, slots, 0.5, ("anomaly",))["anomaly"]
        threshold = float(np.quantile(scores, 0.6))
        found = heads.run(embedding, slots, threshold, MAPS)
        wanted = [reference(spec, size, f, slots, threshold) for f in embedding]
        for index, want in enumerate(wanted):
            assert want.tie.mean() <= tie
            np.testing.assert_allclose(found["anomaly"][index], want.anomaly, rtol=0, atol=2e-5)
            for name, unsure in (("known", want.tie), ("open_set", want.tie | want.edge)):
                wrong = (found[name][index] != getattr(want, name)) & ~unsure
                assert not wrong.any(), name
        return wanted

    return compare


def check_spread(wanted):
    """See that the maps hold something of everything: clipped scores would test nothing."""
    known = np.stack([want.known for want in wanted])
    anomaly = np.stack([want.anomaly for want in wanted])
    open_set = np.stack([want.open_set for want in wanted])
    assert ((anomaly > 0.001) & (anomaly < 0.999)).mean() > 0.3
    assert anomaly.std() > 0.02
    assert 0.02 < (known >= 5).mean() < 0.9
    assert 0.05 < (open_set == 255).mean() < 0.6


# Against the reference ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["constant", "paper"])
@pytest.mark.parametrize("method", METRIC)
def test_every_score_of_a_metric_head(method, form, check):
    spec = spec_of(method, form)
    wanted = check(spec, (24, 32), embedding_of(5, (6, 8), 2), slots_of(5, 6))
    check_spread(wanted)


@pytest.mark.parametrize("form", ["constant", "paper"])
@pytest.mark.parametrize("method", LOGITS)
def test_every_score_of_plain_logits(method, form, check):
    spec = spec_of(method, form, metric=False)
    slots = slots_of(5, 3, reach=(3.0, 6.0))
    check_spread(check(spec, (24, 32), embedding_of(5, (6, 8), 2), slots))


@pytest.mark.parametrize(
    ("grid", "size"),
    [
        ((6, 8), (24, 32)),
        ((3, 5), (24, 40)),
        ((6, 8), (6, 8)),
        ((6, 8), (23, 31)),
        ((5, 7), (17, 27)),
        ((1, 1), (4, 4)),
        ((1, 9), (3, 36)),
        ((9, 1), (36, 5)),
        ((8, 8), (5, 6)),
    ],
)
def test_every_size(grid, size, check):
    fit = grid != (1, 1)
    check(spec_of("mixture"), size, embedding_of(5, grid), slots_of(5, 4), tie=0.3, fit=fit)


@pytest.mark.parametrize("used", [0, 1, 2, 5, 13, 31, 32])
def test_any_number_of_slots(used, check):
    want = check(spec_of("eds"), (24, 32), embedding_of(5, (6, 8)), slots_of(5, used))
    claimed = set(np.unique(want[0].known[want[0].known >= 5]))
    assert len(claimed) >= min(used, 4)


@pytest.mark.parametrize("slots", [1, 2, 7, 32])
def test_any_number_of_slots_in_the_graph(slots, check):
    found = slots_of(5, slots, slots, reach=(10.0, 15.0))
    want = check(spec_of("eds"), (24, 32), embedding_of(5, (6, 8)), found)
    assert (want[0].known >= 5).any()


@pytest.mark.parametrize(
    ("classes", "size"), [(1, 1), (2, 3), (3, 4), (19, 19), (4, 9), (6, 2), (150, 16)]
)
@pytest.mark.parametrize("method", ["mixture", "energy"])
def test_any_number_of_classes_and_channels(classes, size, method, check):
    spec = spec_of(method, classes=classes, size=size)
    check(spec, (24, 32), embedding_of(size, (6, 8)), slots_of(size, 5), tie=0.2)


def test_scaled_unit_vectors_as_in_training(check):
    spec = HeadSpec(
        prototypes=3 * np.eye(19, dtype=np.float32),
        classes=19,
        method="mixture",
        form="constant",
        low=-420.0,
        high=-200.0,
    )
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 19, (6, 8))
    embedding = 3 * np.eye(19, dtype=np.float32)[labels].transpose(2, 0, 1)[None]
    embedding = (embedding + rng.normal(0, 0.3, embedding.shape)).astype(np.float32)
    want = check(spec, (24, 32), embedding, slots_of(19, 3))
    centres = want[0].known[2::4, 2::4]
    assert (centres == labels).mean() > 0.9


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 30.0, 300.0])
def test_small_and_large_embeddings(scale, check):
    spec, embedding = spec_of("eds"), embedding_of(5, (6, 8), scale=scale)
    check(spec, (24, 32), embedding, slots_of(5, 4), tie=0.2, fit=scale > 1)


# Ties and limits ----------------------------------------------------------------------------------


def run_one(spec, vector, slots, threshold=1.0, outputs=MAPS):
    """Run on an image of one cell."""
    embedding = np.asarray(vector, np.float32).reshape(1, -1, 1, 1)
    found = FusedHeads(spec, (1, 1)).run(embedding, slots, threshold, outputs)
    return {name: array.item() for name, array in found.items()}


def unit_spec(method="eds", classes=3):
    return HeadSpec(
        prototypes=np.eye(classes, dtype=np.float32),
        classes=classes,
        method=method,
        form="constant",
        low=-10.0,
        high=0.0,
    )


def slots_at(*rows, slots=4, size=3):
    """Fill slots from (slot, vector, radius)."""
    found = PrototypeSlots(
        vectors=np.zeros((slots, size), np.float32),
        radius=np.zeros(slots, np.float32),
        valid=np.zeros(slots, np.float32),
    )
    for slot, vector, radius in rows:
        found.vectors[slot], found.radius[slot], found.valid[slot] = vector, radius, 1
    return found


def test_the_first_of_equal_classes_wins():
    assert run_one(unit_spec(), (0, 0, 0), slots_at())["known"] == 0
    assert run_one(unit_spec(), (-1, 2, 2), slots_at())["known"] == 1


def test_the_first_of_equal_slots_wins():
    twins = slots_at((3, (5, 5, 5), 9.0), (1, (5, 5, 5), 9.0))
    assert run_one(unit_spec(), (5, 5, 5), twins)["known"] == 4


def test_a_tie_with_a_known_class_stays_known():
    assert run_one(unit_spec(), (1, 0, 0), slots_at((0, (1, 0, 0), 9.0)))["known"] == 0
    assert run_one(unit_spec(), (1, 0, 2), slots_at((0, (1, 0, 4), 9.0)))["known"] == 2


def test_the_radius_is_a_squared_distance_and_exclusive():
    slots = slots_at((2, (10, 0, 0), 4.0))
    assert [run_one(unit_spec(), (x, 0, 0), slots)["known"] for x in (8, 12)] == [0, 0]
    places = np.array([8, 8.001, 11.999, 12], np.float32)
    row = np.stack([places, 0 * places, 0 * places])[None, :, None]
    found = FusedHeads(unit_spec(), (1, 4)).run(row, slots, 1.0, ("known",))
    assert found["known"].tolist() == [[[0, 5, 5, 0]]]


@pytest.mark.parametrize("radius", [0.0, -1.0])
def test_a_radius_of_nothing_claims_nothing(radius):
    assert run_one(unit_spec(), (9, 9, 9), slots_at((0, (9, 9, 9), radius)))["known"] == 0


def test_a_prototype_that_does_not_reach_does_not_keep_a_farther_one_from_claiming():
    slots = slots_at((0, (6, 0, 0), 0.5), (1, (8, 0, 0), 9.5))
    assert run_one(unit_spec(), (5, 0, 0), slots)["known"] == 4


def test_a_slot_out_of_use_claims_nothing():
    slots = slots_at((0, (9, 9, 9), 100.0))
    assert run_one(unit_spec(), (9, 9, 9), slots)["known"] == 3
    slots.valid[0] = 0.4
    assert run_one(unit_spec(), (9, 9, 9), slots)["known"] == 0


def test_the_threshold_is_exclusive_and_a_claim_is_never_unknown():
    spec, nothing = unit_spec(), slots_at()
    at = run_one(spec, (0, 0, 0), nothing)["anomaly"]
    assert at == pytest.approx(0.7)
    assert run_one(spec, (0, 0, 0), nothing, at)["open_set"] == 0
    assert (
        run_one(spec, (0, 0, 0), nothing, np.nextafter(np.float32(at), np.float32(0)))["open_set"]
        == 255
    )
    claimed = slots_at((2, (0, 0, 0), 0.1))
    assert run_one(spec, (0, 0, 0), claimed, 0.0) == {"known": 5, "anomaly": at, "open_set": 5}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e4, 1e30])
@pytest.mark.parametrize("form", ["constant", "paper"])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_float32_cannot_measure_is_left_to_the_graph(value, form, threads):
    embedding = embedding_of(5, (6, 8), 2)
    heads = FusedHeads(spec_of("energy", form), (24, 32), threads)
    assert heads.run(embedding, slots_of(5, 2), 0.5) is not None
    embedding[1, 3, 5, 7] = value
    assert heads.run(embedding, slots_of(5, 2), 0.5) is None
    assert heads.run(embedding[:1], slots_of(5, 2), 0.5) is not None
    heads.close()


# Promises -----------------------------------------------------------------------------------------


def all_maps(heads, *request):
    return heads.run(*request, MAPS)


@pytest.mark.parametrize("method", ["mixture", "entropy", "max_logit"])
@pytest.mark.parametrize("form", ["constant", "paper"])
def test_the_number_of_threads_changes_no_bit(method, form):
    request = embedding_of(5, (16, 9), 2), slots_of(5, 5), 0.4
    spec, size = spec_of(method, form), (61, 36)
    whole = all_maps(FusedHeads(spec, size), *request)
    for threads in (2, 3, 20):
        heads = FusedHeads(spec, size, threads)
        found = all_maps(heads, *request)
        heads.close()
        for name in MAPS:
            np.testing.assert_array_equal(found[name], whole[name], err_msg=name)


@pytest.mark.parametrize("method", ["mixture", "energy"])
@pytest.mark.parametrize("metric", [True, False])
def test_only_what_is_asked_for_with_the_same_bits(method, metric):
    spec = spec_of("msp" if method == "mixture" and not metric else method, metric=metric)
    heads = FusedHeads(spec, (24, 32))
    request = embedding_of(5, (6, 8)), slots_of(5, 5), 0.4
    whole = all_maps(heads, *request)
    for count in (1, 2):
        for names in itertools.permutations(MAPS, count):
            found = heads.run(*request, names)
            assert tuple(found) == names
            for name in names:
                np.testing.assert_array_equal(found[name], whole[name], err_msg=name)


def test_a_novel_class_changes_no_bit_outside_of_what_it_claims():
    heads = FusedHeads(spec_of("mixture"), (64, 64))
    embedding, before = embedding_of(5, (16, 16)), slots_of(5, 3)
    after = PrototypeSlots(vectors=before.vectors, radius=before.radius, valid=before.valid.copy())
    new = int(np.flatnonzero(before.valid == 0)[0])
    after.valid[new] = 1
    old, changed = all_maps(heads, embedding, before, 0.4), all_maps(heads, embedding, after, 0.4)
    claimed = changed["known"] == 5 + new
    assert 0.001 < claimed.mean() < 0.5
    np.testing.assert_array_equal(old["anomaly"], changed["anomaly"])
    for name in ("known", "open_set"):
        np.testing.assert_array_equal(old[name][~claimed], changed[name][~claimed])
    assert (changed["open_set"][claimed] == 5 + new).all()


def test_images_of_a_batch_do_not_influence_each_other():
    heads = FusedHeads(spec_of("eds", "paper"), (24, 32))
    embedding, slots = embedding_of(5, (6, 8), 3), slots_of(5, 3)
    whole = all_maps(heads, embedding, slots, 0.4)
    for index in range(3):
        alone = all_maps(heads, embedding[index : index + 1], slots, 0.4)
        for name in MAPS:
            np.testing.assert_array_equal(alone[name][0], whole[name][index])


def test_several_callers_at_once_get_what_they_asked_for():
    heads = FusedHeads(spec_of("mixture"), (48, 64), 3)
    requests = [(embedding_of(5, (12, 16), seed=s), slots_of(5, s), 0.4) for s in range(8)]
    alone = [all_maps(heads, *request) for request in requests]
    with ThreadPoolExecutor(8) as callers:
        for _ in range(3):
            together = list(callers.map(lambda request: all_maps(heads, *request), requests))
            for one, other in zip(alone, together, strict=True):
                for name in MAPS:
                    np.testing.assert_array_equal(one[name], other[name])
    heads.close()


def test_the_embedding_is_left_alone_and_may_have_any_layout():
    heads = FusedHeads(spec_of("eds"), (24, 32))
    embedding, slots = embedding_of(5, (6, 8)), slots_of(5, 3)
    want = all_maps(heads, embedding, slots, 0.4)
    copy = embedding.copy()
    strided = np.ascontiguousarray(embedding.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    frozen = embedding.copy()
    frozen.flags.writeable = False
    for form in (strided, frozen, embedding.astype(np.float64)):
        found = all_maps(heads, form, slots, 0.4)
        for name in MAPS:
            np.testing.assert_array_equal(found[name], want[name])
    np.testing.assert_array_equal(embedding, copy)


def test_a_new_array_for_each_call():
    heads = FusedHeads(spec_of("eds"), (24, 32))
    first = all_maps(heads, embedding_of(5, (6, 8)), slots_of(5, 3), 0.4)
    kept = {name: array.copy() for name, array in first.items()}
    all_maps(heads, embedding_of(5, (6, 8), seed=9), slots_of(5, 3), 0.4)
    for name in MAPS:
        np.testing.assert_array_equal(first[name], kept[name])


def test_a_cache_that_fails_is_not_used(monkeypatch):
    found = []

    def run(compute, *modules):
        found.append(modules)
        compute()

    monkeypatch.setattr(fused, "warm_up", run)
    assert fused._compiled.__wrapped__() is kernel.fuse
    assert found == [(kernel,)]
