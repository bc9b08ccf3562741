"""Bundles of scores with a state: what is in the graph, the manifest and the parity gate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from owseg.bundle import load_bundle
from owseg.cli import main
from owseg.datasets import Truth, load_truth_map, open_dataset
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.errors import BundleError, UsageError
from owseg.types import IGNORE_ID
from owseg_export import fitted as fitted_module
from owseg_export.ahead import random_state
from owseg_export.bench_peers import _score
from owseg_export.calibrate import frames
from owseg_export.fitted import check_stored, fingerprint, fit_scores, gather_cells
from owseg_export.parity import check_parity
from owseg_export.trained import TrainedNetwork, load_trained
from owseg_export.unclipped import check_unclipped
from owseg_training.models import BACKBONES
from owseg_training.models.layers import conv_bn_relu
from owseg_training.scorers import FITTED_SCORERS, CalibratedScore, Calibration, density, knn

SIZE = (64, 96)
NAMES = tuple(FITTED_SCORERS)
Frames = list[tuple[np.ndarray, Truth]]


class Small(nn.Module):
    """Two layers: most of the time of an export is the tracing of the network.

    At stride 2 the few images have cells enough to fill a bank and to leave most of them out.
    """

    stride, out_channels = 2, 16
    BRANCH = ("last",)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv_bn_relu(3, 16, 3, 2), conv_bn_relu(16, 16)

    def trunk(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.first(x),)

    def branch(self, features: tuple[Tensor, ...]) -> Tensor:
        return self.last(features[0])


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Add a small backbone, and let the fit of the flow end early."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "small", lambda config: Small())
        patch.setattr(density, "STEPS", 30)
        patch.setattr(density, "BATCH", 256)
        yield


@pytest.fixture(scope="module")
def checkpoint(
    write_checkpoint: Callable[[Path, str, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("runs") / "metric.pt", "metric", "small")


@pytest.fixture(scope="module")
def softmax_checkpoint(
    write_checkpoint: Callable[[Path, str, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("runs") / "softmax.pt", "softmax", "small")


@pytest.fixture(scope="module")
def trained(checkpoint: Path) -> TrainedNetwork:
    return load_trained(checkpoint)


@pytest.fixture(scope="module")
def networks(trained: TrainedNetwork, softmax_checkpoint: Path) -> dict[str, TrainedNetwork]:
    """Return the network of each score: softmax for the density, metric for the others."""
    softmax = load_trained(softmax_checkpoint)
    return {name: softmax if name == "density" else trained for name in NAMES}


@pytest.fixture(scope="module")
def data(trained: TrainedNetwork, camvid_tree: Path) -> Frames:
    four = load_truth_map(trained.checkpoint.recipe.data.truth_map)
    reader = open_dataset("camvid", camvid_tree, "train")
    return list(frames(reader, four, trained.class_names, SIZE))


@pytest.fixture(scope="module")
def bundles(
    checkpoint: Path,
    softmax_checkpoint: Path,
    camvid_tree: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    for name in NAMES:
        source = softmax_checkpoint if name == "density" else checkpoint
        argv = ["export", source, "--root", camvid_tree, "--score", name]
        assert main([*map(str, argv), "--out", str(folder / f"{name}.onnx")]) == 0
    return {name: folder / f"{name}.onnx" for name in NAMES}


def score_of(bundle: Path, state: nn.Module) -> CalibratedScore:
    """Return the score of a bundle with a state."""
    score = load_bundle(bundle).manifest.score
    name = score["method"]
    constants = {name: Calibration(**score["constants"][name])}
    return CalibratedScore(name, "constant", constants, fitted=state)


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_computes_the_fitted_score(
    name: str, bundles: dict[str, Path], networks: dict[str, TrainedNetwork], data: Frames
) -> None:
    """The state is fitted here again, and the score computed in torch from the plain network."""
    trained = networks[name]
    manifest = load_bundle(bundles[name]).manifest
    assert manifest.provenance["parity"]["score"] < 2e-4
    assert manifest.provenance["parity"]["unclipped"] < 1e-5
    states, cells = fit_scores(trained, iter(data), (name,))
    noted = manifest.score["state"]
    assert (noted["cells"], noted["sha256"]) == (cells, fingerprint(states[name]))
    assert noted["data"] == "four, camvid train, 4 images"
    score = score_of(bundles[name], states[name])
    with OnnxRuntimeEngine(load_bundle(bundles[name]), "cpu", threads=1) as engine:
        assert engine.heads == "graph"
        assert f"'{name}'" in engine.note
        for image, _ in data:
            found = engine.infer(image[None], PrototypeSlots.empty(manifest), 0.5)["anomaly"]
            expected = score(trained.evidence(torch.from_numpy(image[None]))).numpy()
            assert expected.std() > 0.005
            np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_scored_image_by_image(
    name: str, bundles: dict[str, Path], data: Frames
) -> None:
    images = np.stack([image for image, _ in data[:3]])
    with OnnxRuntimeEngine(load_bundle(bundles[name]), "cpu", threads=1) as engine:
        slots = PrototypeSlots.empty(engine.manifest)
        together = engine.infer(images, slots, 0.5)["anomaly"]
        alone = [engine.infer(image[None], slots, 0.5)["anomaly"][0] for image in images]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_is_stored_as_it_was_fitted(name: str, bundles: dict[str, Path]) -> None:
    """The fingerprint of the manifest is that of the constants of the graph."""
    model = onnx.load(str(bundles[name]))
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    prefix = "score.fitted."
    names = sorted(key.removeprefix(prefix) for key in stored if key.startswith(prefix))
    assert names
    digest = hashlib.sha256()
    for key in names:
        digest.update(key.encode() + stored[prefix + key].astype("<f4").tobytes())
    noted = load_bundle(bundles[name]).manifest.score["state"]
    assert noted["sha256"] == digest.hexdigest()
    assert noted["values"] == sum(stored[prefix + key].size for key in names)


def test_fingerprints_tell_states_apart() -> None:
    one, two = (random_state("knn", classes, 4) for classes in (3, 4))
    assert one is not None
    assert two is not None
    assert fingerprint(one) == fingerprint(random_state("knn", 3, 4) or one)
    assert fingerprint(one) != fingerprint(two)


def test_the_parity_gate_notices_another_state(
    bundles: dict[str, Path], trained: TrainedNetwork, data: Frames
) -> None:
    states, _ = fit_scores(trained, iter(data[:1]), ("mahalanobis",))
    other = score_of(bundles["mahalanobis"], states["mahalanobis"])
    with (
        OnnxRuntimeEngine(load_bundle(bundles["mahalanobis"]), "cpu", threads=1) as engine,
        pytest.raises(BundleError, match="differs from torch: score map"),
    ):
        check_parity(trained, other, engine, data)


def test_the_gate_notices_one_wrong_embedding_of_a_full_bank(
    bundles: dict[str, Path], trained: TrainedNetwork, data: Frames, tmp_path: Path
) -> None:
    """It decides so few pixels that the mean of the score map does not show it."""
    states, _ = fit_scores(trained, iter(data), ("knn",))
    score, model = score_of(bundles["knn"], states["knn"]), onnx.load(str(bundles["knn"]))
    check_stored(model, states["knn"])
    assert check_unclipped(trained, score, model, data) < 1e-5
    (rows,) = [t for t in model.graph.initializer if t.name.endswith("nearest.rows")]
    bank = numpy_helper.to_array(rows).copy()
    assert len(bank) == knn.BANK == 512
    bank[100] *= np.float32(1.05)
    rows.CopyFrom(numpy_helper.from_array(bank, rows.name))
    with pytest.raises(BundleError, match=r"does not hold 'nearest\.rows' of the fitted score"):
        check_stored(model, states["knn"])
    with pytest.raises(BundleError, match=r"differs from torch by .* \(limit 0\.0001\)"):
        check_unclipped(trained, score, model, data)
    onnx.save(model, str(tmp_path / "wrong.onnx"))
    with OnnxRuntimeEngine(load_bundle(tmp_path / "wrong.onnx"), "cpu", threads=1) as engine:
        check_parity(trained, score, engine, data)


def test_what_is_clipped_is_compared_too(
    bundles: dict[str, Path], trained: TrainedNetwork, data: Frames
) -> None:
    """With constants that clip every pixel all graphs agree, but for the score before that."""
    model = onnx.load(str(bundles["mahalanobis"]))
    states, _ = fit_scores(trained, iter(data), ("mahalanobis",))
    score = score_of(bundles["mahalanobis"], states["mahalanobis"])
    low, high = (getattr(score.calibrations["mahalanobis"], n) for n in ("low", "high"))
    score.calibrations = {"mahalanobis": Calibration(low=low, high=high + (high - low) / 1000)}
    with pytest.raises(BundleError, match="differs from torch by"):
        check_unclipped(trained, score, model, data)


def test_cells_have_the_class_of_the_pixel_in_their_middle(
    trained: TrainedNetwork, data: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitted_module, "CELLS_PER_IMAGE", 10**6)
    cells = gather_cells(trained, iter(data))
    stride = trained.network.stride
    expected = [t.known[stride // 2 :: stride, stride // 2 :: stride].ravel() for _, t in data]
    known = np.concatenate(expected)
    counts = np.bincount(known[known != IGNORE_ID], minlength=4)
    np.testing.assert_array_equal(np.bincount(cells.labels.numpy(), minlength=4), counts)
    near = ((cells.embedding[:, None] - trained.network.prototypes) ** 2).sum(dim=2)
    torch.testing.assert_close(-cells.logits, near, rtol=1e-4, atol=1e-3)


def test_without_known_pixels_there_is_one_clear_line(
    trained: TrainedNetwork, data: Frames
) -> None:
    image, truth = data[0]
    void = Truth(
        known=np.full_like(truth.known, IGNORE_ID), anomaly=truth.anomaly, valid=truth.valid
    )
    with pytest.raises(UsageError, match="no image has a pixel of a known class"):
        fit_scores(trained, iter([(image, void)]), ("knn",))


def test_scores_without_a_state_do_not_look_at_the_data(trained: TrainedNetwork) -> None:
    def explode() -> object:
        raise AssertionError
        yield

    assert fit_scores(trained, explode(), ("eds", "msp")) == ({}, 0)  # type: ignore[arg-type]


def test_torch_cannot_be_timed_without_the_state(bundles: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="torch cannot compute the score 'knn'"):
        _score(load_bundle(bundles["knn"]).manifest)


def test_a_score_that_is_none_is_refused_before_the_work(
    checkpoint: Path, camvid_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["export", checkpoint, "--root", camvid_tree, "--score", "near"]
    assert main([*map(str, argv), "--out", str(tmp_path / "x.onnx")]) == 2
    assert "no anomaly score 'near'; there are msp" in capsys.readouterr().err
