"""The table by hand: columns, marks, notes."""

from __future__ import annotations

from owseg.bench import Skipped
from owseg.bench.table import notes, table


def test_the_table_by_hand(figures):
    graph = figures(
        "onnxruntime, graph",
        total_ms=(40.0,),
        stages_ms={"network": 8.0, "heads": 30.04, "grouping": 0.5, "graph": 38.0},
        derived=True,
    )
    assert table([figures(), graph]) == [
        "model           engine              precision  network  heads  grouping"
        "   p50   p95   p99  frames/s",
        "street 480x360  onnxruntime, fused  fp32           8.0    1.5       0.5"
        "  11.5  28.1  30.4      62.5",
        "street 480x360  onnxruntime, graph  fp32           8.0  30.0*       0.5"
        "  40.0  40.0  40.0      25.0",
    ]
    assert notes([figures(), graph], []) == [
        "* what the graph took beyond the network alone, which ran in turn with it"
    ]


def test_an_engine_that_cannot_tell_network_and_heads_apart(figures):
    row = figures(
        "tensorrt", stages_ms={"copy in": 0.2, "graph": 3.0, "copy out": 0.1, "grouping": 0.5}
    )
    head, line = table([row])
    assert "copy in" in head
    assert "copy out" in head
    assert "3.0+" in line
    assert notes([row], []) == ["+ network and heads together; this engine cannot tell them apart"]


def test_bytes_are_said_once_for_each_model(figures):
    sizes = {"known": 172800, "anomaly": 691200}
    rows = [figures(outputs_bytes=sizes), figures("x", outputs_bytes=sizes), figures("y")]
    assert notes(rows, []) == [
        "a GPU copies for a frame of street 480x360: 0.86 MB (known 0.17, anomaly 0.69)"
    ]


def test_a_stage_that_nobody_has_is_no_column(figures):
    head, _ = table([figures(stages_ms={"grouping": 0.5})])
    assert "network" not in head
    assert "copy in" not in head


def test_what_was_not_measured_is_said():
    skipped = Skipped(name="tensorrt", model="street", reason="there is no GPU")
    assert notes([], [skipped]) == ["not measured: street on tensorrt: there is no GPU"]
