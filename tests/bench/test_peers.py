"""Loading what other packages compare with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from owseg.bench import peers as module
from owseg.bench.peers import PEERS, load_peers
from owseg.errors import MissingDependencyError


def installed(monkeypatch, *loads):
    entries = [SimpleNamespace(name=f"entry{i}", load=load) for i, load in enumerate(loads)]

    def entry_points(group):
        assert group == PEERS == "owseg.bench_peers"
        return entries

    monkeypatch.setattr(module, "entry_points", entry_points)


def test_the_entry_is_what_is_used(monkeypatch):
    found = object()
    installed(monkeypatch, lambda: found)
    assert load_peers() is found


def test_none_is_installed(monkeypatch):
    installed(monkeypatch)
    with pytest.raises(MissingDependencyError, match=r"pip install 'owseg_ros\[train\]'"):
        load_peers()


def test_one_that_cannot_be_imported(monkeypatch):
    def load():
        raise ImportError("No module named 'torch'")

    installed(monkeypatch, load)
    with pytest.raises(MissingDependencyError, match=r"needs torch and onnx \(No module"):
        load_peers()
