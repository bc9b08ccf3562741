"""Networks in torch beside the runtimes: the same results, stages, bundles for timing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from owseg.bench import load_peers
from owseg.bench import peers as module
from owseg.bundle import OUTPUTS, load_bundle
from owseg.cli import main
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.errors import EngineError, UsageError
from owseg_export.bench_peers import COMPILED, EAGER, PEERS, TorchPeers
from owseg_export.torch_engine import TorchEngine


@pytest.fixture(autouse=True)
def plain_compile(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Leave functions as they are: compiling takes minutes, and is not what is tested."""
    compiled: list[object] = []

    def compile_(function: object) -> object:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    return compiled


@pytest.fixture(autouse=True)
def entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the entry point known, whatever is installed."""

    class Entry:
        name = "torch"

        @staticmethod
        def load() -> TorchPeers:
            return PEERS

    monkeypatch.setattr(module, "entry_points", lambda group: [Entry])


def _request(exported):
    image, _ = exported.frames[0]
    slots = PrototypeSlots.empty(exported.manifest)
    slots.vectors[3], slots.radius[3], slots.valid[3] = 1.0, 5.0, 1.0
    return image[None], slots, 0.4


@pytest.mark.parametrize("name", [EAGER, COMPILED])
@pytest.mark.parametrize("which", ["exported", "exported_softmax"])
def test_with_its_checkpoint_a_network_gives_what_its_bundle_gives(
    name, which, checkpoint, softmax_checkpoint, request, plain_compile
):
    exported = request.getfixturevalue(which)
    path = checkpoint if which == "exported" else softmax_checkpoint
    images, slots, threshold = _request(exported)
    with (
        PEERS.open(name, exported.manifest, path, "cpu", 1) as found,
        OnnxRuntimeEngine(load_bundle(exported.path), "cpu") as engine,
    ):
        assert found.name == name
        a = found.infer(images, slots, threshold, OUTPUTS)
        b = engine.infer(images, slots, threshold, OUTPUTS)
    assert bool(plain_compile) == (name == COMPILED)
    np.testing.assert_allclose(a["anomaly"], b["anomaly"], rtol=0, atol=2e-3)
    np.testing.assert_allclose(a["embedding"], b["embedding"], rtol=1e-2, atol=1e-2)
    for key in ("known", "open_set"):
        assert np.mean(a[key] != b[key]) < 5e-3


def test_asked_for_the_embedding_only_the_network_runs(exported) -> None:
    engine = PEERS.open(EAGER, exported.manifest, None, "cpu", 1)
    assert isinstance(engine, TorchEngine)
    whole = engine.infer(*_request(exported), OUTPUTS)
    assert list(engine.timings_ms) == ["copy in", "graph", "copy out"]
    ran: list[object] = []
    engine._whole = lambda *args: ran.append(args)
    part = engine.infer(*_request(exported), ("embedding",))
    assert not ran
    np.testing.assert_allclose(part["embedding"], whole["embedding"], rtol=1e-5, atol=1e-6)


def test_without_a_checkpoint_the_weights_are_random_but_the_network_the_same(exported) -> None:
    one = PEERS.open(EAGER, exported.manifest, None, "cpu", 1)
    two = PEERS.open(EAGER, exported.manifest, None, "cpu", 1)
    found = one.infer(*_request(exported), OUTPUTS)
    for name, array in two.infer(*_request(exported), OUTPUTS).items():
        np.testing.assert_array_equal(found[name], array)
    assert found["embedding"].shape[1:] == (4, *exported.manifest.grid)


def test_a_bundle_that_does_not_say_its_recipe(exported) -> None:
    manifest = replace(exported.manifest, provenance={})
    with pytest.raises(UsageError, match="does not say of which recipe it is"):
        PEERS.open(EAGER, manifest, None, "cpu", 1)


def test_a_network_with_later_heads(exported) -> None:
    from owseg.types import ClassInfo

    more = ClassInfo(id=4, name="car", color=(1, 2, 3))
    manifest = replace(exported.manifest, classes=(*exported.manifest.classes, more), heads=1)
    engine = PEERS.open(EAGER, manifest, None, "cpu", 1)
    assert isinstance(engine, TorchEngine)
    assert len(engine._graph.network.heads) == 1  # type: ignore[arg-type]


def test_cuda_that_is_not_there(exported, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="this torch has no CUDA"):
        PEERS.open(EAGER, exported.manifest, None, "cuda", 1)


def test_a_compiler_that_fails_is_one_line(exported, monkeypatch) -> None:
    def broken(function):
        def run(*args):
            raise ValueError("no\n  compiler")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(EngineError, match=r"torch\.compile failed on 'camvid_tiny': no compiler$"):
        PEERS.open(COMPILED, exported.manifest, None, "cpu", 1)


@pytest.mark.parametrize(
    ("recipe", "method"), [("camvid_fast_scnn", "eds"), ("camvid_softmax", "msp")]
)
def test_a_recipe_becomes_a_bundle_of_the_wanted_size(recipe, method, tmp_path) -> None:
    out = tmp_path / "m.onnx"
    load_peers().bundle(recipe, None, (64, 96), out)
    manifest = load_bundle(out).manifest
    assert (manifest.name, manifest.height, manifest.width) == (recipe, 64, 96)
    assert manifest.score["method"] == method
    assert len(manifest.classes) == 10
    with OnnxRuntimeEngine(load_bundle(out), "cpu") as engine:
        found = engine.infer(
            np.zeros((1, 64, 96, 3), np.uint8), PrototypeSlots.empty(manifest), 0.5
        )
        assert engine.heads == "fused", engine.note
    assert found["known"].shape == (1, 64, 96)


def test_a_checkpoint_becomes_a_bundle_with_its_weights(checkpoint, exported, tmp_path) -> None:
    out = tmp_path / "m.onnx"
    PEERS.bundle(None, checkpoint, None, out)
    image = exported.frames[0][0][None]
    embeddings = []
    for path in (out, exported.path):
        with OnnxRuntimeEngine(load_bundle(path), "cpu") as engine:
            slots = PrototypeSlots.empty(engine.manifest)
            embeddings.append(engine.infer(image, slots, 0.5, ("embedding",))["embedding"])
    np.testing.assert_allclose(*embeddings, rtol=1e-3, atol=1e-3)
    with pytest.raises(UsageError, match="is of the recipe 'camvid_tiny', not 'camvid_small'"):
        PEERS.bundle("camvid_small", checkpoint, None, out)


def test_the_command_compares_in_one_run(checkpoint: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "speed.json"
    argv = ["bench", "--checkpoint", checkpoint, "--frames", 2, "--device", "cpu", "--json", file]
    assert main([str(a) for a in argv]) == 0
    rows = json.loads(file.read_text())["results"]
    assert [row["engine"] for row in rows] == [
        "onnxruntime, fused",
        "onnxruntime, graph",
        "torch",
        "torch.compile",
    ]
    assert all({"network", "heads", "grouping"} <= set(row["stages_ms"]) for row in rows)
    assert "torch.compile" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--recipe", "odin"), "no recipe 'odin'"),
        (("--checkpoint", "none.pt"), "no checkpoint at none.pt"),
    ],
)
def test_mistakes_are_one_line(options, says, capsys) -> None:
    assert main(["bench", *options]) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
