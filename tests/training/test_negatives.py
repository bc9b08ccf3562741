"""Training for the unknown: pasted pieces, outlier images without known classes, and the losses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from owseg.cli import main
from owseg.datasets import load_truth_map, open_dataset
from owseg.errors import UsageError
from owseg.types import IGNORE_ID
from owseg_training.checkpoint import load_checkpoint
from owseg_training.config import (
    SHARED_WITH_COCO,
    AugmentConfig,
    DataConfig,
    LossConfig,
    OutlierConfig,
    Recipe,
)
from owseg_training.data import OUTLIER_ID, TrainingStream, collate
from owseg_training.data.augment import UNLABELLED_ID, paste_foreign
from owseg_training.data.negatives import foreign_piece, random_shape
from owseg_training.data.proxy import class_safe, proxy_samples
from owseg_training.loop import check_recipe, train
from owseg_training.losses import total_loss
from owseg_training.models.dmlnet import NetworkOutput
from owseg_training.recipes import get_recipe

SPLIT_A = load_truth_map("camvid_a")
N = len(SPLIT_A.known_names)
OUTLIERS = {"cat": 17, "car": 3, "person": 1, "dog": 18}


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a COCO folder of five images: three with things that streets do not have."""
    root = tmp_path_factory.mktemp("coco")
    (root / "train2017").mkdir()
    (root / "annotations").mkdir()
    shown = [["cat"], ["car"], ["dog", "person"], ["dog"], []]
    images, things = [], []
    for number, names in enumerate(shown):
        picture = np.full((40, 60, 3), 50 * number, np.uint8)
        cv2.imwrite(str(root / "train2017" / f"{number:012}.jpg"), picture)
        images.append({"id": number, "file_name": f"{number:012}.jpg", "width": 60, "height": 40})
        for name in names:
            outline = [[5, 5, 20, 5, 20, 20, 5, 20]]
            thing = {"image_id": number, "category_id": OUTLIERS[name], "segmentation": outline}
            things.append({**thing, "area": 200, "iscrowd": int(name == "person")})
            if name == "person":
                things[-1]["segmentation"] = {"counts": [0, 2400], "size": [40, 60]}
    text = json.dumps({"images": images, "annotations": things})
    (root / "annotations" / "instances_train2017.json").write_text(text)
    return root


# Pieces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 16, 61, 200])
def test_a_piece_is_of_the_donor_and_of_the_size(size: int) -> None:
    donor = np.zeros((40, 50, 3), np.uint8)
    donor[...] = (10, 20, 30)
    for seed in range(20):
        picture, mask = foreign_piece(donor, size, np.random.default_rng(seed))
        assert max(mask.shape) == size
        assert picture.shape == (*mask.shape, 3)
        assert mask.any()
        assert sorted(np.unique(picture).tolist()) == [10, 20, 30]


def test_shapes_fill_their_box_but_are_no_boxes() -> None:
    shapes = [random_shape(40, 60, np.random.default_rng(seed)) for seed in range(30)]
    for shape in shapes:
        assert shape.any(axis=0).all()
        assert shape.any(axis=1).all()
        assert 0.3 < shape.mean() < 0.97
        assert cv2.connectedComponents(shape.astype(np.uint8))[0] == 2
    assert len({shape.tobytes() for shape in shapes}) == 30


def test_a_pasted_piece_is_labelled_where_it_lies() -> None:
    for seed in range(30):
        image, labels = np.zeros((64, 96, 3), np.uint8), np.full((64, 96), 3, np.uint8)
        paste_foreign(
            image, labels, np.full((64, 96, 3), 200, np.uint8), np.random.default_rng(seed)
        )
        inside = cv2.erode((labels == OUTLIER_ID).astype(np.uint8), np.ones((5, 5))) > 0
        outside = cv2.dilate((labels == OUTLIER_ID).astype(np.uint8), np.ones((5, 5))) == 0
        assert set(np.unique(labels)) <= {3, OUTLIER_ID}
        assert (image[inside] > 100).all()
        assert (image[outside] == 0).all()


def negatives(tiny: Callable[..., Recipe], **network: Any) -> Recipe:
    base = tiny(steps=8)
    return replace(
        base,
        data=DataConfig(learn_void=False),
        augment=AugmentConfig(crop=(64, 96), foreign=1.0),
        network=replace(base.network, head="softmax", unknown=True, **network),
    )


