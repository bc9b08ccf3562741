"""Learn a class from a few examples, without training (the Novel Prototype Method).

Source: Cen et al., "Deep Metric Learning for Open World Semantic Segmentation", ICCV 2021,
section 4.3, Eq. 11 and 12. The radius and the number of prototypes are fitted here; the
paper chooses them by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from owseg.engines.base import Engine, Outputs, PrototypeSlots
from owseg.errors import PrototypeError, ShotError, UsageError
from owseg.prototypes.checks import clean_radius
from owseg.prototypes.classes import PrototypeSet, Shot
from owseg.prototypes.collisions import (
    claims_on_known,
    known_collision,
    nearness,
    rivals_of,
    surely_known,
)
from owseg.prototypes.examples import Example, merge_examples
from owseg.prototypes.head_classes import Reach, kept_by_heads, within_reach
from owseg.prototypes.pooling import POOLINGS, Cells, make_cells, pool, prototypes_of
from owseg.prototypes.radius import (
    SHARE,
    Rating,
    Trial,
    fit_radius,
    knows_surroundings,
    rate_radius,
    run_trial,
)
from owseg.resize import fit_image
from owseg.types import FloatArray, UInt8Array

MOST_PROTOTYPES = 4
"""Largest number of prototypes that is tried where none is given."""

_WORTH_IT = 1.1
_HARDLY_FOUND = 0.2
_HARDLY_RIGHT = 0.15


@dataclass(frozen=True, kw_only=True)
class LearnOptions:
    """How a class is learnt.

    Attributes:
        pooling: "pixel" = all pixels of all shots count alike (Eq. 11), "image" = all shots.
        prototypes: number of prototypes; None = more than one only where held-out shots gain
            a tenth or more by it.
        radius: squared distance within which a pixel is claimed; None = fitted to the shots.
        share: share of a usual image that the class is expected to cover, 0..1; a smaller one
            makes a smaller radius, so that fewer pixels are claimed falsely.
        more_instances: the shots may show more of the class outside of the masks, so that
            nothing is learnt from what lies there.

    Raises:
        UsageError: a value that makes no sense.
    """

    pooling: str = "pixel"
    prototypes: int | None = None
    radius: float | None = None
    share: float = SHARE
    more_instances: bool = False

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.pooling not in POOLINGS:
            raise UsageError(f"no pooling '{self.pooling}'; there are {', '.join(POOLINGS)}")
        if self.prototypes is not None and self.prototypes < 1:
            raise UsageError(f"a class needs at least one prototype, got {self.prototypes}")
        if self.radius is not None:
            try:
                clean_radius(self.radius)
            except PrototypeError as error:
                raise UsageError(str(error)) from error
        if not 0.0 < self.share < 1.0:
            raise UsageError(f"the share of an image must lie between 0 and 1, got {self.share}")


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedClass:
    """What was learnt; ready for the store.

    Attributes:
        vectors: (M, D) float32 prototypes.
        radius: squared distance within which they claim a pixel.
        shots: what they came from, one for each image.
        rating: what the radius does on shots that were held out.
        held_out: what was left out in turn for it: "shots", "halves" of the only shot, or
            "nothing" where the only shot is too small to be cut.
        claims: share of each known class that is taken in the shots, outside of the masks;
            empty where nothing is learnt from there.
        warnings: one line each, for people.
    """

    vectors: FloatArray
    radius: float
    shots: tuple[Shot, ...]
    rating: Rating
    held_out: str
    claims: dict[str, float]
    warnings: tuple[str, ...]


def learn_class(
    engine: Engine,
    examples: Sequence[Example],
    options: LearnOptions | None = None,
    present: PrototypeSet | None = None,
) -> LearnedClass:
    """Learn a class: embed the images, average under the masks, fit the radius.

    Args:
        engine: runs the network; only its embedding is asked for, one image at a time, and
            of a network with heads also what they claim.
        examples: images with masks, at least one; several of one image count as one.
        options: how to learn.
        present: novel classes that the new one will live with.

    Raises:
        ShotError: no example, or a mask too small for the grid of the embedding.
        PrototypeError: `present` belongs to another network, or leaves no slot.
        EngineError: the network failed, or its embedding holds NaN.
        UsageError: an option that makes no sense.
    """
    options, present = options or LearnOptions(), present or PrototypeSet()
    most = _free_slots(engine, present, options)
    merged = merge_examples(examples)
    if not merged:
        raise ShotError("there is no shot to learn from; give at least one image with a mask")
    pairs = [_embedded(engine, example, options) for example in merged]
    shots, reaches = [cells for cells, _ in pairs], [reach for _, reach in pairs if reach]
    count, trial = _choose(shots, *rivals_of(engine.manifest, present), options, most)
    vectors = _prototypes(options.pooling, count, shots)
    radius = fit_radius(trial, options.share) if options.radius is None else options.radius
    rating = rate_radius(trial, radius, options.share)
    claims = claims_on_known(shots, vectors, radius, engine.manifest)
    warnings = (
        _guessed(trial, options),
        kept_by_heads(reaches, engine.manifest),
        _badly_held_out(engine, shots, vectors, rate_radius(trial, radius)),
        known_collision(claims),
        nearness(vectors, radius, engine.manifest, present),
    )
    return LearnedClass(
        vectors=vectors,
        radius=radius,
        shots=tuple(example.shot for example in merged),
        rating=rating,
        held_out=trial.held_out,
        claims=claims,
        warnings=tuple(filter(None, warnings)),
    )


def embed(engine: Engine, image: UInt8Array) -> FloatArray:
    """Return the embedding (D, h, w) float32 of an image (H, W, 3) uint8 RGB of any size."""
    return _embedding(_infer(engine, image, ("embedding",)))


def _infer(engine: Engine, image: UInt8Array, names: Sequence[str]) -> Outputs:
    fitted = fit_image(image, engine.manifest)
    return engine.infer(fitted[None], PrototypeSlots.empty(engine.manifest), 1.0, names)


def _embedding(outputs: Outputs) -> FloatArray:
    embedding: FloatArray = outputs["embedding"][0].astype(np.float32, copy=False)
    return embedding


def _embedded(
    engine: Engine, example: Example, options: LearnOptions
) -> tuple[Cells, Reach | None]:
    """Return the cells of an example, and what heads leave of its mask, where there are any."""
    heads, reach, mask = engine.manifest.heads, None, example.mask
    outputs = _infer(engine, example.image, ("embedding", "known") if heads else ("embedding",))
    if heads:
        reach = within_reach(mask, outputs["known"][0], engine.manifest, example.source)
        mask = reach.mask
    cells = make_cells(_embedding(outputs), mask, example.source)
    if options.more_instances:
        cells = replace(cells, outside=np.zeros_like(cells.outside))
    return cells, reach


def _free_slots(engine: Engine, present: PrototypeSet, options: LearnOptions) -> int:
    """Largest number of prototypes that may be made."""
    if present.classes and present.space != engine.space:
        raise PrototypeError(
            f"the classes there are belong to model {present.space[:12]}, not to "
            f"'{engine.manifest.name}' ({engine.space[:12]}); use that model, or a new store"
        )
    free = engine.manifest.slots - present.num_vectors
    if free < (options.prototypes or 1):
        raise PrototypeError(
            f"{options.prototypes or 1} more prototypes do not fit: {present.num_vectors} of the "
            f"{engine.manifest.slots} slots of model '{engine.manifest.name}' are in use; "
            "remove a class, learn with fewer prototypes, or export with more slots"
        )
    return free


def _prototypes(pooling: str, count: int, shots: Sequence[Cells]) -> FloatArray:
    return prototypes_of(*pool(shots, pooling), count)


def _choose(
    shots: Sequence[Cells],
    rivals: FloatArray,
    reach: FloatArray,
    options: LearnOptions,
    most: int,
) -> tuple[int, Trial]:
    """Return the number of prototypes, and the trial with as many."""
    given = options.prototypes
    counts = range(1, min(MOST_PROTOTYPES, most) + 1) if given is None else [given]
    trials = {
        count: run_trial(shots, rivals, partial(_prototypes, options.pooling, count), reach)
        for count in (counts if len(shots) > 1 else [given or 1])
    }
    scores = {count: _score(trial, options.share) for count, trial in trials.items()}
    enough = max(scores.values()) / _WORTH_IT
    count = next(count for count, score in scores.items() if score >= enough)
    return count, trials[count]


def _score(trial: Trial, share: float) -> float:
    """IoU at the radius that fits best; 0 where it cannot be told."""
    return rate_radius(trial, fit_radius(trial, share), share).iou or 0.0


def _guessed(trial: Trial, options: LearnOptions) -> str:
    """Say so where a radius had to be guessed though nobody asked for that; "" = it was not."""
    if options.radius is not None or options.more_instances or knows_surroundings(trial):
        return ""
    return (
        "the masks leave hardly anything of the images that is not the class, so that the radius "
        "is a guess; show more of what the class is not"
    )


def _badly_held_out(
    engine: Engine, shots: Sequence[Cells], vectors: FloatArray, rating: Rating
) -> str:
    if rating.found >= _HARDLY_FOUND and (rating.iou is None or rating.iou >= _HARDLY_RIGHT):
        return ""
    text = f"where it was held out, {rating.found:.0%} of the class was found"
    if rating.taken is not None:
        text += f" and {rating.taken:.1%} of the rest taken for it"
    name, share = surely_known(shots, vectors, engine.manifest)
    if share > _HARDLY_FOUND:
        return f"{text}: to the model {share:.0%} of the masks is {name}, a class that it knows"
    return f"{text}: the model hardly tells it from the rest; more shots may help"
