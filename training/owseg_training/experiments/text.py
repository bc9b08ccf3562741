"""Tables as text: for Markdown and for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from owseg.errors import OutputError

Rows = Sequence[Sequence[str]]


def markdown_table(header: Sequence[str], rows: Rows, text_columns: int = 1) -> str:
    """Return a Markdown table; columns after the first `text_columns` are aligned right."""
    rule = "|---" * text_columns + "|---:" * (len(header) - text_columns) + "|"
    lines = [f"| {' | '.join(header)} |", rule]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def text_table(header: Sequence[str], rows: Rows, text_columns: int = 1) -> str:
    """Return a table in columns of equal width."""
    table = [header, *rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def write_text(text: str, path: Path) -> None:
    """Write a text file.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
