"""Collisions of a new class with those that are there, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from owseg.engines import fake_manifest
from owseg.prototypes import NovelClass, PrototypeSet
from owseg.prototypes.collisions import (
    claims_on_known,
    known_collision,
    nearness,
    rivals_of,
    surely_known,
)
from owseg.prototypes.pooling import Cells

EMPTY = PrototypeSet()


@pytest.fixture
def manifest():
    """Two known classes on a line, at 0 and 10."""
    plain = fake_manifest(classes=("near", "far"))
    return replace(plain, prototypes=np.array([[0, 0], [10, 0]], np.float32))


def cells_of(values, inside, outside=None, repeat=25):
    values = np.array([[v, 0] for v in values], np.float32).repeat(repeat, 0)
    inside = np.repeat(np.asarray(inside, np.float64), repeat)
    outside = 1 - inside if outside is None else np.repeat(np.asarray(outside, float), repeat)
    places = np.zeros((len(values), 2), int)
    return Cells(vectors=values, inside=inside, outside=outside, places=places)


def novel(number, value, name, radius=1.0):
    vectors = np.array([[value, 0]], np.float32)
    return NovelClass(id=number, name=name, color=(0, 0, 0), radius=radius, vectors=vectors)


def test_rivals_are_all_other_prototypes(manifest):
    present = PrototypeSet(space="x", version=1, classes=(novel(2, 5, "a"), novel(3, 7, "b", 3)))
    vectors, reach = rivals_of(manifest, present)
    np.testing.assert_array_equal(vectors[:, 0], [0, 10, 5, 7])
    np.testing.assert_array_equal(reach, [np.inf, np.inf, 1, 3])
    assert (vectors.dtype, reach.dtype) == (np.float32, np.float32)
    bare = replace(manifest, prototypes=np.zeros((0, 2), np.float32))
    assert [rows.shape for rows in rivals_of(bare, EMPTY)] == [(0, 2), (0,)]


VECTOR = np.array([[4, 0]], np.float32)


def test_claims_count_what_is_nearer_than_known_prototypes_and_the_radius(manifest):
    # 3: in reach; 1.9: nearer to 0; 5: in reach; 6.5: beyond the radius; 8: called far
    shots = [cells_of([3, 1.9, 5], [0, 0, 0]), cells_of([6.5, 8, 4], [0, 0, 1])]
    claims = claims_on_known(shots, VECTOR, 5.0, manifest)
    # called near: 3, 1.9 and (a tie goes to the first) 5; called far: 6.5 and 8; 4 is the class
    assert claims == {"near": pytest.approx(2 / 3), "far": 0}


def test_claims_weigh_cells_by_what_surely_is_not_the_class(manifest):
    shots = [cells_of([3, 1], [0.6, 0], [0.4, 1.0])]
    claims = claims_on_known(shots, VECTOR, 5.0, manifest)
    assert claims == {"near": pytest.approx(0.4 / 1.4)}


def test_classes_that_are_hardly_seen_are_left_out(manifest):
    assert claims_on_known([cells_of([3], [0], repeat=24)], VECTOR, 5.0, manifest) == {}
    assert claims_on_known([cells_of([3], [0], repeat=25)], VECTOR, 5.0, manifest) == {"near": 1}


def test_without_known_prototypes_the_largest_value_decides(manifest):
    bare = replace(manifest, prototypes=np.zeros((0, 2), np.float32))
    shots = [cells_of([3, -1], [0, 0])]
    assert claims_on_known(shots, VECTOR, 1e6, bare) == {"near": 1, "far": 1}


def test_the_worst_three_are_named():
    text = known_collision({"a": 0.2, "b": 0.11, "c": 0.1, "d": 0.5, "e": 0.3})
    assert "takes 50% of d, 30% of e, 20% of a (as the model calls it)" in text
    assert known_collision({"a": 0.1}) == known_collision({}) == ""


def test_a_radius_beyond_the_middle(manifest):
    # the middle between 4 and 0 lies at a distance of 2, squared 4
    assert nearness(VECTOR, 4.0, manifest, EMPTY) == ""
    text = nearness(VECTOR, 4.1, manifest, EMPTY)
    assert text.startswith("the class lies close to near: its radius 4.1 ")
    assert "(squared distance 16)" in text
    present = PrototypeSet(space="x", version=1, classes=(novel(2, 5, "sofa"),))
    assert "close to sofa" in nearness(VECTOR, 0.5, manifest, present)
    bare = replace(manifest, prototypes=np.zeros((0, 2), np.float32))
    assert nearness(VECTOR, 100.0, bare, EMPTY) == ""


def test_the_nearest_of_several_prototypes_decides(manifest):
    two = np.array([[5, 0], [9, 0]], np.float32)
    assert "close to far" in nearness(two, 0.3, manifest, EMPTY)


def test_what_of_the_masks_is_out_of_reach(manifest):
    shots = [cells_of([1, 1.5, 9, 4], [1, 1, 1, 1]), cells_of([0], [0.5])]
    # out of reach: 1, 1.5, 0 (half) lie nearer to 0, 9 lies nearer to 10
    assert surely_known(shots, VECTOR, manifest) == ("near", pytest.approx(2.5 / 4.5))
