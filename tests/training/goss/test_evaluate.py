"""Overlap of partitions against a slow reference; thresholds and scores of the methods."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from owseg.connectivity import connected_segments
from owseg.datasets import load_truth_map
from owseg.grouping import connected_components
from owseg.types import UNKNOWN_ID
from owseg_training.config import NetworkConfig, Recipe
from owseg_training.goss.evaluate import Figures, SegmentOverlap
from owseg_training.goss.groupings import StoredClusters
from owseg_training.goss.methods import (
    ABLATED,
    FITTED,
    METHODS,
    NETWORKS,
    OBJECTS,
    RULES,
    methods_of,
)
from owseg_training.goss.scores import evidence_of, fit_scores, fitted
from owseg_training.models import build_network
from owseg_training.models.dmlnet import NetworkOutput
from owseg_training.recipes import goss
from owseg_training.scorers import Evidence, softmax_evidence

SPLIT = load_truth_map("camvid_a")


def slow_overlap(clusters: np.ndarray, segments: np.ndarray, min_area: int) -> float:
    values = []
    for s in range(1, segments.max() + 1):
        true = segments == s
        if true.sum() < max(1, min_area):
            continue
        ious = [0.0]
        for c in range(1, clusters.max() + 1):
            found = (clusters == c) & (segments > 0)
            ious.append((found & true).sum() / (found | true).sum())
        values.append(max(ious))
    return float(np.mean(values))


@pytest.mark.parametrize("min_area", [0, 12])
def test_overlap_against_a_slow_reference(min_area: int) -> None:
    rng = np.random.default_rng(0)
    segments = np.kron(rng.integers(0, 6, (5, 6)), np.ones((2, 2))).astype(np.int32)
    clusters = np.where(rng.random(segments.shape) < 0.7, segments, rng.integers(0, 8, (10, 12)))
    overlap = SegmentOverlap(min_area)
    assert overlap.compute() is None
    overlap.update(clusters.astype(np.uint16), segments)
    expected = slow_overlap(clusters, segments, min_area)
    assert overlap.compute() == pytest.approx(expected)
    overlap.update(segments.astype(np.uint16), segments)  # a perfect image: the mean over segments
    count = sum((segments == s).sum() >= max(1, min_area) for s in range(1, segments.max() + 1))
    assert overlap.compute() == pytest.approx((expected * count + count) / (2 * count))


def test_pixels_without_a_cluster_match_nothing() -> None:
    overlap = SegmentOverlap()
    overlap.update(np.zeros((4, 4), np.uint16), np.ones((4, 4), np.int32))
    assert overlap.compute() == 0.0


# Scores -----------------------------------------------------------------------------------------


def pixels(count: int = 4000, channels: int = 5, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(1, channels, 1, count, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["msp", "max_logit"])
def test_thresholds_leave_their_share_above_and_nothing_is_cut_off(name: str) -> None:
    evidence = Evidence(pixels(), None)
    method = METHODS[name]
    from owseg_training.scorers import get_scorer

    score = fitted(method, get_scorer(method.score)(evidence).flatten())
    shares = {rule: float(unknown.float().mean()) for rule, unknown in score.unknown(evidence)}
    assert shares["fpr_5"] == pytest.approx(0.05, abs=1e-3)
    assert shares["fpr_1"] == pytest.approx(0.01, abs=1e-3)
    far = Evidence(pixels(seed=1) * 0.3, None)  # beyond what was seen in training
    values = score.score(far)
    assert 0 < float(values.min()) < float(values.max()) < 1


def test_thresholds_see_known_pixels_only() -> None:
    """The red of a pixel is its second logit: the redder, the less certain up to one half."""

    class Red(nn.Module):
        head, unknown = "softmax", False

        def forward(self, x: torch.Tensor) -> NetworkOutput:
            return NetworkOutput(torch.cat([x[:, :1] * 0 + 1, x[:, :1]], dim=1), x[:, :2])

    class Drive:
        def load(self) -> tuple[np.ndarray, np.ndarray]:
            labels = np.zeros((20, 30), np.uint8)
            labels[:10], labels[10:12] = 8, 11  # car, which is held out, and void
            red = np.where(labels > 0, 255, np.arange(30) * 5)
            return np.stack([red] * 3, axis=-1).astype(np.uint8), labels

    found = fit_scores(Red(), [Drive()], SPLIT, (20, 30), ["msp"], torch.device("cpu"))["msp"]  # type: ignore[arg-type,list-item]
    reds = torch.arange(30).repeat(8) * 5 / 255
    raw = 1 - torch.stack([torch.ones_like(reds), reds]).softmax(dim=0).amax(dim=0)
    for rule, share in FITTED.items():
        expected = found.scale.apply(raw.quantile(1 - share))
        assert found.thresholds[rule] == pytest.approx(float(expected), abs=1e-4)


def test_half_is_the_score_as_printed() -> None:
    evidence = Evidence(pixels(), None)
    raw = torch.zeros(10).index_fill(0, torch.tensor([0]), 1.0)
    rules = dict(fitted(METHODS["msp"], raw).unknown(evidence))
    torch.testing.assert_close(rules["half"], evidence.logits.softmax(dim=1).amax(dim=1) < 0.5)
    best = evidence.logits.amax(dim=1)
    middle = (best.min() + best.max()) / 2
    rules = dict(fitted(METHODS["max_logit"], raw).unknown(evidence))
    torch.testing.assert_close(rules["half"], best < middle)


def test_the_unknown_class_wins_at_half_and_sooner_when_adjusted() -> None:
    logits = pixels()
    evidence = softmax_evidence(logits, unknown=True)
    raw = torch.rand(100, generator=torch.Generator().manual_seed(0))
    plain = dict(fitted(METHODS["n_plus_1"], raw).unknown(evidence))["half"]
    adjusted = dict(fitted(METHODS["gst"], raw).unknown(evidence))["half"]
    torch.testing.assert_close(plain, logits.argmax(dim=1) == 4)
    scaled = logits.softmax(dim=1) * torch.tensor([1.0, 1, 1, 1, goss.BETA])[:, None, None]
    torch.testing.assert_close(adjusted, scaled.argmax(dim=1) == 4)


def test_every_method_has_a_network_and_every_network_a_method() -> None:
    assert {method.network for method in METHODS.values()} | {"separate"} == set(NETWORKS)
    assert methods_of("separate") == methods_of("softmax") == ABLATED
    base = goss.camvid_goss_tiny()
    made: dict[str, Recipe] = {name: make(base) for name, make in NETWORKS.items()}
    for name, method in METHODS.items():
        network = made[method.network].network
        assert network.unknown == (method.score == "n_plus_1"), name
        assert (network.head == "metric") == (method.score == "eds"), name
    assert made["separate"].network.strategy == "separate"
    assert made["contrast"].loss.contrast == made["gst"].loss.contrast == 0.01
    assert {made[n].loss.contrast for n in ("softmax", "metric", "n_plus_1", "separate")} == {0.0}


@pytest.mark.parametrize("head", ["softmax", "metric"])
def test_evidence_is_at_the_resolution_of_the_image(head: str) -> None:
    network = build_network(NetworkConfig(backbone="fast_scnn", head=head), 4).eval()  # type: ignore[arg-type]
    nn.init.normal_(network.embed.weight)
    x = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        evidence, direction = evidence_of(network, x)
        f = network(x).embedding
    assert direction.shape == (1, 2, 4, 6)
    values = f
    if head == "metric":
        values = -((f[:, None] - network.prototypes[None, :, :, None, None]) ** 2).sum(dim=2)
    expected = nn.functional.interpolate(values, (32, 48), mode="bilinear")
    torch.testing.assert_close(evidence.logits, expected, rtol=1e-4, atol=1e-4)


# Groupings and figures --------------------------------------------------------------------------


def test_stored_clusters_are_made_once_and_cut_to_the_mask(tmp_path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    calls = []

    def cluster(given: np.ndarray) -> np.ndarray:
        calls.append(given.shape)
        found = np.zeros((40, 60), np.uint8)
        found[:, 30:] = 7
        return found

    group = StoredClusters(tmp_path / "dfc", cluster)
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 20:40], mask[30:35, :10] = UNKNOWN_ID, UNKNOWN_ID
    field = np.zeros((2, 5, 8), np.float32)
    for _ in range(2):
        ids = group("a/b", image, mask, field)
    assert len(calls) == 1
    assert (ids[mask == 0] == 0).all()
    parts = [ids[5:15, 20:30], ids[5:15, 30:40], ids[30:35, :10]]
    assert [len(np.unique(part)) for part in parts] == [1, 1, 1]
    assert {int(part[0, 0]) for part in parts} == {1, 2, 3}
    (tmp_path / "dfc" / "a" / "b.png").write_bytes(b"damaged")
    with pytest.raises(Exception, match="is no map of the clusters of a/b; remove it"):
        group("a/b", image, mask, field)


@pytest.mark.parametrize("name", ["camvid_a", "camvid_b"])
def test_a_perfect_network_scores_one_everywhere(name: str) -> None:
    split, rng = load_truth_map(name), np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 12, (3, 4)), np.ones((16, 16))).astype(np.uint8)
    labels[16:32, 16:32], labels[16:32, 24:32], labels[:, 60:] = 8, 9, 11
    # a car that touches a pedestrian, and void: unknown segments are of one class
    truth = split.apply(labels, split.known_names)
    count = len(split.known_names)
    logits = torch.zeros(1, count, *labels.shape)
    known = torch.from_numpy(np.where(truth.known < count, truth.known, 0).astype(np.int64))
    logits.scatter_(1, known[None, None], 20.0)
    logits[:, :, torch.from_numpy(truth.anomaly)] = 0.0

    def oracle(name: str, image: np.ndarray, mask: np.ndarray, direction: np.ndarray):
        return connected_segments(labels, (mask == UNKNOWN_ID) & truth.valid).astype(np.uint16)

    raw = 1 - torch.linspace(0.2, 1.0, 50)
    smallest = {("msp", rule): 1 for rule in OBJECTS}
    figures = Figures(split, {"msp": fitted(METHODS["msp"], raw)}, oracle, smallest)
    image = np.zeros((*labels.shape, 3), np.uint8)
    evidence = Evidence(logits, None)
    figures.add("one", image, labels, evidence, np.zeros((2, 12, 16), np.float32))
    found = figures.as_dict()
    assert found["miou"] == 1.0
    assert found["clusters"]["strict"] == {"gq": 1.0, "miou": 1.0}
    method = found["methods"]["msp"]
    assert method["anomaly"] == {"auroc": 1.0, "aupr": 1.0, "fpr95": 0.0}
    assert set(method["rules"]) == set(RULES)
    assert method["rules"]["half"]["threshold"] == 0.5
    assert method["rules"]["half"]["strict"] == {"gq": 1.0, "gq_known": 1.0, "gq_unknown": 1.0}


def test_small_objects_are_known_again_for_the_rules_that_say_so() -> None:
    """A car of 10x10 pixels and a false object of 3x3; only the larger rule drops the false one."""
    labels = np.full((40, 60), 3, np.uint8)
    labels[10:20, 10:20] = 8
    truth = SPLIT.apply(labels, SPLIT.known_names)
    unknown = truth.anomaly.copy()
    unknown[30:33, 40:43] = True
    count = len(SPLIT.known_names)
    logits = torch.zeros(1, count, *labels.shape)
    logits[:, 3] = torch.where(torch.from_numpy(unknown), 1e-3, 20.0)

    def components(name: str, image: np.ndarray, mask: np.ndarray, direction: np.ndarray):
        return connected_components(mask, 0.0)

    score = fitted(METHODS["msp"], torch.linspace(0.0, 0.5, 50))
    image = np.zeros((*labels.shape, 3), np.uint8)
    field = np.zeros((2, 10, 15), np.float32)
    for smallest, expected in ((10, 1.0), (101, 0.0)):
        figures = Figures(SPLIT, {"msp": score}, components, {("msp", "objects"): smallest})
        figures.add("one", image, labels, Evidence(logits, None), field)
        rules = figures.as_dict()["methods"]["msp"]["rules"]
        plain, larger = rules["fpr_1"], rules["objects"]
        assert plain["strict"]["gq_unknown"] == pytest.approx(1 / 1.5)
        assert larger["strict"]["gq_unknown"] == expected
        assert larger["smallest"] == smallest
        assert larger["threshold"] == plain["threshold"]
        better = larger["strict"]["gq_known"] > plain["strict"]["gq_known"]
        assert better == (smallest == 10)  # without the false object, and with all as road


def test_figures_of_whole_images_are_left_out_where_they_mean_nothing() -> None:
    labels = np.full((10, 20), 3, np.uint8)

    def never(name: str, image: np.ndarray, mask: np.ndarray, direction: np.ndarray):
        raise AssertionError

    figures = Figures(SPLIT, {}, never, {}, partition=False)
    evidence = Evidence(torch.zeros(1, len(SPLIT.known_names), *labels.shape), None)
    image = np.zeros((*labels.shape, 3), np.uint8)
    figures.add("one", image, labels, evidence, np.zeros((2, 4, 10), np.float32))
    assert figures.as_dict()["clusters"]["strict"] == {"gq": None, "miou": None}


def test_partitions_are_judged_by_the_segments_of_all_classes() -> None:
    labels = np.repeat([0, 8, 3, 11], 20)[None].repeat(30, axis=0).astype(np.uint8)
    truth = SPLIT.apply(labels, SPLIT.known_names)  # sky, car, road, void

    def of_the_car(name: str, image: np.ndarray, mask: np.ndarray, direction: np.ndarray):
        return truth.anomaly.astype(np.uint16)

    figures = Figures(SPLIT, {}, of_the_car, {})
    evidence = Evidence(torch.zeros(1, len(SPLIT.known_names), *labels.shape), None)
    image = np.zeros((*labels.shape, 3), np.uint8)
    figures.add("one", image, labels, evidence, np.zeros((2, 4, 10), np.float32))
    found = figures.as_dict()["clusters"]["strict"]
    assert found["miou"] == pytest.approx(1 / 3)  # one of three segments is found
    assert found["gq"] == pytest.approx(1 / (1 + 2 / 2))
