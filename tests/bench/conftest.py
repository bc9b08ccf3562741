"""Figures that are made up, and an engine whose stages take what they are told."""

from __future__ import annotations

import pytest

from owseg.bench import Figures


@pytest.fixture
def figures():
    """Give a function that makes the figures of one contestant."""

    def make(engine="onnxruntime, fused", **more):
        values = {
            "engine": engine,
            "model": "street",
            "precision": "fp32",
            "size": (360, 480),
            "total_ms": (10.0, 12.0, 11.0, 31.0),
            "stages_ms": {"network": 8.0, "heads": 1.5, "grouping": 0.5},
        }
        return Figures(**(values | more))

    return make
