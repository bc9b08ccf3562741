"""Drawing shots, and the manifests they are repeated from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from owseg.datasets import CAMVID11
from owseg.errors import DatasetError, InputError, UsageError
from owseg_training.incremental.draws import Draws
from owseg_training.incremental.shots import (
    ShotManifest,
    class_shares,
    draw_shots,
    load_manifest,
    load_shots,
    save_manifest,
)

SHARES = (0.0, 0.02, 0.04, 0.06, 0.10, 0.20, 0.30, 0.05)
"""Share of cars in the images im0, im1, ..."""


@dataclass
class StripedSample:
    """100 rows, of which the first ones show a car."""

    name: str
    share: float

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        labels = np.zeros((100, 8), np.uint8)
        labels[: round(100 * self.share)] = CAMVID11.id_of("car")
        image = np.repeat(labels[..., None] * 20, 3, axis=2).astype(np.uint8)
        return image, labels


class StripedReader:
    """A training split in memory."""

    name, split, label_space = "camvid", "train", CAMVID11

    def __init__(self, shares: tuple[float, ...] = SHARES) -> None:
        self.samples = [StripedSample(f"im{i}", share) for i, share in enumerate(shares)]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Any:
        return iter(self.samples)


READER = StripedReader()


def draw(shots: int, seed: int = 0, reader: StripedReader = READER) -> ShotManifest:
    return draw_shots(reader, class_shares(reader), "car", shots, seed)


def test_shares_are_those_of_the_labels() -> None:
    found = class_shares(READER)
    np.testing.assert_allclose(found[:, CAMVID11.id_of("car")], SHARES, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)


def test_shots_have_the_class_on_more_than_5_percent() -> None:
    drawn = {name for seed in range(20) for name in draw(2, seed).images}
    assert drawn == {"im3", "im4", "im5", "im6"}
    assert not draw(4).fallback


def test_draws_differ_by_seed_and_are_repeatable_and_nested() -> None:
    assert draw(3, 1) == draw(3, 1)
    assert len({draw(2, seed).images for seed in range(12)}) > 4
    for seed in range(5):
        assert draw(4, seed).images[:2] == draw(2, seed).images
        assert len(set(draw(4, seed).images)) == 4


def test_too_few_large_ones_fall_back_to_the_largest() -> None:
    small = StripedReader((0.0, 0.01, 0.02, 0.03, 0.06, 0.04) + (0.01,) * 10)
    found = draw_shots(small, class_shares(small), "car", 2, 0)
    assert found.fallback
    drawn = {name for seed in range(60) for name in draw(2, seed, small).images}
    assert len(drawn) == 8  # four for each shot
    assert {"im2", "im3", "im4", "im5"} <= drawn
    assert "im0" not in drawn
    one = draw(1, 0, small)
    assert (one.images, one.fallback) == (("im4",), False)


def test_too_few_images_of_the_class() -> None:
    with pytest.raises(DatasetError, match=r"8 shots of 'car' wanted, but .* it in 7 images"):
        draw(8)


def test_manifest_round_trip(tmp_path: Path) -> None:
    manifest = draw(3, 2)
    path = save_manifest(manifest, tmp_path)
    assert path.name == "car_3shot_seed2.json"
    assert load_manifest(path) == manifest
    raw = json.loads(path.read_text())
    assert (raw["images"], raw["seed"]) == (list(manifest.images), 2)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"images": ["im3"]},
        {"images": ["im3", "im3", "im4"]},
        {"moon": 1},
        {"images": 5},
    ],
)
def test_damaged_manifests(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"schema": 1, **asdict(draw(3)), **change}))
    with pytest.raises(InputError, match="is not a readable shot manifest") as caught:
        load_manifest(path)
    assert "\n" not in str(caught.value)


def test_missing_and_foreign_manifest_files(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("hello")
    for name in ("none.json", "text.json"):
        with pytest.raises(InputError, match=f"{name} is not a readable shot manifest"):
            load_manifest(tmp_path / name)


def test_loaded_shots_show_the_class_alone_at_the_size_of_the_network() -> None:
    manifest = replace(draw(2), images=("im5", "im4"))
    first, second = load_shots(READER, manifest, (50, 16))
    assert first.image.shape == (50, 16, 3)
    for shot, rows in ((first, 10), (second, 5)):
        assert (shot.mask[:rows] == 1).all()
        assert (shot.mask[rows:] == 0).all()
        assert shot.mask.dtype == np.uint8


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": ("im5", "gone")}, "shot 'gone' is not in camvid train"),
        ({"images": ("im5", "im0")}, "shot 'im0' does not show 'car'"),
        ({"split": "val"}, "come from camvid val, not from camvid train"),
        ({"dataset": "kitti"}, "come from kitti train, not from camvid train"),
    ],
)
def test_manifests_of_something_else(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        load_shots(READER, replace(draw(2), **change), (50, 16))


def test_a_run_keeps_its_shots_and_takes_given_ones_before_it_draws(tmp_path: Path) -> None:
    own, given = tmp_path / "own", tmp_path / "given"
    own.mkdir()
    given.mkdir()
    first = Draws(READER, own).get("car", 2, 0)
    assert first == draw(2, 0)
    other = replace(first, images=("im5", "im6"))
    save_manifest(other, given)
    with pytest.raises(UsageError, match=r"has other shots than .*given; choose another --out"):
        Draws(READER, own, given).get("car", 2, 0)
    (own / first.file_name).unlink()
    for _ in range(2):
        assert Draws(READER, own, given).get("car", 2, 0) == other
    assert load_manifest(own / first.file_name) == other


def test_a_manifest_must_be_what_its_name_says(tmp_path: Path) -> None:
    path = save_manifest(draw(2, 0), tmp_path)
    path.rename(tmp_path / "car_2shot_seed1.json")
    with pytest.raises(InputError, match="is about 2 shots of 'car' with seed 0; its name says"):
        Draws(READER, tmp_path).get("car", 2, 1)
