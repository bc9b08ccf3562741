"""The comparison of fused heads with a graph: what passes, and what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from owseg.engines.heads import FusedHeads, head_spec
from owseg.engines.heads.proof import prove

EDS = {"method": "eds", "form": "constant", "constants": {"eds": {"low": -60.0, "high": -18.0}}}


@pytest.fixture
def manifest(tiny_manifest):
    return replace(tiny_manifest, score=EDS)


class Graph:
    """Plays a graph: an embedding from colours, heads that can be changed."""

    def __init__(self, manifest, scale=4.0, change=lambda arrays: None):
        self.manifest, self.scale, self.change = manifest, scale, change
        self.heads = FusedHeads(head_spec(manifest), (manifest.height, manifest.width))
        self.asked = []

    def embed(self, images):
        cells = images[:, ::4, ::4].transpose(0, 3, 1, 2)
        return np.ascontiguousarray(cells).astype(np.float32) / 255 * self.scale

    def run(self, images, embedding, slots, threshold):
        np.testing.assert_array_equal(embedding, self.embed(images))
        self.asked.append((slots, threshold))
        names = ("known", "anomaly", "open_set")
        arrays = self.heads.run(embedding, slots, threshold, names)
        self.change(arrays)
        return arrays


def proved(manifest, graph):
    return prove(manifest, graph.embed, graph.run, heads_of(manifest))


def heads_of(manifest):
    return FusedHeads(head_spec(manifest), (manifest.height, manifest.width))


def test_the_same_heads_pass_and_were_really_tried(manifest):
    graph = Graph(manifest)
    assert proved(manifest, graph) == ""
    slots, threshold = graph.asked[-1]
    assert slots.valid.sum() == 3
    assert 0 < threshold < 1
    (image,) = picture(manifest)
    arrays = graph.run(image, graph.embed(image), slots, threshold)
    assert (arrays["known"] >= 3).mean() > 0.02
    assert (arrays["open_set"] == 255).mean() > 0.1


def picture(manifest):
    from owseg.engines.heads.proof import _picture

    return (_picture(manifest),)


def shift_scores(arrays):
    if "anomaly" in arrays:
        arrays["anomaly"] += np.float32(0.01)


def swap_classes(arrays):
    known = arrays["known"]
    arrays["known"] = np.where(known == 0, 1, np.where(known == 1, 0, known)).astype(np.uint8)
    arrays["open_set"] = arrays["known"]


def never_unknown(arrays):
    arrays["open_set"] = arrays["known"]


def no_claims(arrays):
    arrays["known"] = np.where(arrays["known"] >= 3, 0, arrays["known"]).astype(np.uint8)


def odd_values(arrays):
    arrays["known"] = np.full_like(arrays["known"], 200)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (shift_scores, "the score differs by 0.01"),
        (swap_classes, "another value in 'known'"),
        (never_unknown, "another value in 'open_set'"),
        (no_claims, "another value in 'known'"),
        (odd_values, "100.0% of a test picture has another value in 'known'"),
    ],
)
def test_other_heads_do_not(manifest, change, says):
    assert says in proved(manifest, Graph(manifest, change=change))


def test_other_constants_do_not(manifest):
    other = {**EDS, "constants": {"eds": {"low": -60.0, "high": -10.0}}}
    says = proved(manifest, Graph(replace(manifest, score=other)))
    assert "differs by" in says or "open_set" in says


def test_labels_of_distances_that_tie_do_not_count(manifest):
    """An untrained network: all embeddings are nearly 0, as far from one class as from another."""
    graph = Graph(manifest, scale=1e-5, change=swap_classes)
    assert "open_set" not in proved(manifest, graph)
    assert "known" not in proved(manifest, graph)


@pytest.mark.parametrize(("scale", "says"), [(np.inf, "not finite"), (1e5, "out of range")])
def test_embeddings_that_cannot_be_compared(manifest, scale, says):
    with np.errstate(invalid="ignore"):
        assert says in proved(manifest, Graph(manifest, scale))
