"""Recipes of large networks: real data sets and truth maps, a finite loss, gradients everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from owseg.datasets import READERS, load_truth_map
from owseg_training.config import NetworkConfig
from owseg_training.data.augment import OUTLIER_ID
from owseg_training.data.stream import Batch
from owseg_training.loop import check_recipe
from owseg_training.losses import total_loss
from owseg_training.models import BACKBONES, build_network
from owseg_training.models.deeplab import DeepLabV3Plus
from owseg_training.models.wider_resnet import WiderResNet
from owseg_training.recipes import get_recipe

pytest.importorskip("transformers", reason="pip install 'owseg_ros[transformers]'")

CLASSES = {
    "camvid_mit_b0": 10,
    "cityscapes_mit_b0": 16,
    "cityscapes_mit_b2": 16,
    "cityscapes_deeplab101": 16,
    "cityscapes_wrn38": 19,
    "cityscapes_entropy_wrn38": 19,
    "streethazards_pspnet50": 13,
    "streethazards_pspnet50_softmax": 13,
    "bdd100k_pspnet50": 19,
}
"""Known classes by recipe."""

TRAINED = (
    "camvid_mit_b0",
    "streethazards_pspnet50",
    "cityscapes_wrn38",
    "cityscapes_entropy_wrn38",
)
"""Recipes whose loss is evaluated; the others differ in data, or in the depth of their network."""


@pytest.mark.parametrize("name", CLASSES)
def test_data_set_and_truth_map_are_there_and_fit(name: str) -> None:
    recipe = get_recipe(name)
    truth_map = load_truth_map(recipe.data.truth_map)
    reader = READERS[recipe.data.dataset]
    names = dict(enumerate(reader.label_space.names))
    assert {i: n for i, n in truth_map.labels.items() if n not in truth_map.ignore} == names
    assert len(truth_map.known_names) == CLASSES[name]
    assert recipe.data.split in [split.name for split in reader.splits]
    check_recipe(recipe)


@pytest.mark.parametrize("name", CLASSES)
def test_the_whole_network_has_gradients_in_all_parameters(name: str) -> None:
    recipe = get_recipe(name)
    with torch.device("meta"):
        network = build_network(recipe.network, CLASSES[name])
        output = network(torch.rand(2, 3, 64, 96))
        loss = output.embedding.sum() + output.direction.sum()
    loss.backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []
    height, width = (-(-size // network.stride) for size in (64, 96))
    assert output.embedding.shape == (2, CLASSES[name], height, width)


def narrow(config: NetworkConfig) -> nn.Module:
    return DeepLabV3Plus(WiderResNet(width=8), 8)


def batch_of(classes: int, stride: int) -> Batch:
    """Give two images, one of them with strange pixels, of 64 x 96."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (2, 64, 96), generator=generator)
    labels[1, 16:48, 16:64] = OUTLIER_ID
    direction = torch.randn(2, 2, 64 // stride, 96 // stride, generator=generator)
    return Batch(
        images=torch.rand(2, 3, 64, 96, generator=generator),
        labels=labels,
        direction=nn.functional.normalize(direction, dim=1),
        direction_weight=torch.ones(2, 64 // stride, 96 // stride),
    )


@pytest.mark.parametrize("name", TRAINED)
def test_loss_and_gradients_are_finite(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "deeplab_wrn38", narrow)
    torch.manual_seed(0)
    recipe = get_recipe(name)
    network = build_network(recipe.network, CLASSES[name])
    batch = batch_of(CLASSES[name], network.stride)
    terms = total_loss(network(batch.images), batch, recipe, network.prototypes, None)
    terms.total.backward()  # type: ignore[no-untyped-call]
    assert float(terms.total.detach()) > 0
    assert (float(terms.outlier.detach()) > 0) == bool(recipe.loss.entropy)
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
    assert float(network.embed.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_the_second_stage_is_the_fine_tuning_of_chan_et_al() -> None:
    first, second = get_recipe("cityscapes_wrn38"), get_recipe("cityscapes_entropy_wrn38")
    assert second.network == first.network
    assert second.data.truth_map == first.data.truth_map
    outliers = second.data.outliers
    assert (outliers.dataset, outliers.images) == ("coco", 297)
    draws = second.loop.steps * second.loop.batch
    assert draws == pytest.approx(2975 + 297, abs=second.loop.batch)
    assert outliers.share * draws == pytest.approx(297, rel=0.01)
    assert (second.loss.entropy, second.optim.lr, second.score.method) == (0.9, 1e-5, "entropy")


def test_the_baseline_differs_in_head_and_score_only() -> None:
    metric = get_recipe("streethazards_pspnet50").to_dict()
    softmax = get_recipe("streethazards_pspnet50_softmax").to_dict()
    assert {key for key in metric if metric[key] != softmax[key]} == {"name", "network", "score"}
    changed = {k for k, v in metric["network"].items() if softmax["network"][k] != v}
    assert changed == {"head"}
