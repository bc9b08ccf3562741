"""The protocols agree with their truth maps, readers and recipes; one of them on Cityscapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from owseg.cli import main
from owseg.datasets import READERS, load_truth_map
from owseg.errors import UsageError
from owseg_training.incremental.protocols import PROTOCOLS, get_protocol
from owseg_training.recipes import get_recipe


@pytest.mark.parametrize("name", PROTOCOLS)
def test_new_classes_are_held_out_at_first_and_known_in_the_end(name: str) -> None:
    protocol = get_protocol(name)
    base, full = load_truth_map(protocol.base_map), load_truth_map(protocol.full_map)
    assert sorted(base.held_out) == sorted(protocol.novel)
    assert full.held_out == ()
    assert set(protocol.base_names) == set(full.known_names) - set(protocol.novel)
    assert sorted(protocol.names) == sorted(full.known_names)
    assert base.ignore == full.ignore
    first, _, more = name.partition("_")[2].partition("+")
    assert (len(protocol.base_names), len(protocol.novel)) == (int(first), int(more))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_recipe_is_of_the_same_data_set(name: str) -> None:
    protocol = get_protocol(name)
    assert protocol.dataset in READERS
    recipe = get_recipe(protocol.recipe)
    assert recipe.data.dataset == protocol.dataset
    assert recipe.network.head == "metric"


def test_unknown_protocol() -> None:
    with pytest.raises(UsageError, match=r"no protocol 'x'; there are camvid_10\+1, camvid_8\+3, "):
        get_protocol("x")


def write_cityscapes(root: Path, count: int) -> Path:
    """Write frames of 64x128 in which every label id has a block of 16x16, 7..33 and a few."""
    ids = np.array([0, *range(5, 34), 26, 27])
    for split in ("train", "val"):
        for number in range(count):
            blocks = np.random.default_rng(number).permutation(ids).reshape(4, 8)
            labels = np.kron(blocks, np.ones((16, 16))).astype(np.uint8)
            image = np.repeat((labels * 7)[..., None], 3, axis=2)
            name = f"ulm_{number:06d}_000019"
            for folder, suffix, array in (
                ("leftImg8bit", "leftImg8bit", image),
                ("gtFine", "gtFine_labelIds", labels),
            ):
                path = root / folder / split / "ulm" / f"{name}_{suffix}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), array)
    return root


def test_cityscapes_end_to_end(
    tmp_path: Path, write_checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_cityscapes(tmp_path / "cityscapes", 2)
    base = write_checkpoint(tmp_path / "base.pt", "cityscapes_16_3")
    for name, classes, methods in (
        ("cityscapes_16+3", 19, ("plm_all", "npm")),
        ("cityscapes_16+1", 17, ("npm",)),
    ):
        out = tmp_path / name
        argv = ["incremental", name, "--root", root, "--out", out, "--base", base, "--shots", 1]
        argv += ["--seeds", 0, "--steps", 1, "--methods", *methods]
        assert main([str(a) for a in argv]) == 0
        assert f"{name}: IoU in percent on cityscapes val (2 images)" in capsys.readouterr().out
        cell = json.loads((out / "cells" / "npm_1shot_seed0.json").read_text())
        assert len(cell["classes"]) == classes
        true = dict(zip(cell["classes"], np.array(cell["confusion"]).sum(axis=1), strict=True))
        block = 64 * 96 // 32 * 2  # pixels of a block in two resized frames
        assert true["bus"] == block if classes == 19 else "bus" not in true
        assert (true["car"], true["road"]) == (2 * block, block)
