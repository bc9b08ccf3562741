"""Cut-outs of strange objects."""

from __future__ import annotations

import random

import numpy as np
import pytest

from owseg.errors import UsageError
from owseg.scenes import STRANGE_KINDS, strange_object
from owseg.scenes.solids import Ball, Block, Drum, Limb, Paint, render_parts, rotation
from owseg.scenes.strange import strange_sprite

PLAIN = Paint(color=(200.0, 100.0, 50.0))


def test_there_are_at_least_twelve_kinds() -> None:
    assert len(STRANGE_KINDS) >= 12


@pytest.mark.parametrize("kind", sorted(STRANGE_KINDS))
def test_every_kind_can_be_drawn_and_varies(kind: str) -> None:
    sprites = [strange_sprite(kind, variant, 24) for variant in range(3)]
    for sprite in sprites:
        assert 0.03 < (sprite.alpha > 127).mean() <= 1
        assert 0.05 < sprite.height_m < 5
    assert len({sprite.color.tobytes() for sprite in sprites}) == 3


def test_cut_outs_fit_their_size_and_differ() -> None:
    rng = np.random.default_rng(4)
    seen = set()
    for _ in range(25):
        image, mask = strange_object(rng, 32)
        assert image.shape[:2] == mask.shape
        assert image.dtype == np.uint8
        assert mask.dtype == np.bool_
        assert max(mask.shape) <= 33
        assert mask.any()
        seen.add(image.tobytes())
    assert len(seen) == 25


def test_the_same_generator_gives_the_same_cut_out() -> None:
    a, b = (strange_object(np.random.default_rng(11), 40) for _ in range(2))
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])


def test_tiny_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 8"):
        strange_object(np.random.default_rng(0), 3)


def _inside(part: Ball | Block | Drum, p: np.ndarray) -> bool:
    """Return whether a point lies in a part, from its definition."""
    x, y, z = rotation(*part.turn).T @ (p - np.array(part.center))
    if isinstance(part, Ball):
        return (x / part.radii[0]) ** 2 + (y / part.radii[1]) ** 2 + (z / part.radii[2]) ** 2 <= 1
    if isinstance(part, Block):
        return abs(x) <= part.half[0] and abs(y) <= part.half[1] and abs(z) <= part.half[2]
    share = (y / part.half_height + 1) / 2
    return 0 <= share <= 1 and np.hypot(x, z) <= part.bottom + (part.top - part.bottom) * share


@pytest.mark.parametrize("shape", ["ball", "block", "drum"])
def test_first_surface_agrees_with_stepping_along_the_ray(shape: str) -> None:
    rng = random.Random(5)
    for _ in range(3):
        turn = (rng.uniform(-3, 3), rng.uniform(-1, 1), rng.uniform(-1, 1))
        sizes = (rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.9))
        part: Ball | Block | Drum
        if shape == "ball":
            part = Ball(center=(0.1, 0.2, -0.1), radii=sizes, paint=PLAIN, turn=turn)
        elif shape == "block":
            part = Block(center=(0.1, 0.2, -0.1), half=sizes, paint=PLAIN, turn=turn)
        else:
            part = Drum(
                center=(0.1, 0.2, -0.1),
                bottom=sizes[0],
                top=sizes[1],
                half_height=sizes[2],
                paint=PLAIN,
                turn=turn,
            )
        view = rotation(yaw=0.4, pitch=0.2)
        x = np.linspace(-1, 1, 5, dtype=np.float32)[None, :]
        y = np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
        depth = part.depth(view, x, y)
        steps = np.arange(1.4, -1.4, -0.02)
        for i in range(5):
            for j in range(5):
                hits = (z for z in steps if _inside(part, view.T @ np.array([x[0, j], y[i, 0], z])))
                first = next(hits, -np.inf)
                if np.isfinite(first) or np.isfinite(depth[i, j]):
                    near_rim = not (np.isfinite(first) and np.isfinite(depth[i, j]))
                    assert near_rim or abs(first - depth[i, j]) < 0.03


def test_limb_is_round_and_has_the_given_radii() -> None:
    limb = Limb(start=(0, 0, 0), end=(0, 1, 0), radius=0.3, end_radius=0.1, paint=PLAIN)
    view = rotation()
    x = np.array([[-0.31, -0.29, 0.0, 0.29, 0.31]], np.float32)
    seen = np.isfinite(limb.depth(view, x, np.array([[0.0]], np.float32)))
    assert seen.tolist() == [[False, True, True, True, False]]
    top = limb.depth(view, np.array([[0.0, 0.09, 0.11]], np.float32), np.array([[1.0]], np.float32))
    assert top[0, 0] == pytest.approx(0.1, abs=1e-5)
    assert np.isfinite(top).tolist() == [[True, True, False]]


def test_an_object_that_is_thinner_than_the_rays_is_drawn_all_the_same() -> None:
    own = random.Random(37646)
    parts = STRANGE_KINDS[own.choice(sorted(STRANGE_KINDS))](own)
    sprite = render_parts(parts, pixels=16, yaw=own.uniform(-3.1, 3.1), pitch=own.uniform(0, 0.35))
    assert (sprite.alpha > 0).any()
    assert max(sprite.alpha.shape) <= 17
