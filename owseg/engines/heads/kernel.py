"""The heads of the graph, fused: one pass over the pixels of some rows of one image.

For a row of pixels the two rows of the grid around it are turned into channels (once for all
rows of pixels between them), the channels are blended, stretched to the width, and folded into
the nearest class, the sum of exponents and the nearest novel prototype, which never leave the
cache of one core. Distances are linear in the lifted embedding [f, |f|^2, 1], so that distances
taken in the grid and stretched are the distances of the graph, which stretches before it
multiplies.

A channel of a class is its cost: |m|^2 - 2 f.m for a prototype m, that is the squared distance
without |f|^2, which is the same for all classes; -z for a logit z.

All that is compiled together is in this file, see `jit.entry`.

Shape legend: N known classes, K novel prototypes in use, D embedding size, H, W image size,
h, w grid of the embedding.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from owseg.jit import CONTRACTED, entry, inner
from owseg.types import UNKNOWN_ID, FloatArray

_inner = partial(inner, options=CONTRACTED)
_entry = partial(entry, options=CONTRACTED)

KNOWN, ANOMALY, OPEN_SET = 1, 2, 4
"""What can be asked for; to be added up."""

EDS, MSP, ENTROPY, ENERGY, MAX_LOGIT, MIXTURE = range(6)
"""Scores, as in `owseg_training.scorers`."""

LIMIT = np.float32(1e8)
"""Largest |f|^2; beyond it float32 distances mean nothing, and the graph has values of its own."""

_BETA, _GAMMA = np.float32(20.0), np.float32(0.8)
_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_FAR = np.float32(np.inf)
_UNKNOWN = np.uint8(UNKNOWN_ID)


class Classes(NamedTuple):
    """The known classes and the score.

    Attributes:
        vectors: (N, D) float32 prototypes; (0, D) where the embedding is the logits.
        norms: (N,) float32 squared lengths of them.
        number: N.
        score: one of the scores.
        low: raw score that becomes 0; NaN = leave scores raw.
        span: what has to be added to become 1.
    """

    vectors: FloatArray
    norms: FloatArray
    number: int
    score: int
    low: np.float32
    span: np.float32


class Novel(NamedTuple):
    """The novel prototypes in use.

    Attributes:
        vectors: (K, D) float32.
        norms: (K,) float32 squared lengths of them.
        reach: (K,) float32 squared distance within which each claims a pixel.
        ids: (K,) int32 value of each in the label map.
    """

    vectors: FloatArray
    norms: FloatArray
    reach: FloatArray
    ids: np.typing.NDArray[np.int32]


@_inner
def _exp(x: Any) -> Any:
    """Return e^x of a float32 at most 0, to 1e-7 near 0 and 4e-6 at -80; 1e-38 below -87.

    2^n by the exponent bits, and a polynomial for the rest: loops over it become vector code.
    """
    scaled = max(x, np.float32(-87.0)) * np.float32(1.44269504)
    shifted = scaled + np.float32(12582912.0)  # 1.5 * 2^23: the low bits are the whole number
    r = scaled - (shifted - np.float32(12582912.0))
    power = np.float32(0.00967151) + r * np.float32(0.00132647)
    power = np.float32(0.24022242) + r * (np.float32(0.05550734) + r * power)
    power = _ONE + r * (np.float32(0.69314698) + r * power)
    exponent = np.int32(np.float32(shifted).view(np.int32) << np.int32(23))
    return np.int32(exponent + np.float32(power).view(np.int32)).view(np.float32)


@_inner
def _log(x: Any) -> Any:
    """Return the logarithm of a float32 of at least 1, to 1e-7.

    The exponent bits, and the series of 2 atanh((m - 1) / (m + 1)) for m in 0.7..1.42.
    """
    bits = np.float32(x).view(np.int32)
    exponent = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
    m = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32)
    s = (m - _ONE) / (m + _ONE)
    q = s * s
    series = np.float32(1 / 5) + q * (np.float32(1 / 7) + q * np.float32(1 / 9))
    series = _ONE + q * (np.float32(1 / 3) + q * series)
    return np.float32(exponent) * np.float32(0.69314718) + _TWO * s * series


@_inner
def _set(row: Any, value: Any) -> None:
    """Fill a row; numba takes much longer to compile an assignment to a slice."""
    for x in range(row.size):
        row[x] = value


@_inner
def _norm_row(f: Any, y: Any, norm: Any) -> Any:
    """Fill `norm` (w,) with |f|^2 of row y of f (D, h, w); say whether all are within LIMIT."""
    _set(norm, _ZERO)
    for d in range(f.shape[0]):
        cells = f[d, y]
        for j in range(norm.size):
            norm[j] += cells[j] * cells[j]
    inside = 0
    for j in range(norm.size):
        inside += norm[j] <= LIMIT  # NaN is not
    return inside == norm.size


@_inner
def _cost_row(f: Any, y: Any, vector: Any, length: Any, cost: Any) -> None:
    """Fill `cost` (w,) with |m|^2 - 2 f.m for row y of f (D, h, w); zeros of m cost nothing."""
    width, size = cost.size, vector.size
    _set(cost, length)
    d = 0
    while d < size:
        if vector[d] == _ZERO:
            d += 1
            continue
        if d + 4 > size:
            m, cells = -_TWO * vector[d], f[d, y]
            for j in range(width):
                cost[j] += m * cells[j]
            d += 1
            continue
        m0, m1 = -_TWO * vector[d], -_TWO * vector[d + 1]
        m2, m3 = -_TWO * vector[d + 2], -_TWO * vector[d + 3]
        c0, c1, c2, c3 = f[d, y], f[d + 1, y], f[d + 2, y], f[d + 3, y]
        for j in range(width):
            cost[j] += m0 * c0[j] + m1 * c1[j] + m2 * c2[j] + m3 * c3[j]
        d += 4


@_inner
def _known_row(f: Any, y: Any, classes: Any, costs: Any, norm: Any, total: Any) -> None:
    """Fill the costs (N, w) of a row of the grid, and the sum of distances (w,)."""
    if classes.vectors.shape[0] == 0:
        for k in range(classes.number):
            cells = f[k, y]
            for j in range(norm.size):
                costs[k, j] = -cells[j]
        return
    _set(total, _ZERO)
    for k in range(classes.number):
        cost = costs[k]
        _cost_row(f, y, classes.vectors[k], classes.norms[k], cost)
        for j in range(norm.size):
            total[j] += max(cost[j] + norm[j], _ZERO)


@_inner
def _novel_row(f: Any, y: Any, novel: Any, norm: Any, distances: Any, nearest: Any) -> None:
    """Fill the distances (K, w) of a row of the grid, and the smallest of each prototype (K,)."""
    for k in range(novel.reach.size):
        row = distances[k]
        _cost_row(f, y, novel.vectors[k], novel.norms[k], row)
        least = _FAR
        for j in range(norm.size):
            row[j] = max(row[j] + norm[j], _ZERO)
            least = min(least, row[j])
        nearest[k] = least


@_inner
def _stretch(above: Any, below: Any, down: Any, sampling: Any, line: Any, wide: Any) -> None:
    """Blend two rows (w,) into `line` (w + 2,), padded, and stretch it to `wide` (W,).

    The phases lie behind each other in `wide`: pixel s * j + p is at p * w + j.
    """
    width = above.size
    for j in range(width):
        line[j + 1] = above[j] + down * (below[j] - above[j])
    line[0], line[width + 1] = line[1], line[width]
    if sampling.offset.size == 0:
        for x in range(wide.size):
            i = sampling.left[x]
            wide[x] = line[i] + sampling.right[x] * (line[i + 1] - line[i])
        return
    for p in range(sampling.offset.size):
        start, t = sampling.offset[p], sampling.right[p]
        a, b = line[start : start + width], line[start + 1 : start + 1 + width]
        part = wide[p * width : (p + 1) * width]
        for j in range(width):
            part[j] = a[j] + t * (b[j] - a[j])


@_inner
def _spread(wide: Any, width: Any, row: Any) -> None:
    """Put the phases of `wide` (W,) into the order of the pixels of `row` (W,)."""
    step = wide.size // width
    for p in range(step):
        for j in range(width):
            row[j * step + p] = wide[p * width + j]


@_inner
def _nearer(values: Any, k: Any, best: Any, index: Any) -> None:
    """Keep the smallest value of each pixel and whose it is; the first one where they tie."""
    for x in range(values.size):
        less = values[x] < best[x]
        best[x] = values[x] if less else best[x]
        index[x] = k if less else index[x]


@_inner
def _claim(values: Any, reach: Any, number: Any, best: Any, index: Any) -> None:
    """Like `_nearer`, for values within the reach only."""
    for x in range(values.size):
        less = (values[x] < reach) & (values[x] < best[x])
        best[x] = values[x] if less else best[x]
        index[x] = number if less else index[x]


@_inner
def _soft(costs: Any, best: Any, total: Any, weighted: Any, score: Any) -> None:
    """Sum e^(best - cost) over the classes; for the entropy also that times the exponent."""
    _set(total, _ZERO)
    _set(weighted, _ZERO)
    for k in range(costs.shape[0]):
        cost = costs[k]
        if score == ENTROPY:
            for x in range(total.size):
                shifted = best[x] - cost[x]
                value = _exp(shifted)
                total[x] += value
                weighted[x] += value * shifted
        else:
            for x in range(total.size):
                total[x] += _exp(best[x] - cost[x])


@_inner
def _raw(classes: Any, least: Any, total: Any, weighted: Any, sums: Any, out: Any) -> None:
    """Write the raw score of each pixel to `out`; of the mixture only its distance sum."""
    score = classes.score
    if score == MSP:
        for x in range(out.size):
            out[x] = _ONE - _ONE / total[x]
    elif score == ENTROPY:
        share = _ONE / np.float32(np.log(np.float32(classes.number)))
        for x in range(out.size):
            out[x] = (_log(total[x]) - weighted[x] / total[x]) * share
    elif score == ENERGY:
        for x in range(out.size):
            out[x] = least[x] - _log(total[x])
    elif score == MAX_LOGIT:
        for x in range(out.size):
            out[x] = least[x]
    else:
        for x in range(out.size):
            out[x] = -sums[x]


@_inner
def _calibrate(classes: Any, total: Any, out: Any) -> None:
    """Turn raw scores into 0..1 in place, and blend the mixture."""
    for x in range(out.size):
        out[x] = min(max((out[x] - classes.low) / classes.span, _ZERO), _ONE)
    if classes.score == MIXTURE:
        for x in range(out.size):
            gate = _BETA * (out[x] - _GAMMA)
            small = _exp(-abs(gate))
            alpha = (_ONE if gate > _ZERO else small) / (_ONE + small)
            out[x] = alpha * out[x] + (_ONE - alpha) * (_ONE - _ONE / total[x])


@_inner
def _decide(index: Any, owner: Any, near: Any, limit: Any, label: Any) -> None:
    """Write the label: that of the novel prototype where it is nearer than every known class."""
    for x in range(label.size):
        label[x] = np.uint8(owner[x] if near[x] < limit[x] else index[x])


@_inner
def _judge(label: Any, scores: Any, threshold: Any, near: Any, limit: Any, verdict: Any) -> None:
    """Write the label, or unknown where the score is above the threshold and nothing claims."""
    for x in range(label.size):
        unknown = (scores[x] > threshold) & (near[x] >= limit[x])
        verdict[x] = _UNKNOWN if unknown else label[x]


@_inner
def _fill(f: Any, y: Any, classes: Any, novel: Any, rows: Any) -> Any:
    """Compute the channels of row y of the grid into slot y % 2 of `rows`; False if too large."""
    costs, norm, total, far, least = rows
    slot = y & 1
    if not _norm_row(f, y, norm[slot]):
        return False
    _known_row(f, y, classes, costs[slot], norm[slot], total[slot])
    _novel_row(f, y, novel, norm[slot], far[slot], least[slot])
    return True


@_entry
def fuse(
    f: Any,
    classes: Any,
    novel: Any,
    sampling: Any,
    start: Any,
    stop: Any,
    wanted: Any,
    threshold: Any,
    known: Any,
    anomaly: Any,
    open_set: Any,
) -> Any:
    """Compute some rows of the maps of one image.

    Args:
        f: (D, h, w) float32 embedding, C-contiguous.
        classes: `Classes`.
        novel: `Novel`.
        sampling: `owseg.engines.heads.sampling.Sampling` of (H, W) in (h, w).
        start: first row to compute.
        stop: row after the last one.
        wanted: what to compute, a sum of KNOWN, ANOMALY, OPEN_SET.
        threshold: float32; scores above it are unknown.
        known: (H, W) uint8, filled if wanted.
        anomaly: (H, W) float32, filled if wanted.
        open_set: (H, W) uint8, filled if wanted.

    Returns:
        False where |f|^2 is NaN or above LIMIT somewhere; then the maps mean nothing.
    """
    score, count, slots, cells = classes.score, classes.number, novel.reach.size, f.shape[2]
    width = sampling.right.size * (cells if sampling.offset.size else 1)
    planes = cells if sampling.offset.size else width
    metric = classes.norms.size > 0
    labels, scores = wanted & (KNOWN | OPEN_SET) != 0, wanted & (ANOMALY | OPEN_SET) != 0
    soft = scores and score in (MSP, ENTROPY, ENERGY, MIXTURE)
    smallest = scores and score in (ENERGY, MAX_LOGIT)
    claims = labels and slots > 0

    rows = (
        np.empty((2, count, cells), np.float32),
        np.empty((2, cells), np.float32),
        np.empty((2, cells), np.float32),
        np.empty((2, slots, cells), np.float32),
        np.empty((2, slots), np.float32),
    )
    costs, norm, total, far, least = rows
    line = np.empty(cells + 2, np.float32)
    wide = np.empty((count if soft else 1, width), np.float32)
    near, limit = np.empty(width, np.float32), np.empty(width, np.float32)
    _set(near, _FAR)
    _set(limit, _FAR)
    best = np.empty(width, np.float32)
    extra, exponents = np.empty(width, np.float32), np.empty(width, np.float32)
    weighted, values = np.empty(width, np.float32), np.empty(width, np.float32)
    index, owner = np.empty(width, np.int32), np.empty(width, np.int32)
    label, verdict = np.empty(width, np.uint8), np.empty(width, np.uint8)
    have = np.empty(2, np.int64)
    _set(have, -1)

    for y in range(start, stop):
        upper, lower, down = sampling.upper[y], sampling.lower[y], sampling.down[y]
        for i in (upper, lower):
            if have[i & 1] != i:
                have[i & 1] = i
                if not _fill(f, i, classes, novel, rows):
                    return False
        a, b = upper & 1, lower & 1
        if labels or soft or smallest:
            _set(best, _FAR)
            for k in range(count):
                out = wide[k if soft else 0]
                _stretch(costs[a, k], costs[b, k], down, sampling, line, out)
                _nearer(out, np.int32(k), best, index)
        if metric and (claims or smallest):
            _stretch(norm[a], norm[b], down, sampling, line, extra)
            for x in range(width):
                limit[x] = max(best[x] + extra[x], _ZERO)
        if claims:
            _set(near, _FAR)
            for k in range(slots):
                if min(least[a, k], least[b, k]) < novel.reach[k]:
                    _stretch(far[a, k], far[b, k], down, sampling, line, extra)
                    _claim(extra, novel.reach[k], novel.ids[k], near, owner)
        if scores:
            if soft:
                _soft(wide, best, exponents, weighted, score)
            if score in (EDS, MIXTURE):
                _stretch(total[a], total[b], down, sampling, line, extra)
            _raw(classes, limit if metric else best, exponents, weighted, extra, values)
            if classes.low == classes.low:
                _calibrate(classes, exponents, values)
            if wanted & ANOMALY:
                _spread(values, planes, anomaly[y])
        if labels:
            _decide(index, owner, near, limit, label)
            if wanted & KNOWN:
                _spread(label, planes, known[y])
        if wanted & OPEN_SET:
            _judge(label, values, threshold, near, limit, verdict)
            _spread(verdict, planes, open_set[y])
    return True
