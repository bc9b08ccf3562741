"""The figures as lines for people."""

from __future__ import annotations

from collections.abc import Sequence

from owseg.bench.contestants import Skipped
from owseg.bench.measure import STAGES, Figures

_LEFT = 3
"""Columns that are words."""


def table(figures: Sequence[Figures]) -> list[str]:
    """Return a table: stages by their median, latency by its percentiles, in milliseconds."""
    stages = [name for name in STAGES if any(_stage(row, name) for row in figures)]
    head = ["model", "engine", "precision", *stages, "p50", "p95", "p99", "frames/s"]
    rows = [head, *(_cells(row, stages) for row in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def notes(figures: Sequence[Figures], skipped: Sequence[Skipped]) -> list[str]:
    """Return what has to be said about the table."""
    lines = []
    if any(row.derived for row in figures):
        lines.append("* what the graph took beyond the network alone, which ran in turn with it")
    if any(_undivided(row) for row in figures):
        lines.append("+ network and heads together; this engine cannot tell them apart")
    lines += _copies(figures)
    lines += [f"not measured: {item.model} on {item.name}: {item.reason}" for item in skipped]
    return lines


def _copies(figures: Sequence[Figures]) -> list[str]:
    """Say for each model what a GPU copies to the host for a frame."""
    lines = {}
    for row in (row for row in figures if row.outputs_bytes):
        parts = ", ".join(f"{name} {_mb(size)}" for name, size in row.outputs_bytes.items())
        total = _mb(sum(row.outputs_bytes.values()))
        lines[row.model, row.size] = f"a GPU copies for a frame of {_title(row)}: {total} MB"
        lines[row.model, row.size] += f" ({parts})"
    return list(lines.values())


def _mb(size: int) -> str:
    return f"{size / 1e6:.2f}"


def _title(row: Figures) -> str:
    return f"{row.model} {row.size[1]}x{row.size[0]}"


def _cells(row: Figures, stages: Sequence[str]) -> list[str]:
    model = _title(row)
    latency = [f"{row.percentile(share):.1f}" for share in (50, 95, 99)]
    parts = [_stage(row, name) for name in stages]
    return [model, row.engine, row.precision, *parts, *latency, f"{row.fps:.1f}"]


def _stage(row: Figures, name: str) -> str:
    if name == "network" and _undivided(row):
        return f"{row.stages_ms['graph']:.1f}+"
    if name not in row.stages_ms:
        return ""
    return f"{row.stages_ms[name]:.1f}{'*' if name == 'heads' and row.derived else ''}"


def _undivided(row: Figures) -> bool:
    return "graph" in row.stages_ms and "network" not in row.stages_ms


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column < _LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
