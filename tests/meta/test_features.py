"""Features of unknown objects: hand-worked, against a slow reference, and at the edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from owseg.meta.features import feature_names, measure

CLASSES = ("road", "tree", "sky")
NAMES = feature_names(CLASSES)


def named(row) -> dict[str, float]:
    return dict(zip(NAMES, row.tolist(), strict=True))


def slow(clusters, anomaly, known, number) -> dict[str, float]:
    """Measure one object with a mask of its own."""
    height, width = clusters.shape
    own = clusters == number
    padded = np.pad(clusters, 1, mode="edge")
    around = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    border = own & np.any([a != clusters for a in around], axis=0)
    others = (clusters > 0) & ~own
    reach = cv2.dilate(clusters, np.ones((5, 5), np.uint8))
    ring = (reach == number) & (clusters == 0)
    assert not (ring & others).any()
    rows, columns = np.nonzero(own)
    box = np.ptp(columns) + 1, np.ptp(rows) + 1
    core = own & ~border
    shares = {name: np.mean(known[own] == i) for i, name in enumerate(CLASSES)}
    near = {name: np.mean(known[ring] == i) if ring.any() else 0 for i, name in enumerate(CLASSES)}

    def entropy(parts, rest):
        values = np.array([*parts.values(), rest])
        values = values[values > 1e-12]
        return -(values * np.log(values)).sum()

    def stats(mask):
        return (anomaly[mask].mean(), anomaly[mask].std()) if mask.any() else (0.0, 0.0)

    scores = [*stats(own), anomaly[own].max(), *stats(core), *stats(border), *stats(ring)]
    return dict(
        zip(
            NAMES,
            [
                np.log(own.sum() / own.size),
                border.sum() / own.sum(),
                own.sum() / border.sum() ** 2 if border.any() else own.sum(),
                box[0] / width,
                box[1] / height,
                own.sum() / (box[0] * box[1]),
                (columns.mean() + 0.5) / width,
                (rows.mean() + 0.5) / height,
                *scores,
                scores[0] - scores[7],
                entropy(shares, 1 - sum(shares.values())),
                entropy(near, 1 - sum(near.values())) if ring.any() else 0.0,
                *shares.values(),
                *near.values(),
            ],
            strict=True,
        )
    )


@pytest.mark.parametrize("seed", range(6))
def test_against_the_slow_one(seed) -> None:
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.random((30, 44)).astype(np.float32), (0, 0), 2)
    mask = (noise > np.quantile(noise, 0.75)).view(np.uint8)
    count, clusters = cv2.connectedComponents(mask, ltype=cv2.CV_16U)
    anomaly = rng.random((30, 44)).astype(np.float32)
    known = rng.choice(np.array([0, 1, 2, 7, 255], np.uint8), (30, 44))
    found = measure(clusters, anomaly, known, 3)
    assert found.shape == (count - 1, len(NAMES))
    assert found.dtype == np.float32
    for number in range(1, count):
        expected = slow(clusters, anomaly, known, number)
        assert named(found[number - 1]) == pytest.approx(expected, abs=2e-5)


def test_by_hand() -> None:
    clusters = np.zeros((10, 20), np.uint16)
    clusters[4:8, 5:11] = 1
    anomaly = np.full((10, 20), 0.2, np.float32)
    anomaly[4:8, 5:11] = 0.8
    anomaly[5:7, 6:10] = 1.0
    known = np.zeros((10, 20), np.uint8)
    known[:, 10:] = 2
    found = named(measure(clusters, anomaly, known, 3)[0])
    assert found["log_area"] == pytest.approx(np.log(24 / 200))
    assert found["border_share"] == pytest.approx(16 / 24)
    assert (found["box_width"], found["box_height"]) == pytest.approx((6 / 20, 4 / 10))
    assert found["box_fill"] == 1.0
    assert (found["column"], found["row"]) == pytest.approx((8 / 20, 6 / 10))
    assert found["score_inside"] == pytest.approx(1.0)
    assert found["score_border"] == pytest.approx(0.8)
    assert found["score_around"] == pytest.approx(0.2)
    assert found["score_step"] == pytest.approx((16 * 0.8 + 8) / 24 - 0.2)
    assert (found["share road"], found["share sky"]) == pytest.approx((20 / 24, 4 / 24))


def test_nothing_and_gaps() -> None:
    shape = (6, 8)
    anomaly, known = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    assert measure(np.zeros(shape, np.uint16), anomaly, known, 3).shape == (0, len(NAMES))
    clusters = np.zeros(shape, np.uint16)
    clusters[0, 0] = 3
    found = measure(clusters, anomaly, known, 3)
    assert found.shape == (3, len(NAMES))
    assert not found[:2].any()
    assert named(found[2])["share road"] == 1.0
    # the whole image: nothing around it
    whole = named(measure(np.ones(shape, np.uint16), anomaly + 1, known, 3)[0])
    assert whole["score_around"] == 0.0
    assert whole["border_share"] == 0.0
    assert np.isfinite(list(whole.values())).all()