def test_only_pasted_pixels_are_learnt_as_unknown(
    painted_reader: Any, tiny: Callable[..., Recipe]
) -> None:
    recipe = negatives(tiny)
    stream = TrainingStream(painted_reader, SPLIT_A, recipe, 8)
    draws = [stream[index] for index in range(8)]
    for draw in draws:
        assert (draw.labels == OUTLIER_ID).any()
        assert UNLABELLED_ID not in draw.labels
        assert IGNORE_ID in draw.labels  # the void, and the car, which is held out
    again = [stream[index] for index in range(8)]
    for draw, same in zip(draws, again, strict=True):
        np.testing.assert_array_equal(draw.image, same.image)
    assert (stream.frequencies[-1], len(stream.frequencies)) == (0, N + 1)
    void = replace(recipe, data=DataConfig())
    learnt = TrainingStream(painted_reader, SPLIT_A, void, 8)
    assert any((learnt[index].labels == UNLABELLED_ID).any() for index in range(8))


def test_without_pieces_the_draws_are_as_before(
    painted_reader: Any, tiny: Callable[..., Recipe]
) -> None:
    plain = replace(tiny(), augment=AugmentConfig(crop=(64, 96)))
    other = replace(plain, augment=replace(plain.augment, foreign_max=1))
    draws = [TrainingStream(painted_reader, SPLIT_A, r, 8)[3] for r in (plain, other)]
    np.testing.assert_array_equal(draws[0].image, draws[1].image)
    assert OUTLIER_ID not in draws[0].labels


def test_a_network_learns_negatives_from_end_to_end(
    tiny: Callable[..., Recipe], camvid_tree: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(train(negatives(tiny), camvid_tree, tmp_path))
    assert checkpoint.average["embed.weight"].shape[0] == N + 1
    assert all(math.isfinite(value) for value in checkpoint.history["total"])


# Outlier images --------------------------------------------------------------------------------


def test_images_that_show_a_known_class_are_left_out(coco: Path) -> None:
    """The person is in a group, which the label map leaves out."""
    reader = open_dataset("coco", coco, "train")
    assert [s.name for s in class_safe(reader, SHARED_WITH_COCO)] == [
        "000000000000",
        "000000000003",
        "000000000004",
    ]
    assert [s.name[-1] for s in class_safe(reader, ("dog",))] == ["0", "1", "4"]
    assert len(class_safe(reader, ())) == 5


def test_other_data_sets_are_searched_by_their_labels(camvid_tree: Path) -> None:
    """Every painted image shows every class."""
    reader = open_dataset("camvid", camvid_tree, "train")
    assert class_safe(reader, ("car",)) == []
    assert len(class_safe(reader, ())) == 3


def test_the_same_seed_draws_the_same_images(coco: Path) -> None:
    config = OutlierConfig(root=str(coco), share=0.5, images=2)
    draws = [[s.name for s in proxy_samples(config, seed)] for seed in (0, 0, 1, 2, 3, 4, 5)]
    assert draws[0] == draws[1]
    assert len(draws[0]) == len(set(draws[0])) == 2
    assert len({tuple(sorted(names)) for names in draws}) > 1
    assert len(proxy_samples(replace(config, images=99), 0)) == 3
    assert proxy_samples(replace(config, share=0.0), 0) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": ""}, "name their folder with --outliers"),
        ({"exclude": ("kerb",)}, "coco has no class kerb to leave out"),
        ({"dataset": "cats"}, "cats"),
    ],
)
def test_bad_outliers_are_one_clear_line(coco: Path, changes: Any, message: str) -> None:
    config = replace(OutlierConfig(root=str(coco), share=0.5), **changes)
    with pytest.raises(UsageError, match=message):
        proxy_samples(config, 0)


def test_nothing_left_is_one_clear_line(camvid_tree: Path) -> None:
    config = OutlierConfig(dataset="camvid", root=str(camvid_tree), share=0.5, exclude=("car",))
    with pytest.raises(UsageError, match=r"no image of camvid train in .* is left without car"):
        proxy_samples(config, 0)


