"""Nested phases as one share, by hand."""

from __future__ import annotations

import pytest

from owseg.engines.tensorrt.progress import Progress


@pytest.fixture
def heard():
    """Give a progress and what it has reported."""
    reports = []
    return Progress(lambda share, name: reports.append((round(share, 4), name))), reports


def test_a_phase_within_a_phase_is_one_step_of_it(heard):
    progress, reports = heard
    progress.start("build", 2)
    progress.start("parse", 4)
    progress.step("parse", 0)
    progress.step("parse", 2)
    progress.finish("parse")
    progress.step("build", 0)
    progress.start("time", 2)
    progress.step("time", 0)
    progress.finish("time")
    progress.finish("build")
    assert [share for share, _ in reports] == [0, 0, 1 / 8, 3 / 8, 1 / 2, 1 / 2, 1 / 2, 3 / 4, 1, 1]
    assert reports[3] == (0.375, "parse")


def test_it_never_goes_back(heard):
    progress, reports = heard
    progress.start("build", 4)
    for _ in range(3):  # the same phase again and again, without a step of the outer one
        progress.start("try", 2)
        progress.step("try", 1)
        progress.finish("try")
    shares = [share for share, _ in reports]
    assert shares == sorted(shares)
    assert shares[-1] == 0.25


def test_odd_numbers_do_no_harm(heard):
    progress, reports = heard
    progress.step("unknown", 3)
    progress.finish("unknown")
    progress.start("build", 0)
    progress.step("build", 7)
    progress.finish("build")
    progress.start("again", 2)
    assert [share for share, _ in reports] == [0, 1, 1, 1]


def test_the_end_of_a_phase_ends_those_within(heard):
    progress, reports = heard
    progress.start("a", 4)
    progress.start("b", 2)
    progress.finish("a")
    assert reports[-1] == (1, "a")
    progress.start("c", 2)
    progress.step("c", 0)
    assert progress._find("b") is None
