"""The Mix Transformer: stages, what the decoder adds, weights and initialisation of the library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from owseg.cli import main
from owseg.errors import InputError, MissingDependencyError
from owseg_training.config import NetworkConfig
from owseg_training.models import build_network, load_imagenet
from owseg_training.models import mit as module
from owseg_training.models.layers import resize
from owseg_training.models.mit import VARIANTS, MixTransformer

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install 'owseg_ros[transformers]'"
)


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> MixTransformer:
    """Return a B0 with one block in each stage."""
    monkeypatch.setitem(VARIANTS, "b0", VARIANTS["b0"]._replace(depths=(1, 1, 1, 1)))
    torch.manual_seed(0)
    return MixTransformer("b0").eval()


@torch.no_grad()
def test_stages_round_up_and_the_decoder_adds_them_at_stride_4(shallow: MixTransformer) -> None:
    x = torch.rand(1, 3, 65, 97)
    stages = shallow.trunk(x)
    sizes = [tuple(stage.shape[1:]) for stage in stages]
    assert sizes == [(32, 17, 25), (64, 9, 13), (160, 5, 7), (256, 3, 4)]
    projected = [project(stage) for project, stage in zip(shallow.project, stages, strict=True)]
    total = projected[0]
    for stage in projected[1:]:
        total = total + resize(stage, (17, 25))
    torch.testing.assert_close(shallow(x), shallow.decode(total.clamp_min(0)))


def test_the_sizes_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        encoders = {name: MixTransformer(name).encoder for name in ("b0", "b2")}
    millions = {n: sum(p.numel() for p in e.parameters()) / 1e6 for n, e in encoders.items()}
    # Table 1 of the paper: 3.4 and 24.2 M, for B0 with what a classifier of a few classes takes.
    assert millions == {"b0": pytest.approx(3.32, abs=0.01), "b2": pytest.approx(24.2, abs=0.01)}


def test_the_encoder_keeps_the_initialisation_of_its_library() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(backbone="mit_b0"), 3)
    fresh = transformers.SegformerModel(transformers.SegformerConfig())
    large = {n: p for n, p in fresh.state_dict().items() if p.numel() > 5000}
    state = network.backbone.encoder.state_dict()  # type: ignore[union-attr]
    spread = {n: float(p.std()) for n, p in large.items()}
    assert {n: float(state[n].std()) for n in large} == pytest.approx(spread, rel=0.1)
    ours = network.state_dict()["backbone.project.0.0.weight"]
    assert float(ours.std()) == pytest.approx((2 / 128) ** 0.5, rel=0.1)


def test_every_weight_takes_part(shallow: MixTransformer) -> None:
    shallow.train()(torch.rand(2, 3, 64, 96)).square().sum().backward()
    assert [n for n, p in shallow.named_parameters() if p.grad is None] == []


def holder(backbone: nn.Module) -> Any:
    network = nn.Module()
    network.backbone = backbone
    return network


def test_weights_come_by_the_loader_of_the_library(
    shallow: MixTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = transformers.SegformerConfig(depths=(1, 1, 1, 1))
    other = transformers.SegformerModel(config)
    other.save_pretrained(tmp_path)
    monkeypatch.setattr(shallow, "variant", shallow.variant._replace(weights=str(tmp_path)))
    wanted, found = other.state_dict(), shallow.encoder.state_dict()
    assert any(not torch.equal(found[name], value) for name, value in wanted.items())
    load_imagenet(holder(shallow))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_weights_that_cannot_be_had_are_one_line_and_exit_code_2(
    shallow: MixTransformer,
    camvid_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setitem(VARIANTS, "b0", shallow.variant._replace(weights=str(empty)))
    with pytest.raises(InputError, match="cannot load the ImageNet weights"):
        load_imagenet(holder(MixTransformer("b0")))
    argv = ["train", "camvid_mit_b0", "--root", camvid_tree, "--out", tmp_path / "run"]
    assert main([str(arg) for arg in argv]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert str(empty) in lines[0]


def test_without_the_library_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'owseg_ros\[transformers\]'"):
        build_network(NetworkConfig(backbone="mit_b0"), 3)
    assert module.VARIANTS["b0"].weights == "nvidia/mit-b0"
