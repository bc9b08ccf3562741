"""The slow reference of super-BPD, and fields to compare it with the fast one on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt


@pytest.fixture(scope="session")
def slow():
    """Give the module of the slow reference."""
    path = Path(__file__).with_name("slow_super_bpd.py")
    spec = importlib.util.spec_from_file_location("slow_super_bpd", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nearest_seed(height, width, seeds, rng):
    """Label each pixel with the nearest of random seeds: (H, W) int64 from 0."""
    points = rng.random((seeds, 2)) * (height, width)
    rows, columns = np.mgrid[:height, :width]
    gaps = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in points]
    return np.argmin(gaps, axis=0)


def exact_field(labels):
    """Give the unit vectors (2, H, W) from the nearest pixel of another label, or outside."""
    field = np.zeros((2, *labels.shape))
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]]
    for label in np.unique(labels):
        inside = np.pad(labels == label, 1)
        nearest = distance_transform_edt(inside, return_distances=False, return_indices=True)
        away = np.stack([rows, columns]) + 1 - nearest[:, 1:-1, 1:-1]
        unit = away / np.maximum(np.linalg.norm(away, axis=0), 1e-9)
        field[:, labels == label] = unit[:, labels == label]
    return field


@pytest.fixture(scope="session")
def voronoi():
    """Give a function: (h, w, seeds, noise, seed) -> labels (4 h, 4 w), field (2, h, w) float32.

    The field is that of the labels, averaged over 4 x 4 pixels as a network of stride 4 would
    predict it: the staircase of an exact field is not what a network predicts.
    """

    def make(height, width, seeds, noise=0.0, seed=0):
        rng = np.random.default_rng(seed)
        labels = nearest_seed(4 * height, 4 * width, seeds, rng)
        field = exact_field(labels).reshape(2, height, 4, width, 4).mean(axis=(2, 4))
        field += noise * rng.normal(size=field.shape)
        return labels, field.astype(np.float32)

    return make
