"""The page on data sets names every reader, split, number and truth map, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from owseg.datasets import READERS
from owseg.datasets.truth_map import builtin_truth_maps

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="docs/datasets.md is not there")


def rows():
    lines = (line for line in PAGE.read_text().splitlines() if line.startswith("| `"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_reader_has_a_row():
    assert [row[0].strip("`") for row in rows()] == sorted(READERS)


def test_splits_and_numbers():
    for name, _, splits, _ in rows():
        parts = [part for part in READERS[name.strip("`")].splits if part.labelled]
        wanted = [f"`{part.name}` ({part.published or 'not compared'})" for part in parts]
        assert splits == ", ".join(wanted)


def test_truth_maps():
    listed = {text for row in rows() for text in re.findall(r"`(\w+)`", row[3])}
    assert listed == set(builtin_truth_maps()) - {"scenes_a"}
