"""Where each output pixel lies between the cells of the grid, as the graph's Resize has it.

Bilinear, pixel centres at half (corners not aligned), the border repeated.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from owseg.types import FloatArray

IndexArray = npt.NDArray[np.int64]


class Sampling(NamedTuple):
    """Sources of the rows and columns of a (H, W) map in a grid of (h, w).

    A whole number s of columns for each cell makes s phases: pixel s * j + p lies between the
    cells j + offset[p] - 1 and j + offset[p], at the same place for every j. Otherwise there is
    one phase of W columns, each with a cell of its own in `left`.

    Attributes:
        upper: (H,) row above.
        lower: (H,) row below; the same one at the border.
        down: (H,) float32 weight of the lower row, 0..1.
        offset: (s,) cells to the right, 0 or 1; empty without phases.
        right: (s,) or (W,) float32 weight of the right cell, 0..1.
        left: (W,) left cell in a row that is padded by one cell at each end; empty with phases.
    """

    upper: IndexArray
    lower: IndexArray
    down: FloatArray
    offset: IndexArray
    right: FloatArray
    left: IndexArray


@lru_cache(maxsize=8)
def sampling(grid: tuple[int, int], size: tuple[int, int]) -> Sampling:
    """Return the sources of a map of `size` (H, W) in a grid of (h, w)."""
    rows = _source(grid[0], size[0])
    upper = np.clip(np.floor(rows).astype(np.int64), 0, grid[0] - 1)
    down = np.clip(rows - upper, 0.0, 1.0).astype(np.float32)
    columns = _source(grid[1], size[1])
    step, rest = divmod(size[1], grid[1])
    if rest:
        left = np.clip(np.floor(columns).astype(np.int64), -1, grid[1] - 1)
        offset = np.zeros(0, np.int64)
        right = columns - left
    else:
        columns = columns[:step]
        offset = np.floor(columns).astype(np.int64) + 1
        right = columns + 1 - offset
        left = np.zeros(0, np.int64)
    return Sampling(
        upper=upper,
        lower=np.minimum(upper + 1, grid[0] - 1),
        down=down,
        offset=offset,
        right=right.astype(np.float32),
        left=left + 1,
    )


def _source(length: int, size: int) -> npt.NDArray[np.float64]:
    """Position of each of `size` pixels between `length` cells; below 0 at the border."""
    return (np.arange(size, dtype=np.float64) + 0.5) * (length / size) - 0.5
