"""What the fused heads accept of a manifest, and what they leave to the graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from owseg.engines.heads import head_spec
from owseg.engines.heads.spec import METHODS
from owseg.errors import EngineError

EDS = {"method": "eds", "form": "constant", "constants": {"eds": {"low": -90.5, "high": -20}}}


def score(method, form="constant"):
    name = "eds" if method == "mixture" else method
    return {"method": method, "form": form, "constants": {name: {"low": -7.0, "high": 3.0}}}


@pytest.mark.parametrize("method", METHODS)
def test_constants_of_each_score(tiny_manifest, method):
    spec = head_spec(replace(tiny_manifest, score=score(method)))
    assert (spec.method, spec.low, spec.high, spec.classes) == (method, -7.0, 3.0, 3)
    assert not spec.per_image
    np.testing.assert_array_equal(spec.prototypes, tiny_manifest.prototypes)


@pytest.mark.parametrize("method", METHODS)
def test_the_papers_form_scales_all_but_probabilities_per_image(tiny_manifest, method):
    spec = head_spec(replace(tiny_manifest, score={"method": method, "form": "paper"}))
    assert (spec.low, spec.high) == (0.0, 1.0)
    assert spec.per_image == (method not in ("msp", "mmsp", "entropy"))


def test_a_manifest_without_a_form_has_constants(tiny_manifest):
    without = {name: value for name, value in EDS.items() if name != "form"}
    assert head_spec(replace(tiny_manifest, score=without)).low == -90.5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"score": {"method": "blue"}}, "do not know its score 'blue'"),
        ({"score": {}}, "do not know its score 'None'"),
        ({"score": score("eds", "odd")}, "in the form 'odd'"),
        ({"score": {"method": "eds", "form": "constant"}}, "no constants for 'eds'"),
        ({"score": {**EDS, "method": "mixture", "constants": {}}}, "no constants for 'eds'"),
        ({"score": {**EDS, "constants": {"eds": {"low": 1}}}}, "no constants for 'eds'"),
        ({"score": {**EDS, "constants": {"eds": {"low": "x", "high": 1}}}}, "no constants"),
        ({"score": {**EDS, "constants": {"eds": {"low": 1, "high": 1}}}}, "are 1 and 1"),
        ({"score": {**EDS, "constants": {"eds": {"low": float("nan"), "high": 1}}}}, "are nan"),
        ({"score": EDS, "prototypes": np.zeros((0, 3), np.float32)}, "needs prototypes"),
        ({"score": score("msp"), "prototypes": np.zeros((0, 5), np.float32)}, "one logit for each"),
        (
            {"score": EDS, "heads": 1, "prototypes": np.eye(2, 3, dtype=np.float32)},
            "1 of its classes have heads of their own",
        ),
    ],
)
def test_refused(tiny_manifest, change, says):
    with pytest.raises(EngineError, match=f"'tiny' cannot use the fused heads: .*{says}"):
        head_spec(replace(tiny_manifest, **change))


def test_entropy_of_one_class(tiny_manifest):
    one = replace(
        tiny_manifest,
        classes=tiny_manifest.classes[:1],
        prototypes=np.ones((1, 3), np.float32),
        score=score("entropy"),
    )
    with pytest.raises(EngineError, match="entropy of one class is undefined"):
        head_spec(one)
    assert head_spec(replace(one, score=score("msp"))).classes == 1


def test_logits_are_the_embedding(tiny_manifest):
    manifest = replace(
        tiny_manifest, score=score("energy"), prototypes=np.zeros((0, 3), np.float32)
    )
    assert head_spec(manifest).prototypes.shape == (0, 3)
