"""Plots as inline SVG: axes, lines, bands. Colours come from the style sheet, by CSS class.

A plot is as wide as its place and of a fixed height in pixels. Curves are stretched with
the plot; text, dots and line widths are not. Labels hang out of the SVG into the padding
that the style sheet gives to `.plot`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from owseg.replay.report_text import clock

_WIDTH = 1000
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A linear scale.

    Attributes:
        low: value at the left or lower end.
        high: value at the right or upper end, above `low`.
        ticks: values that are marked, and their labels.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()

    def part(self, value: float) -> float:
        """Place of a value on the axis, 0 = low end, 1 = high end."""
        return (value - self.low) / (self.high - self.low)


def number_axis(top: float, wanted: int = 4, whole: bool = False) -> Axis:
    """Return an axis from 0 to a round number at or above `top`.

    Args:
        top: largest value to be shown.
        wanted: about how many steps.
        whole: mark whole numbers only.
    """
    top = top if math.isfinite(top) and top > 0 else 1.0
    step = _round_step(top / wanted)
    step = max(1.0, round(step)) if whole else step
    steps = max(1, math.ceil(top / step - 1e-9))
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    if not whole and round(step, places) != step and places < 9:
        places += 1
    ticks = tuple((i * step, f"{i * step:.{places}f}") for i in range(steps + 1))
    return Axis(low=0.0, high=steps * step, ticks=ticks)


def time_axis(first: float, last: float, wanted: int = 7) -> Axis:
    """Return an axis from `first` to `last` seconds, marked at round times."""
    if last <= first:
        return Axis(low=first - 0.5, high=first + 0.5, ticks=((first, clock(first)),))
    span = last - first
    step = next((s for s in _TIME_STEPS if span / s <= wanted), span / wanted)
    start = math.ceil(first / step)
    values = [i * step for i in range(start, math.floor(last / step) + 1)]
    return Axis(low=first, high=last, ticks=tuple((v, clock(v)) for v in values))


def index_axis(last: int, wanted: int = 7) -> Axis:
    """Return an axis over the frame numbers 0..last, marked at round numbers."""
    if last <= 0:
        return Axis(low=-0.5, high=0.5, ticks=((0, "0"),))
    step = max(1, round(_round_step(last / wanted)))
    return Axis(low=0, high=last, ticks=tuple((i, str(i)) for i in range(0, last + 1, step)))


def share_axis() -> Axis:
    """Return an axis from 0 to 1."""
    return Axis(low=0.0, high=1.0, ticks=((0, "0"), (0.25, ""), (0.5, "0.5"), (0.75, ""), (1, "1")))


def _round_step(rough: float) -> float:
    """Smallest of 1, 2, 2.5, 5, 10 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))


Points = Sequence[tuple[float, float | None]]
"""x and y; y = None interrupts a line."""


class Plot:
    """One plot, built up layer by layer.

    Args:
        x: horizontal axis.
        y: vertical axis.
        height: height of the area between the axes, in pixels.
        label: what the plot shows, for those who cannot see it.
        bare: leave out the labels of the horizontal axis; another plot below has them.
    """

    def __init__(self, x: Axis, y: Axis, height: int, label: str, bare: bool = False) -> None:
        self._x = x
        self._y = y
        self._height = height
        self._label = label
        self._bare = bare
        self._shapes: list[Markup] = []
        self._fixed: list[Markup] = []

    def line(self, points: Points, css: str) -> None:
        """Draw a line; single points between gaps become dots."""
        for run in _runs(points):
            if len(run) == 1:
                self.dots(run, css)
            else:
                path = self._path(run)
                self._shapes.append(Markup('<path class="line {}" d="{}"/>').format(css, path))

    def band(self, points: Sequence[tuple[float, float, float]], css: str) -> None:
        """Fill the area between two curves.

        Args:
            points: x, lower y, upper y.
            css: CSS class.
        """
        if len(points) < 2:
            return
        upper = self._path([(x, high) for x, _, high in points])
        lower = self._path([(x, low) for x, low, _ in reversed(points)]).replace("M", "L", 1)
        self._shapes.append(Markup('<path class="area {}" d="{}{}Z"/>').format(css, upper, lower))

    def dots(self, points: Iterable[tuple[float, float]], css: str) -> None:
        """Draw round dots."""
        for x, y in points:
            self._fixed.append(
                Markup('<circle class="dot {}" cx="{}%" cy="{}" r="3"/>').format(
                    css, _short(100 * self._x.part(x)), _short(self._down(y))
                )
            )

    def level(self, y: float, text: str, below: bool = False) -> None:
        """Draw a horizontal line over the whole width, labelled to the right of the plot.

        Args:
            y: value of the line.
            text: its label.
            below: put the label below the height of the line, not above.
        """
        at = _short(self._down(y))
        self._fixed.append(
            Markup(
                '<line class="level" x1="0" x2="100%" y1="{0}" y2="{0}"/>'
                '<text class="level-label" x="100%" dx="6" y="{0}" dy="{1}">{2}</text>'
            ).format(at, "0.85em" if below else "0", text)
        )

    def svg(self) -> Markup:
        """Return the SVG element."""
        return Markup(
            '<svg role="img" aria-label="{label}" width="100%" height="{height}">{grid}'
            '<svg width="100%" height="{height}" viewBox="0 0 {width} {height}" '
            'preserveAspectRatio="none">{shapes}</svg>{fixed}</svg>'
        ).format(
            label=self._label,
            height=self._height,
            width=_WIDTH,
            grid=self._grid(),
            shapes=Markup().join(self._shapes),
            fixed=Markup().join(self._fixed),
        )

    def _grid(self) -> Markup:
        rows = (
            Markup(
                '<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>'
                '<text class="tick" x="-8" y="{0}" dy="0.35em" text-anchor="end">{1}</text>'
            ).format(_short(self._down(value)), text)
            for value, text in self._y.ticks
        )
        columns = (
            Markup('<text class="tick" x="{}%" y="{}" text-anchor="middle">{}</text>').format(
                _short(100 * self._x.part(value)), self._height + 18, text
            )
            for value, text in (() if self._bare else self._x.ticks)
        )
        return Markup().join((*rows, *columns))

    def _down(self, y: float) -> float:
        return self._height * (1 - min(1.0, max(0.0, self._y.part(y))))

    def _path(self, points: Iterable[tuple[float, float]]) -> str:
        corners = (f"{_short(_WIDTH * self._x.part(x))} {_short(self._down(y))}" for x, y in points)
        return "M" + "L".join(corners)


def _runs(points: Points) -> list[list[tuple[float, float]]]:
    """Stretches of points that have a y."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None:
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
