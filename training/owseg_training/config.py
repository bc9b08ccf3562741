"""Configuration: frozen, keyword-only, one class per component; a recipe returns a `Recipe`.

Everything that decides the outcome of a run is in here and travels with the
checkpoint, so that a checkpoint alone can be resumed, evaluated and exported.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

from owseg.errors import UsageError

SHARED_WITH_COCO = (
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "bus",
    "truck",
    "traffic light",
    "stop sign",
)
"""Classes of COCO that streets are labelled with; known or held out, outliers show none of them."""


@dataclass(frozen=True, kw_only=True)
class OutlierConfig:
    """Images of another data set that stand for the unknown (see `data.proxy`).

    Attributes:
        dataset: name of a reader in `owseg.datasets.READERS`.
        root: its folder.
        split: split to draw from.
        share: share of training images that are such images, 0..1.
        images: so many different ones, 0 = all.
        exclude: classes of that data set; images that show one are left out.
    """

    dataset: str = "coco"
    root: str = ""
    split: str = "train"
    share: float = 0.0
    images: int = 0
    exclude: tuple[str, ...] = SHARED_WITH_COCO


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is trained on.

    Attributes:
        dataset: name of a reader in `owseg.datasets.READERS`.
        split: split of the data set to train on.
        truth_map: built-in name or file that says which classes are held out.
        scenes: share of training images drawn from the procedural scene generator, 0..1.
        scene_worlds: number of worlds that these images come from.
        cache: keep decoded images in memory.
        learn_void: with `network.unknown`, void pixels stand for the unknown; otherwise only
            negatives that are pasted, and outliers.
        outliers: images of another data set that stand for the unknown.
    """

    dataset: str = "camvid"
    split: str = "train"
    truth_map: str = "camvid_a"
    scenes: float = 0.0
    scene_worlds: int = 100
    cache: bool = True
    learn_void: bool = True
    outliers: OutlierConfig = field(default_factory=OutlierConfig)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of each training image.

    Attributes:
        crop: (height, width) of the training crop in pixels.
        scale: smallest and largest random scale.
        flip: probability of a horizontal flip.
        jitter: strength of brightness, contrast, gamma and saturation changes, 0..1.
        hue: largest hue shift as a share of the colour circle, 0..0.5.
        copy_paste: probability that the rare classes of another image are copied in.
        paste: probability that strange objects are pasted into an image as known unknowns.
        paste_max: largest number of objects pasted.
        foreign: probability that pieces of other training images are pasted into an image as
            negatives, in random shapes.
        foreign_max: largest number of pieces pasted.
    """

    crop: tuple[int, int] = (288, 384)
    scale: tuple[float, float] = (0.6, 1.8)
    flip: float = 0.5
    jitter: float = 0.35
    hue: float = 0.03
    copy_paste: float = 0.5
    paste: float = 0.0
    paste_max: int = 3
    foreign: float = 0.0
    foreign_max: int = 3


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The network.

    Attributes:
        backbone: name in `owseg_training.models.BACKBONES`.
        width: channels of the stem (networks that have a choice).
        head: "metric" compares with fixed prototypes, "softmax" has plain logits.
        prototype_scale: T of the fixed prototypes T * e_k.
        direction: whether a boundary-to-pixel direction branch is trained beside.
        strategy: what the direction branch learns: "detached" its own layers on the features of
            the classes, "joint" the backbone too, "separate" its own layers on a second backbone.
        unknown: one more logit, which learns strange pixels and the void pixels of the training
            images (softmax head only).
        projection: channels of the embedding of the contrastive loss, 0 = none; it exists in
            training only.
        dropout: share of the channels in front of the last layer that are left out in training,
            0..1; Monte-Carlo dropout needs some.
        size: (height, width) of the network's input at export, pixels.
        init: checkpoint this run starts from, see `loop.start_from`; "" = from scratch.
        imagenet: start from ImageNet weights (ResNets, with torchvision, and Mix Transformers).
    """

    backbone: str = "ddrnet"
    width: int = 32
    head: Literal["metric", "softmax"] = "metric"
    prototype_scale: float = 3.0
    direction: bool = True
    strategy: Literal["detached", "joint", "separate"] = "detached"
    unknown: bool = False
    projection: int = 0
    dropout: float = 0.0
    size: tuple[int, int] = (360, 480)
    init: str = ""
    imagenet: bool = False


