"""Who can run, who cannot, and what is closed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from owseg.bench import open_contestants
from owseg.engines import FakeEngine
from owseg.errors import BundleError, EngineError, UsageError


class FakePeers:
    def __init__(self):
        self.opened, self.closed = [], []

    def names(self):
        return ("torch", "broken")

    def open(self, name, manifest, checkpoint, device, threads):
        if name == "broken":
            raise EngineError("it is broken")
        self.opened.append((name, manifest.name, checkpoint, device, threads))
        engine = FakeEngine()
        engine.close = lambda: self.closed.append(name)
        return engine


def test_each_model_on_each_engine(tiny_bundle):
    peers = FakePeers()
    said = []
    opened, skipped = open_contestants(
        [tiny_bundle, tiny_bundle],
        ["graph", "torch"],
        device="cpu",
        threads=2,
        peers=peers,
        say=said.append,
    )
    assert [item.name for item in opened] == ["onnxruntime, graph", "torch"] * 2
    assert [item.splits for item in opened] == [True, True] * 2
    assert {item.precision for item in opened} == {"fp32"}
    assert opened[0].size == (24, 32)
    assert opened[0].engine.threads == 2
    assert peers.opened == [("torch", "tiny", None, "cpu", 2)] * 2
    assert skipped == []
    assert said == ["tiny on graph", "tiny on torch"] * 2


def test_what_does_not_run_is_skipped_with_its_reason(tiny_bundle):
    opened, skipped = open_contestants(
        [tiny_bundle], ["fused", "graph", "captured", "broken"], device="cpu", peers=FakePeers()
    )
    assert [item.name for item in opened] == ["onnxruntime, graph"]
    assert [item.name for item in skipped] == ["fused", "captured", "broken"]
    assert "cannot use the fused heads" in skipped[0].reason
    assert "needs CUDA" in skipped[1].reason
    assert skipped[2] == type(skipped[2])(name="broken", model="tiny", reason="it is broken")


def test_strict_ends_with_the_first_that_does_not_run_and_closes_the_others(tiny_bundle):
    peers = FakePeers()
    with pytest.raises(EngineError, match="it is broken"):
        open_contestants([tiny_bundle], ["torch", "broken"], peers=peers, strict=True)
    assert peers.closed == ["torch"]


def test_names_that_do_not_exist(tiny_bundle):
    with pytest.raises(UsageError, match="no engine 'x'; there are fused, graph, captured, tens"):
        open_contestants([tiny_bundle], ["x"])
    with pytest.raises(UsageError, match="no engine 'torch'"):
        open_contestants([tiny_bundle], ["torch"])


def test_bundles_that_cannot_be_used_are_an_error(tmp_path):
    with pytest.raises(BundleError, match="no model at"):
        open_contestants([tmp_path / "m.onnx"], ["graph"])


def test_tensorrt_is_opened_by_its_name(tiny_bundle, monkeypatch):
    from owseg.bench import contestants as module

    asked = []

    def open_engine(*request):
        asked.append(request)
        return SimpleNamespace(manifest=FakeEngine().manifest, close=lambda: None)

    monkeypatch.setattr(module, "open_engine", open_engine)
    opened, _ = open_contestants([tiny_bundle], ["tensorrt"], device="cuda")
    assert asked == [(tiny_bundle, "tensorrt", "cuda")]
    assert not opened[0].splits
