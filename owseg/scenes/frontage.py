"""What stands behind the pavement: houses, gardens, fences, hedges and parks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from owseg.scenes.buildings import Building
from owseg.scenes.config import SceneConfig
from owseg.scenes.facades import VARIANTS, facade, front_size
from owseg.scenes.foliage import hedge, tree
from owseg.scenes.furniture import FENCE_KINDS, fence, hanging_sign
from owseg.scenes.scene import TREE
from owseg.scenes.seeds import stream
from owseg.scenes.street import Street
from owseg.scenes.things import Board, Panel


class Frontage:
    """Fills the land beside the pavements.

    Args:
        config: densities and seed.
        street: the plan.
    """

    def __init__(self, config: SceneConfig, street: Street) -> None:
        """Choose the usual fence of each side."""
        self.config, self.street = config, street
        rng = stream(config.seed, 73)
        self._fences = tuple(rng.choice(FENCE_KINDS) for _ in range(2))

    def fill(
        self, rng: random.Random, side: int, style: str, z0: float, z1: float
    ) -> Iterator[Building | Board | Panel]:
        """Fill one side of a block with houses, gardens or a park."""
        if style == "park":
            yield from self._park(rng, side, z0, z1)
            return
        setback = {
            "suburb": rng.uniform(3.5, 7),
            "terrace": rng.choice([0.3, 2.2]),
            "offices": rng.choice([0.2, 3.0]),
        }.get(style, 0.15)
        yield from self._houses(rng, side, style, setback, z0, z1)
        if setback > 1.5:
            yield from self._garden(rng, side, setback, z0, z1)
        yield from self._trees(rng, side, style, setback, z0, z1)

    def _houses(
        self, rng: random.Random, side: int, style: str, setback: float, z0: float, z1: float
    ) -> Iterator[Building | Board]:
        """Put houses side by side."""
        offset = self.street.edge + setback
        lamps, z, last = self.config.lighting == "dusk", z0, 0.0
        while z < z1 - 2.5:
            variant = rng.randrange(VARIANTS)
            usual, height = front_size(style, variant)
            wide = min(usual * rng.uniform(0.9, 1.1), z1 - z)
            if wide < 0.55 * usual:
                break
            pitched = style in ("terrace", "suburb") or rng.random() < 0.4
            ridge = rng.uniform(1.8, 3.4) if pitched else 0.0
            chimneys = tuple(rng.random() for _ in range(rng.randint(0, 2))) if ridge else ()
            tall = height * rng.uniform(0.92, 1.08)
            yield Building(
                front=partial(facade, style, variant, lamps),
                side=side,
                offset=offset,
                z0=z,
                z1=z + wide,
                height=tall,
                ridge=ridge,
                wall=rng.randrange(24),
                chimneys=chimneys,
                exposed=tall + ridge > last,
            )
            gap = rng.uniform(1.5, 5) if style == "suburb" or rng.random() < 0.08 else 0.0
            if style == "shops" and rng.random() < 0.4 * self.config.furniture:
                yield hanging_sign(rng, side * (offset - 0.45), z + rng.uniform(0.5, wide))
            last = 0.0 if gap else tall
            z += wide + gap

    def _garden(
        self, rng: random.Random, side: int, setback: float, z0: float, z1: float
    ) -> Iterator[Building | Board | Panel]:
        """Add fences, hedges and bushes between pavement and houses."""
        s = side * (self.street.edge + 0.1)
        yield from self.fence_row(rng, s, z0, z1, 0.75)
        for _ in range(int(rng.uniform(0, 4) * self.config.trees)):
            spot = side * (self.street.edge + rng.uniform(0.8, max(1.0, setback - 0.5)))
            bush = partial(tree, "bush", rng.randrange(16))
            yield Board(
                picture=bush,
                s=spot,
                z=rng.uniform(z0, z1),
                label=TREE,
                scale=rng.uniform(0.5, 1.2),
                bias=2.0,
                flip=rng.random() < 0.5,
                footprint=0.8,
            )

    def fence_row(
        self, rng: random.Random, s: float, z0: float, z1: float, share: float
    ) -> Iterator[Building | Board | Panel]:
        """Add fence panels of 3 m, with gaps, or hedges."""
        kind = self._fences[0 if s < 0 else 1] if rng.random() < 0.7 else rng.choice(FENCE_KINDS)
        as_hedge = rng.random() < 0.25
        variant, hedge_high = rng.randrange(6), rng.uniform(1.0, 2.2)
        z = z0
        while z + 3 <= z1:
            if rng.random() < share:
                if as_hedge:
                    yield Panel(
                        texture=hedge(variant),
                        s=s,
                        z0=z,
                        z1=z + 3,
                        height=hedge_high,
                        label=TREE,
                        porous=True,
                    )
                else:
                    picture = fence(kind, variant)
                    yield Panel(
                        texture=picture,
                        s=s,
                        z0=z,
                        z1=z + 3,
                        height=picture.height_m,
                        porous=kind in ("railing", "mesh", "picket"),
                    )
            z += 3

    def _park(
        self, rng: random.Random, side: int, z0: float, z1: float
    ) -> Iterator[Building | Board | Panel]:
        """Fill a side with fence, bushes and trees in rows."""
        edge = self.street.edge
        yield from self.fence_row(rng, side * (edge + 0.1), z0, z1, 0.85)
        kind = stream(self.config.seed, 61).choice(["leafy", "bare", "leafy", "conifer"])
        for row in range(3):
            z = z0 + rng.uniform(0, 5)
            while z < z1:
                s = side * (edge + 2.5 + 5 * row + rng.uniform(-1, 1.5))
                what = "bush" if rng.random() < 0.35 else kind
                yield self._tree(rng, what, s, z)
                z += rng.uniform(3, 8) / max(0.35, self.config.trees)

    def _tree(self, rng: random.Random, kind: str, s: float, z: float) -> Board:
        """Return a tree of random size."""
        picture = partial(tree, kind, rng.randrange(16))
        scale = rng.uniform(0.6, 1.35)
        foot = 0.9 if kind == "bush" else 1.5
        return Board(
            picture=picture,
            s=s,
            z=z,
            label=TREE,
            scale=scale,
            flip=rng.random() < 0.5,
            bias=2.0,
            footprint=foot,
            facing=rng.uniform(-0.3, 0.8),
        )

    def _trees(
        self, rng: random.Random, side: int, style: str, setback: float, z0: float, z1: float
    ) -> Iterator[Building | Board | Panel]:
        """Add street trees and trees between and behind houses."""
        kind = stream(self.config.seed, 67).choice(["leafy", "bare"])
        if stream(self.config.seed, 71, side).random() < 0.35 * self.config.trees:
            z = z0 + rng.uniform(2, 8)
            while z < z1 - 1:
                yield replace(self._tree(rng, kind, side * (self.street.half + 0.7), z), bias=0.0)
                z += rng.uniform(8, 16)
        if style == "suburb":
            for _ in range(int(rng.uniform(1, 4) * self.config.trees)):
                spot = self.street.edge + rng.choice(
                    [rng.uniform(1, max(1.5, setback)), setback + rng.uniform(6, 12)]
                )
                yield self._tree(
                    rng, rng.choice(["leafy", "conifer", kind]), side * spot, rng.uniform(z0, z1)
                )
