"""Checkpoints with heads: the same network comes back, and what can be wrong with a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from owseg.errors import InputError, UsageError
from owseg_training.checkpoint import load_checkpoint
from owseg_training.incremental.bank import AnnotatedImage
from owseg_training.incremental.checkpoint import (
    PLMCheckpoint,
    base_network,
    load_any,
    load_plm,
    plm_checkpoint,
    plm_network,
    save_plm,
)
from owseg_training.incremental.config import IncrementalConfig
from owseg_training.incremental.network import PLMNetwork
from owseg_training.incremental.plm import learn_class
from owseg_training.incremental.shots import ShotManifest


def manifest(name: str) -> ShotManifest:
    return ShotManifest(
        dataset="camvid",
        split="train",
        class_name=name,
        shots=2,
        seed=3,
        fallback=False,
        images=("a", "b"),
    )


@pytest.fixture(scope="module")
def learnt(base_checkpoint: Path, quick: IncrementalConfig) -> tuple[PLMNetwork, PLMCheckpoint]:
    base = load_checkpoint(base_checkpoint)
    network = PLMNetwork(base_network(base, base_checkpoint))
    for _ in range(2):
        head = network.new_head()
        with torch.no_grad():
            head.embed.bias.normal_()
        network.add(head)
    shots = [manifest("car"), manifest("tram")]
    return network, plm_checkpoint(base, network, quick, shots)


@pytest.fixture
def path(learnt: tuple[PLMNetwork, PLMCheckpoint], tmp_path: Path) -> Path:
    save_plm(learnt[1], tmp_path / "plm.pt")
    return tmp_path / "plm.pt"


def test_the_same_network_comes_back(learnt: tuple[PLMNetwork, PLMCheckpoint], path: Path) -> None:
    network, saved = learnt
    back = load_plm(path)
    assert back.class_names == (*saved.base.class_names, "car", "tram")
    assert (back.config, back.shots, back.recipe) == (saved.config, saved.shots, saved.base.recipe)
    rebuilt = plm_network(back, path)
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for a, b in zip(network(x).heads, rebuilt(x).heads, strict=True):
            assert torch.equal(a, b)
        assert torch.equal(network(x).embedding, rebuilt(x).embedding)
    assert not any(p.requires_grad for p in rebuilt.parameters())


def test_a_trained_head_comes_back(
    base_checkpoint: Path, shots: list[AnnotatedImage], quick: IncrementalConfig, tmp_path: Path
) -> None:
    base = load_checkpoint(base_checkpoint)
    network = PLMNetwork(base_network(base, base_checkpoint))
    learn_class(network, shots, quick, 0)
    save_plm(plm_checkpoint(base, network, quick, [manifest("car")]), tmp_path / "plm.pt")
    rebuilt = plm_network(load_plm(tmp_path / "plm.pt"), "plm.pt")
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(x).heads, rebuilt(x).heads, rtol=0, atol=1e-3)


def test_each_reader_says_what_the_other_file_is(base_checkpoint: Path, path: Path) -> None:
    with pytest.raises(InputError, match="has heads of classes that were learnt later"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="has no heads"):
        load_plm(base_checkpoint)
    assert isinstance(load_any(path), PLMCheckpoint)
    assert load_any(base_checkpoint).recipe == load_checkpoint(base_checkpoint).recipe


def test_it_carries_no_training_state(path: Path) -> None:
    base = load_plm(path).base
    assert (base.network, base.optimizer, base.history) == ({}, {}, {})


def edited(path: Path, **changes: Any) -> Path:
    raw = {**torch.load(path, weights_only=True), **changes}
    torch.save({k: v for k, v in raw.items() if v is not None}, path)
    return path


@pytest.mark.parametrize(
    "change",
    [{"config": "{"}, {"shots": "[{}]"}, {"base": {}}, {"shots": "3"}, {"config": None}],
)
def test_garbled_fields(path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="lacks or garbles a field") as caught:
        load_any(edited(path, **change))
    assert "\n" not in str(caught.value)


def test_settings_of_a_newer_version(path: Path) -> None:
    with pytest.raises(UsageError, match=r"IncrementalConfig has unknown fields: \['moon'\]"):
        load_plm(edited(path, config='{"moon": 1}'))


def test_heads_and_classes_must_match(path: Path) -> None:
    with pytest.raises(InputError, match="has 0 heads for 2 classes"):
        load_plm(edited(path, heads=[]))


def test_weights_of_another_network(learnt: tuple[PLMNetwork, PLMCheckpoint], path: Path) -> None:
    wrong = replace(learnt[1], heads=(learnt[1].heads[1], learnt[1].heads[0]))
    with pytest.raises(InputError, match=r"a head in .* does not fit the network of its base"):
        plm_network(wrong, path)
    base = replace(learnt[1].base, class_names=("a", "b"))
    with pytest.raises(InputError, match="do not fit the network of its recipe"):
        plm_network(replace(learnt[1], base=base), path)
