"""The picture: bars of the right length, names, and files that cannot be written."""

from __future__ import annotations

import sys

import pytest

from owseg.bench import plot as module
from owseg.bench.plot import plot
from owseg.errors import MissingDependencyError, OutputError

pytest.importorskip("matplotlib", reason="plots are drawn with matplotlib")


def test_parts_of_a_bar(figures):
    row = figures(total_ms=(11.0,))
    assert module._parts(row) == {"network": 8.0, "heads": 1.5, "grouping": 0.5, "rest": 1.0}
    whole = figures(total_ms=(9.0,), stages_ms={"graph": 8.0, "grouping": 0.5})
    assert module._parts(whole) == {"graph": 8.0, "grouping": 0.5, "rest": 0.5}
    split = figures(total_ms=(9.0,), stages_ms={"network": 3.0, "heads": 5.0, "graph": 8.0})
    assert module._parts(split) == {"network": 3.0, "heads": 5.0, "rest": 1.0}


def test_bars_are_stacked_in_milliseconds(figures, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: drawn.append(figure))
    rows = [figures(total_ms=(11.0,)), figures("tensorrt", total_ms=(21.0,))]
    plot(rows, tmp_path / "x.png", "title")
    axis = drawn[0].axes[0]
    bars = [[(bar.get_x(), bar.get_width()) for bar in group] for group in axis.containers]
    assert bars == [
        [(0, 8.0), (0, 8.0)],
        [(8.0, 1.5), (8.0, 1.5)],
        [(9.5, 0.5), (9.5, 0.5)],
        [(10.0, 1.0), (10.0, 11.0)],
    ]
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "onnxruntime, fused",
        "tensorrt",
    ]
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == ["network", "heads", "grouping", "not told apart"]


def test_names_say_what_differs(figures):
    rows = [figures(), figures(precision="int8"), figures(model="other", size=(10, 20))]
    assert module._name(rows[0], rows[:1]) == "onnxruntime, fused"
    assert module._name(rows[1], rows[:2]) == "onnxruntime, fused, int8"
    assert module._name(rows[2], rows) == "other 20x10\nonnxruntime, fused, fp32"


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_formats(figures, tmp_path, suffix):
    path = tmp_path / f"speed.{suffix}"
    plot([figures(), figures("tensorrt")], path, "title")
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("name", ["speed.xyz", "no/folder/speed.png"])
def test_files_that_cannot_be_written(figures, tmp_path, name):
    with pytest.raises(OutputError, match="cannot write the plot"):
        plot([figures()], tmp_path / name, "title")


def test_without_matplotlib(figures, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match="--plot needs matplotlib"):
        plot([figures()], tmp_path / "x.png", "title")