def test_an_outlier_image_is_strange_all_over(
    painted_reader: Any, tiny: Callable[..., Recipe], coco: Path
) -> None:
    recipe = replace(
        tiny(steps=30),
        data=DataConfig(outliers=OutlierConfig(root=str(coco), share=0.5)),
        augment=AugmentConfig(crop=(64, 96), scale=(1.8, 2.0)),
    )
    stream = TrainingStream(painted_reader, SPLIT_A, recipe, 8)
    draws = [stream[index] for index in range(60)]
    strange = [draw for draw in draws if (draw.labels == OUTLIER_ID).any()]
    assert 18 <= len(strange) <= 42
    for draw in strange:
        assert set(np.unique(draw.labels)) <= {OUTLIER_ID, IGNORE_ID}
        assert (draw.direction_weight == 0).all()


def test_the_command_names_the_folder(
    coco: Path, camvid_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Any
) -> None:
    wanted = replace(
        tiny(steps=2),
        data=DataConfig(outliers=OutlierConfig(share=0.9)),
        loss=LossConfig(entropy=0.9),
    )
    monkeypatch.setattr("owseg_training.command.get_recipe", lambda name: wanted)
    argv = ["train", "camvid_entropy", "--root", str(camvid_tree), "--out", str(tmp_path / "a")]
    assert main(argv) == 2
    assert main([*argv, "--outliers", str(coco)]) == 0
    found = load_checkpoint(tmp_path / "a" / "checkpoint.pt").recipe
    assert found.data.outliers.root == str(coco)


# Losses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["metric", "softmax"])
def test_entropy_maximisation_is_equation_29(
    head: str, painted_reader: Any, tiny: Callable[..., Recipe]
) -> None:
    base = tiny()
    recipe = replace(
        base,
        network=replace(base.network, head=head, direction=False),
        augment=AugmentConfig(crop=(64, 96), foreign=1.0),
        loss=LossConfig(variance=0.0, class_balance=0.0, direction=0.0, entropy=0.9),
    )
    stream = TrainingStream(painted_reader, SPLIT_A, recipe, 1)
    batch = collate([stream[0], stream[1]])
    torch.manual_seed(0)
    f = torch.randn(2, N, 64, 96)
    prototypes = 3 * torch.eye(N)
    output = NetworkOutput(f, torch.zeros(2, 2, 64, 96))
    terms = total_loss(output, batch, recipe, prototypes, None)
    logits = f.double()
    if head == "metric":
        gap = f.double()[:, None] - prototypes.double()[None, :, :, None, None]
        logits = -gap.square().sum(dim=2)
    log_p = logits - logits.logsumexp(dim=1, keepdim=True)
    strange, known = batch.labels == OUTLIER_ID, batch.labels < N
    assert strange.any()
    anomaly = -log_p.mean(dim=1)[strange].mean()
    own = log_p.gather(1, batch.labels.where(known, torch.tensor(0))[:, None])[:, 0]
    expected = 0.1 * -own[known].mean() + 0.9 * anomaly
    assert float(terms.total) == pytest.approx(float(expected), rel=1e-4)
    assert float(terms.outlier) == pytest.approx(float(anomaly), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": LossConfig(entropy=0.5, outlier=0.1)}, "loss.entropy and loss.outlier"),
        ({"loss": LossConfig(entropy=1.0)}, "expected 0 or more, below 1"),
        ({"loss": LossConfig(entropy=-0.1)}, "expected 0 or more, below 1"),
        ({"loss": LossConfig(entropy=0.5)}, "has nothing that stands for it"),
    ],
)
def test_recipes_that_contradict_themselves(changes: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_recipe(replace(get_recipe("camvid_small"), **changes))


def test_one_more_class_and_entropy_contradict_each_other() -> None:
    recipe = get_recipe("camvid_negatives")
    check_recipe(recipe)
    with pytest.raises(UsageError, match=r"loss\.entropy and network\.unknown"):
        check_recipe(replace(recipe, loss=LossConfig(entropy=0.5)))
    with pytest.raises(UsageError, match="has nothing that stands for it"):
        check_recipe(replace(recipe, augment=AugmentConfig()))


@pytest.mark.parametrize(
    "name", ["camvid_negatives", "camvid_negatives_entropy", "camvid_entropy", "camvid_dropout"]
)
def test_recipes_differ_from_the_baseline_in_one_thing(name: str) -> None:
    base, recipe = get_recipe("camvid_goss_small"), get_recipe(name)
    check_recipe(recipe)
    assert (recipe.name, recipe.loop, recipe.optim) == (name, base.loop, base.optim)
    assert recipe.network.width == base.network.width
    assert recipe.augment.crop == base.augment.crop
