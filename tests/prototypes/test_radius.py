"""The radius: held-out distances worked by hand, the fit against trying every radius."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from owseg.prototypes.pooling import Cells, pool, prototypes_of
from owseg.prototypes.radius import (
    SHARE,
    SMALLEST_RADIUS,
    Trial,
    fit_radius,
    knows_surroundings,
    rate_radius,
    run_trial,
)

NO_RIVALS = np.zeros((0, 1), np.float32)


def shot(values, inside, outside=None):
    inside = np.asarray(inside, np.float64)
    places = np.stack([np.zeros(len(inside), int), np.arange(len(inside))], axis=1)
    return Cells(
        vectors=np.asarray(values, np.float32).reshape(len(inside), -1),
        inside=inside,
        outside=1 - inside if outside is None else np.asarray(outside, np.float64),
        places=places,
    )


def mean_of(shots):
    return prototypes_of(*pool(shots))


def trial_of(distances, inside, outside):
    return Trial(
        distances=np.asarray(distances, np.float64),
        inside=np.asarray(inside, np.float64),
        outside=np.asarray(outside, np.float64),
        held_out="shots",
    )


# Trials ----------------------------------------------------------------------------------------


def test_each_shot_is_measured_from_the_others():
    shots = [shot([0, 9], [1, 0]), shot([2, 7], [1, 0]), shot([4, 5], [1, 0])]
    trial = run_trial(shots, NO_RIVALS, mean_of)
    # prototypes without each shot: 3, 2, 1
    np.testing.assert_allclose(trial.distances, [9, 36, 0, 25, 9, 16], atol=1e-5)
    np.testing.assert_array_equal(trial.inside, [1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(trial.outside, [0, 1, 0, 1, 0, 1])
    assert trial.held_out == "shots"


def test_cells_nearer_to_a_rival_are_out_of_reach():
    shots = [shot([0, 1, 2, 3], [1, 0, 0, 0]), shot([0, 1, 2, 3], [1, 0, 0, 0])]
    trial = run_trial(shots, np.array([[2.0]], np.float32), mean_of)
    np.testing.assert_allclose(trial.distances[:4], [0, np.inf, np.inf, np.inf])
    rivals = np.array([[2.2]], np.float32)
    np.testing.assert_allclose(run_trial(shots, rivals, mean_of).distances[:2], [0, 1], atol=1e-5)


def test_a_rival_keeps_only_what_its_radius_holds():
    shots = [shot([0, 1, 2, 3, 4], [1, 0, 0, 0, 0])] * 2
    rivals = np.array([[2.2], [9.0]], np.float32)
    # 2 and 3 are nearer to the first rival, which holds 2 alone; the second one keeps nothing
    for reach, kept in ((0.5, [2]), (0.7, [2, 3]), (1e-3, []), (np.inf, [2, 3, 4])):
        found = run_trial(shots, rivals, mean_of, np.array([reach, 0.1], np.float32)).distances[:5]
        want = [np.inf if place in kept else place**2 for place in range(5)]
        np.testing.assert_allclose(found, want, atol=1e-5)


def test_the_nearest_of_several_prototypes_counts():
    shots = [shot([0, 10, 4], [1, 1, 0])] * 2
    trial = run_trial(shots, NO_RIVALS, lambda rest: prototypes_of(*pool(rest), 2))
    np.testing.assert_allclose(trial.distances[:3], [0, 0, 16], atol=1e-4)


def test_many_shots_are_left_out_in_ten_groups():
    shots = [shot([float(i), -5.0], [1, 0]) for i in range(23)]
    made = []

    def make(rest):
        made.append(sorted(float(cells.vectors[0, 0]) for cells in rest))
        return mean_of(rest)

    trial = run_trial(shots, NO_RIVALS, make)
    assert len(set(map(tuple, made))) == 10
    assert sorted(set(range(23)) - set(made[0])) == [0, 10, 20]
    assert len(trial.distances) == 46
    assert trial.inside.sum() == 23


def test_halves_of_a_single_shot_judge_each_other():
    only = shot([0, 0, 2, 2, 50], [1, 1, 1, 1, 0])
    trial = run_trial([only], NO_RIVALS, mean_of)
    assert trial.held_out == "halves"
    np.testing.assert_allclose(trial.distances, [4, 4, 4, 4, 2500], rtol=1e-5)
    assert trial.outside.sum() == 1


def test_a_shot_too_small_to_cut_judges_itself():
    trial = run_trial([shot([3, 9], [1, 0])], NO_RIVALS, mean_of)
    assert trial.held_out == "nothing"
    np.testing.assert_allclose(trial.distances, [0, 36], atol=1e-5)


# The fit ---------------------------------------------------------------------------------------


def iou_at(trial, radius, share):
    """Count what a radius claims, cell by cell; 0 where it takes more than a tenth of the rest."""
    found = taken = 0.0
    for distance, inside, outside in zip(trial.distances, trial.inside, trial.outside, strict=True):
        if distance < radius:
            found += inside / trial.inside.sum()
            taken += outside / trial.outside.sum()
    return share * found / (share + (1 - share) * taken) if taken <= 0.1 else 0.0


@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.005, 0.03, 0.2, 0.9]))
@settings(max_examples=60, deadline=None)
def test_no_radius_is_better(seed, share):
    rng = np.random.default_rng(seed)
    inside = np.round(rng.random(40) * (rng.random(40) < 0.5), 2)
    assume(inside.sum() > 0)
    distances = np.round(np.where(inside > 0, 0.5, 1.0) * rng.exponential(size=40), 2)
    distances[rng.random(40) < 0.1] = np.inf
    trial = trial_of(distances, inside, 1 - inside)
    radius = fit_radius(trial, share)
    candidates = [*np.unique(distances[np.isfinite(distances)]) + 1e-4, SMALLEST_RADIUS]
    best = max(iou_at(trial, candidate, share) for candidate in candidates)
    assert iou_at(trial, radius, share) == pytest.approx(best)
    if best > 0:
        assert rate_radius(trial, radius, share).iou == pytest.approx(best)


def test_the_radius_lies_half_way_to_what_it_leaves_out():
    trial = trial_of([1, 1, 4, 9], [1, 1, 0, 0], [0, 0, 1, 1])
    assert fit_radius(trial) == pytest.approx(1.5**2, rel=1e-5)
    trial = trial_of([1, 1, np.inf, np.inf], [1, 1, 0, 0], [0, 0, 1, 1])
    assert fit_radius(trial) == pytest.approx(1, rel=1e-5)


def test_what_says_nothing_does_not_draw_the_line():
    trial = trial_of([1, 1.1, 4], [1, 0, 0], [0, 0, 1])
    assert fit_radius(trial) == pytest.approx(1.5**2, rel=1e-5)


@given(st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_cells_that_are_meant_to_be_claimed_are_below_the_radius_in_float32(values):
    distances = np.float32(values)
    trial = trial_of(distances, np.ones(len(values)), np.zeros(len(values)))
    radius = np.float32(fit_radius(trial))
    claimed = (distances < radius).mean()
    assert claimed >= 0.7 - 1e-9


def test_a_smaller_share_makes_no_larger_radius():
    rng = np.random.default_rng(2)
    inside = (rng.random(400) < 0.3).astype(float)
    distances = rng.gamma(np.where(inside > 0, 2, 5))
    trial = trial_of(distances, inside, 1 - inside)
    radii = [fit_radius(trial, share) for share in (0.4, 0.1, 0.03, 0.01, 0.001)]
    assert radii == sorted(radii, reverse=True)
    assert radii[0] > radii[-1]


def test_the_share_counts_not_the_size_of_the_mask():
    """Ten times the class in the shots must not buy a larger radius."""
    distances = [1, 2, 3, 1.5, 2.5, 3.5]
    few = trial_of(distances, [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 40])
    many = trial_of(distances, [10, 10, 10, 0, 0, 0], [0, 0, 0, 1, 1, 40])
    assert fit_radius(few) == fit_radius(many)


def test_no_radius_takes_more_than_a_tenth_of_the_rest():
    distances = np.arange(1, 101, dtype=float)
    inside = np.zeros(100)
    inside[[50, 99]] = 1
    trial = trial_of(distances, inside, 1 - inside)
    assert rate_radius(trial, fit_radius(trial, 0.9), 0.9).taken <= 0.1


def test_where_every_radius_takes_too_much_none_is_fitted():
    trial = trial_of([1, 1, 2, 5], [0, 0, 1, 0], [1, 1, 0, 1])
    assert fit_radius(trial) == SMALLEST_RADIUS


def test_without_surroundings_most_of_the_class_is_claimed():
    trial = trial_of(np.arange(1, 11), np.ones(10), np.zeros(10))
    assert not knows_surroundings(trial)
    radius = fit_radius(trial)
    assert radius == pytest.approx(((7**0.5 + 8**0.5) / 2) ** 2, rel=1e-5)
    rating = rate_radius(trial, radius)
    assert (rating.found, rating.taken, rating.iou) == (0.7, None, None)


def test_one_cell_of_surroundings_in_a_thousand_is_not_enough():
    outside = np.zeros(1000)
    outside[-9:] = 1
    trial = trial_of(np.arange(1000), 1 - outside, outside)
    assert not knows_surroundings(trial)
    outside[-10:] = 1
    assert knows_surroundings(trial_of(np.arange(1000), 1 - outside, outside))


def test_nothing_within_reach():
    trial = trial_of([np.inf, np.inf], [1, 0], [0, 1])
    assert fit_radius(trial) == SMALLEST_RADIUS
    assert rate_radius(trial, SMALLEST_RADIUS).found == 0


def test_equal_cells_get_the_smallest_radius():
    trial = trial_of([0, 0, 0], [1, 1, 1], [0, 0, 0])
    assert fit_radius(trial) == SMALLEST_RADIUS


# Ratings ---------------------------------------------------------------------------------------


def test_a_rating_by_hand():
    trial = trial_of([1, 2, 3, 4], [1, 0.5, 0.5, 0], [0, 0.5, 0.5, 3])
    rating = rate_radius(trial, 2.5, share=0.25)
    assert rating.found == pytest.approx(1.5 / 2)
    assert rating.taken == pytest.approx(0.5 / 4)
    assert rating.iou == pytest.approx(0.25 * 0.75 / (0.25 + 0.75 * 0.125))
    assert rating.radius == 2.5


def test_a_distance_equal_to_the_radius_is_not_claimed():
    assert rate_radius(trial_of([2.0], [1], [0]), 2.0).found == 0


def test_the_default_share():
    trial = trial_of([1, 2], [1, 0], [0, 1])
    assert rate_radius(trial, 3).iou == pytest.approx(SHARE)