@dataclass(frozen=True, kw_only=True)
class ContrastConfig:
    """Which pixels the contrastive loss compares (see `losses.contrast`).

    Attributes:
        temperature: tau.
        anchors: largest number of anchors of a batch.
        views: largest number of anchors of a class in an image, and of positives of an anchor.
        negatives: largest number of negatives of an anchor.
        pool: largest number of pixels of a batch that positives and negatives are drawn from.
        hard_share: share of the hardest candidates that they are drawn from, 0..1; 1 = all.
    """

    temperature: float = 0.07
    anchors: int = 1024
    views: int = 10
    negatives: int = 256
    pool: int = 4096
    hard_share: float = 0.1


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the loss terms.

    Attributes:
        dce: weight of the classification, for a metric head the discriminative cross entropy; 0
            leaves it out, so that `variance` alone learns the classes.
        variance: weight of the variance loss (0.01 in the DMLNet paper).
        class_balance: exponent b of the class weights frequency^-b, 0 = none.
        outlier: weight of the pull of pasted strange pixels to the centre of the prototypes.
        entropy: lambda of the entropy maximisation, 0..1: 1 - lambda is the weight of the
            classification, lambda that of the cross entropy of strange pixels to the uniform
            distribution; instead of `outlier`.
        direction: weight of the direction loss.
        direction_sum: sum the direction loss over the pixels of an image, as in the papers,
            instead of taking the weighted mean.
        contrast: weight of the pixel contrastive loss; it needs `network.projection`.
        sampling: which pixels that loss compares.
    """

    dce: float = 1.0
    variance: float = 0.01
    class_balance: float = 0.25
    outlier: float = 0.0
    entropy: float = 0.0
    direction: float = 1.0
    direction_sum: bool = False
    contrast: float = 0.0
    sampling: ContrastConfig = field(default_factory=ContrastConfig)


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimiser, schedule and averaging.

    Attributes:
        optimizer: "adamw", "adam" or "sgd" (momentum 0.9).
        lr: peak learning rate.
        weight_decay: decoupled for AdamW.
        schedule: "poly" (power 0.9) or "cosine", after `warmup` steps.
        warmup: steps of linear warm-up.
        clip: largest gradient norm.
        ema: decay of the weight average, 0 = none.
    """

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    schedule: Literal["poly", "cosine"] = "poly"
    warmup: int = 150
    clip: float = 5.0
    ema: float = 0.999


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """The loop.

    Attributes:
        steps: optimiser steps.
        batch: images per step.
        amp: mixed precision: bfloat16 where the device has it.
        workers: loader processes.
        checkpoint_every: steps between checkpoints.
    """

    steps: int = 4200
    batch: int = 8
    amp: bool = True
    workers: int = 1
    checkpoint_every: int = 400


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """The anomaly score that the exported graph computes by default.

    Attributes:
        method: name of a score, see `owseg_training.scorers`.
        form: "constant" scales fitted on training data, or the "paper"'s per-image form.
        scale_quantile: share of known training pixels whose score stays above 0.
        beta: factor of the probability of the unknown class (confidence adjustment), above 0;
            for the score "n_plus_1" only.
    """

    method: str = "eds"
    form: Literal["constant", "paper"] = "constant"
    scale_quantile: float = 0.5
    beta: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a run."""

    name: str
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON types."""
        return dataclasses.asdict(self)


def recipe_from_dict(raw: dict[str, Any]) -> Recipe:
    """Rebuild a recipe from `Recipe.to_dict`.

    Raises:
        UsageError: a field is unknown to this version.
    """
    recipe = build_config(Recipe, raw)
    assert isinstance(recipe, Recipe)
    return recipe


def build_config(cls: type, raw: dict[str, Any]) -> object:
    """Rebuild a configuration class, nested ones included, from `dataclasses.asdict`.

    Raises:
        UsageError: a field is unknown to this version.
    """
    hints = get_type_hints(cls)
    unknown = set(raw) - set(hints)
    if unknown:
        raise UsageError(f"the checkpoint's {cls.__name__} has unknown fields: {sorted(unknown)}")
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if dataclasses.is_dataclass(hints[key]) and isinstance(hints[key], type):
            values[key] = build_config(hints[key], value)
        else:
            values[key] = tuple(value) if isinstance(value, list) else value
    return cls(**values)
