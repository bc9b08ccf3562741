"""The calibration map: what it gives between its entries, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.calibration.table import CalibrationTable, table_of
from owseg.errors import BundleError


def table(*probabilities: float) -> CalibrationTable:
    return CalibrationTable(method="hand", probabilities=probabilities, fitted_on="nothing")


def test_linear_between_entries() -> None:
    scores = np.array([[0, 0.25, 0.5], [0.75, 0.99, 1.0]], np.float32)
    found = table(0.0, 0.1, 0.9).apply(scores)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, 0.05, 0.1], [0.5, 0.884, 0.9]], atol=1e-6)
    assert table(0.0, 0.1, 0.9).at(0.25) == pytest.approx(0.05)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.001, 1), min_size=1, max_size=20),
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40),
)
def test_against_numpy_and_in_order(steps, values) -> None:
    entries = np.concatenate(([0.0], np.cumsum(steps) / sum(steps)))
    fitted = table(*np.minimum(entries, 1.0).tolist())
    scores = np.sort(np.array([values], np.float32))
    found = fitted.apply(scores)
    expected = np.interp(scores, np.linspace(0, 1, entries.size), fitted.entries)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (np.diff(found[0]) >= -1e-7).all()


def test_the_scores_stay_as_they_were() -> None:
    scores = np.full((3, 4), 0.5, np.float32)
    found = table(0.0, 0.2, 1.0).apply(scores[:, ::2])
    assert (scores == 0.5).all()
    np.testing.assert_allclose(found, np.full((3, 2), 0.2), atol=1e-6)


@pytest.mark.parametrize(
    "entries", [(), (0.5,), (0.2, 0.2), (0.5, 0.1), (-0.1, 1.0), (0.0, 1.1), (0.0, float("nan"))]
)
def test_no_table(entries) -> None:
    with pytest.raises(BundleError, match="growing strictly"):
        table(*entries)


def test_there_and_back() -> None:
    first = CalibrationTable(
        method="platt", probabilities=(0.0, 0.25, 0.5), fitted_on="x", figures={"pixels": 3}
    )
    raw = json.loads(json.dumps(first.as_dict()))
    assert table_of(raw) == first
    with pytest.raises(KeyError):
        table_of({"method": "platt", "fitted_on": "x"})
