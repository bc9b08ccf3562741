"""Solids: small objects built from balls, boxes, drums and limbs, seen in parallel projection.

Coordinates are metres: x to the right, y up, z towards the viewer. A part tells for a grid of
view positions the z of its visible surface, and for points on it the normal and the position in
its own axes, which textures need.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from owseg.scenes.colors import Color
from owseg.scenes.patterns import PATTERNS
from owseg.scenes.sprite import Sprite, bleed
from owseg.types import FloatArray

Point = tuple[float, float, float]
Section = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
Surface = tuple[FloatArray, FloatArray]
"""Normals (n, 3) and positions in the part's axes (n, 3) of points on a part."""

SUN = np.array([-0.4512, 0.7019, 0.5515], np.float32)
"""Unit vector to the sun, and the direction of highlights: half-way to the viewer."""
GLOSS = np.array([-0.2561, 0.3985, 0.8807], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """The look of a part.

    Attributes:
        color: main colour.
        other: second colour of the pattern.
        pattern: a name in `PATTERNS`.
        scale: size of one element of the pattern in metres.
        shine: strength of the highlight, 0..1.
    """

    color: Color
    other: Color = (30, 30, 30)
    pattern: str = "plain"
    scale: float = 0.1
    shine: float = 0.0


class Part(Protocol):
    """Something that can be seen."""

    @property
    def paint(self) -> Paint:
        """The look."""

    def bounds(self, view: FloatArray) -> tuple[Point, float]:
        """Return centre (view axes) and radius of a ball around it."""

    def depth(self, view: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return (h, w) z where rays through columns x (1, w) and rows y (h, 1) first meet it.

        Rays that miss it have -inf.
        """

    def surface(self, view: FloatArray, x: FloatArray, y: FloatArray, z: FloatArray) -> Surface:
        """Return normals and positions for (n,) points on its surface."""


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> FloatArray:
    """Return the 3x3 rotation by roll about z, then pitch about x, then yaw about y (radians)."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z, np.float32)


def _local(
    axes: FloatArray, center: FloatArray, x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return where rays start (z = 0) in the part's axes; a ray moves by `axes[2]` per metre."""
    shift = axes.T @ center
    a, b, c = (axes[0, i] * x + (axes[1, i] * y - shift[i]) for i in range(3))
    return a, b, c


def _points(
    axes: FloatArray, center: FloatArray, x: FloatArray, y: FloatArray, z: FloatArray
) -> FloatArray:
    """Return (n, 3) positions in the part's axes of view positions."""
    return np.asarray((np.stack([x, y, z], axis=1) - center) @ axes, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turned:
    """A part with a centre and a rotation (yaw, pitch, roll in radians)."""

    center: Point
    paint: Paint
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def frame(self, view: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the axes and the centre in view coordinates."""
        return view @ rotation(*self.turn), view @ np.array(self.center, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ball(_Turned):
    """An ellipsoid with three radii; what lies above the local height `cut` is missing."""

    radii: Point
    cut: float = math.inf

    def bounds(self, view: FloatArray) -> tuple[Point, float]:
        """Return a ball around it."""
        c = self.frame(view)[1]
        return (float(c[0]), float(c[1]), float(c[2])), max(self.radii)

    def depth(self, view: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Solve the quadratic of the scaled unit sphere."""
        axes, center = self.frame(view)
        q = [o / r for o, r in zip(_local(axes, center, x, y), self.radii, strict=True)]
        e = axes[2] / np.array(self.radii, np.float32)
        a = float(e @ e)
        b = q[0] * e[0] + q[1] * e[1] + q[2] * e[2]
        disc = b * b - a * (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] - 1)
        root = np.sqrt(np.maximum(disc, 0))
        z = (root - b) / np.float32(a)
        if self.cut < self.radii[1]:
            limit = self.cut / self.radii[1]
            back = (-root - b) / np.float32(a)
            z = np.where(q[1] + z * e[1] > limit, back, z)
            disc = np.where(q[1] + z * e[1] > limit, np.float32(-1), disc)
        return np.asarray(np.where(disc >= 0, z, -np.inf), np.float32)

    def surface(self, view: FloatArray, x: FloatArray, y: FloatArray, z: FloatArray) -> Surface:
        """Take the gradient of the ellipsoid."""
        axes, center = self.frame(view)
        local = _points(axes, center, x, y, z)
        return _unit((local / np.square(np.array(self.radii, np.float32))) @ axes.T), local


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(_Turned):
    """A box with three half sizes."""

    half: Point

    def bounds(self, view: FloatArray) -> tuple[Point, float]:
        """Return a ball around it."""
        c = self.frame(view)[1]
        return (float(c[0]), float(c[1]), float(c[2])), math.hypot(*self.half)

    def depth(self, view: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Cut the rays with the three slabs."""
        axes, center = self.frame(view)
        enter, leave = np.float32(np.inf), np.float32(-np.inf)
        for origin, d, h in zip(_local(axes, center, x, y), axes[2], self.half, strict=True):
            step = float(d) if abs(d) > 1e-4 else 1e-4
            middle, reach = origin * np.float32(-1 / step), np.float32(abs(h / step))
            enter = np.minimum(enter, middle + reach)
            leave = np.maximum(leave, middle - reach)
        return np.asarray(np.where(enter >= leave, enter, -np.inf), np.float32)

    def surface(self, view: FloatArray, x: FloatArray, y: FloatArray, z: FloatArray) -> Surface:
        """Take the face that a point is nearest to."""
        axes, center = self.frame(view)
        local = _points(axes, center, x, y, z)
        side = np.argmax(
            np.abs(local) / np.array(self.half, np.float32) * (np.abs(axes[2]) > 1e-4), axis=1
        )
        return np.asarray((axes * np.sign(axes[2])).T[side], np.float32), local


@dataclass(frozen=True, slots=True, kw_only=True)
class Drum(_Turned):
    """A cylinder or cone about its own y axis: radii at the bottom and the top."""

    bottom: float
    top: float
    half_height: float

    def bounds(self, view: FloatArray) -> tuple[Point, float]:
        """Return a ball around it."""
        c = self.frame(view)[1]
        radius = math.hypot(max(self.bottom, self.top), self.half_height)
        return (float(c[0]), float(c[1]), float(c[2])), radius

    def depth(self, view: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Take the nearer of the mantle and the lid that is turned to the viewer."""
        axes, center = self.frame(view)
        ox, oy, oz = _local(axes, center, x, y)
        dx, dy, dz = (float(v) for v in axes[2])
        h, mean = self.half_height, (self.bottom + self.top) / 2
        k = (self.top - self.bottom) / (2 * h)
        a = dx * dx + dz * dz - k * k * dy * dy
        a = a if abs(a) > 1e-5 else 1e-5
        rim = mean + k * oy
        b = ox * dx + oz * dz - k * dy * rim
        disc = b * b - a * (ox * ox + oz * oz - rim * rim)
        mantle = (np.sqrt(np.maximum(disc, 0)) * math.copysign(1, a) - b) / a
        mantle = np.where(
            (disc >= 0) & (np.abs(oy + mantle * dy) <= h), mantle, np.float32(-np.inf)
        )
        dy = dy if abs(dy) > 1e-4 else 1e-4
        sign = math.copysign(1, dy)
        lid = (sign * h - oy) / dy
        on_lid = (ox + lid * dx) ** 2 + (oz + lid * dz) ** 2 <= (mean + k * sign * h) ** 2
        return np.asarray(np.maximum(mantle, np.where(on_lid, lid, -np.inf)), np.float32)

    def surface(self, view: FloatArray, x: FloatArray, y: FloatArray, z: FloatArray) -> Surface:
        """Tell lid from mantle by the height."""
        axes, center = self.frame(view)
        local = _points(axes, center, x, y, z)
        k = (self.top - self.bottom) / (2 * self.half_height)
        normal = local.copy()
        normal[:, 1] = -k * np.hypot(local[:, 0], local[:, 2])
        flat = np.abs(local[:, 1]) > self.half_height * 0.999 - 1e-4
        normal[flat] = (0, math.copysign(1, float(axes[2, 1])), 0)
        return _unit(normal @ axes.T), local


@dataclass(frozen=True, slots=True, kw_only=True)
class Limb:
    """A rounded rod from one point to another, with a radius at each."""

    start: Point
    end: Point
    paint: Paint
    radius: float
    end_radius: float | None = None

    def _ends(self, view: FloatArray) -> tuple[Point, Point, float, float]:
        """Return start, axis and both radii in view coordinates."""
        turn = view.tolist()
        p, q = _turned(turn, self.start), _turned(turn, self.end)
        axis = (q[0] - p[0], q[1] - p[1], q[2] - p[2])
        return p, axis, self.radius, self.radius if self.end_radius is None else self.end_radius

    def bounds(self, view: FloatArray) -> tuple[Point, float]:
        """Return a ball around it."""
        p, axis, r0, r1 = self._ends(view)
        center = (p[0] + axis[0] / 2, p[1] + axis[1] / 2, p[2] + axis[2] / 2)
        return center, math.hypot(*axis) / 2 + max(r0, r1)

    def _section(self, view: FloatArray, x: FloatArray, y: FloatArray) -> Section:
        """Return distance to the projected axis (two parts), share along it, squared height."""
        p, axis, r0, r1 = self._ends(view)
        ax, ay, _ = axis
        px, py = x - p[0], y - p[1]
        norm = max(ax * ax + ay * ay, 1e-9)
        along = np.clip(px * (ax / norm) + py * (ay / norm), 0, 1)
        dx = np.asarray(px - along * ax, np.float32)
        dy = np.asarray(py - along * ay, np.float32)
        radius = r0 + (r1 - r0) * along
        bulge = np.asarray(radius * radius - dx * dx - dy * dy, np.float32)
        return dx, dy, np.asarray(along, np.float32), bulge

    def depth(self, view: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Take the distance to the projected axis as the position on a round section."""
        p, axis, _, _ = self._ends(view)
        _, _, along, bulge = self._section(view, x, y)
        z = p[2] + along * axis[2] + np.sqrt(np.maximum(bulge, 0))
        return np.asarray(np.where(bulge >= 0, z, -np.inf), np.float32)

    def surface(self, view: FloatArray, x: FloatArray, y: FloatArray, z: FloatArray) -> Surface:
        """Take the normal of the round section."""
        dx, dy, along, bulge = self._section(view, x, y)
        high = np.sqrt(np.maximum(bulge, 0))
        length = math.hypot(*self._ends(view)[1])
        normal = _unit(np.stack([dx, dy, high], axis=1))
        return normal, np.stack([dx, along * length, high], axis=1).astype(np.float32)


def _turned(turn: list[list[float]], p: Point) -> Point:
    """Return a rotated point."""
    x, y, z = (row[0] * p[0] + row[1] * p[1] + row[2] * p[2] for row in turn)
    return x, y, z


def _unit(vectors: FloatArray) -> FloatArray:
    """Return (n, 3) vectors of length 1."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.asarray(vectors / np.maximum(length, 1e-6)[:, None], np.float32)


def shade(paint: Paint, normal: FloatArray, local: FloatArray) -> FloatArray:
    """Return (n, 3) colours 0..255 of surface points: pattern, daylight, sky light, highlight."""
    weight = PATTERNS[paint.pattern](local / paint.scale)[:, None]
    base = (
        np.array(paint.color, np.float32) * (1 - weight)
        + np.array(paint.other, np.float32) * weight
    )
    direct = np.maximum(normal @ SUN, 0)
    light = 0.42 + 0.2 * normal[:, 1] + 0.55 * direct
    color = np.asarray(base * light[:, None], np.float32)
    if paint.shine:
        color += (np.maximum(normal @ GLOSS, 0) ** 24 * (paint.shine * 200))[:, None]
    return color


def render_parts(
    parts: Sequence[Part], *, pixels: int, yaw: float = 0.0, pitch: float = 0.12, smooth: int = 2
) -> Sprite:
    """Return the picture of a set of parts.

    Args:
        parts: what to draw, in metres.
        pixels: longer side of the picture.
        yaw: turn about the vertical in radians.
        pitch: how far the viewer looks down, in radians.
        smooth: rays per pixel and axis.

    Returns:
        A sprite cut to the outline; its lower edge stands on the ground at y = 0 or floats.
    """
    view = rotation(pitch=pitch) @ rotation(yaw=yaw)
    balls = [part.bounds(view) for part in parts]
    x0, x1 = min(c[0] - r for c, r in balls), max(c[0] + r for c, r in balls)
    y0, y1 = min(c[1] - r for c, r in balls), max(c[1] + r for c, r in balls)
    per_m = pixels * smooth / max(x1 - x0, y1 - y0)
    w, h = max(4, round((x1 - x0) * per_m)), max(4, round((y1 - y0) * per_m))
    depth = np.full((h, w), -np.inf, np.float32)
    color = np.zeros((h, w, 3), np.float32)
    for part, ((cx, cy, _), r) in zip(parts, balls, strict=True):
        left, right = max(0, int((cx - r - x0) * per_m)), min(w, int((cx + r - x0) * per_m) + 2)
        top, bottom = max(0, int((y1 - cy - r) * per_m)), min(h, int((y1 - cy + r) * per_m) + 2)
        xs = (np.arange(left, right, dtype=np.float32) + 0.5)[None, :] / per_m + x0
        ys = y1 - (np.arange(top, bottom, dtype=np.float32) + 0.5)[:, None] / per_m
        x, y = xs.astype(np.float32), ys.astype(np.float32)
        z = part.depth(view, x, y)
        old = depth[top:bottom, left:right]
        at = np.nonzero(z > old)
        if not len(at[0]):
            continue
        front = z[at].astype(np.float32)
        old[at] = front
        normal, local = part.surface(view, x[0, at[1]], y[at[0], 0], front)
        color[top:bottom, left:right][at] = shade(part.paint, normal, local)
    seen = np.isfinite(depth)
    if not seen.any():  # so thin that it lies between the rays
        return render_parts(parts, pixels=pixels, yaw=yaw, pitch=pitch, smooth=2 * smooth)
    return _to_sprite(color, seen, smooth, per_m, y0, y1)


def _to_sprite(
    color: FloatArray, seen: np.ndarray, smooth: int, per_m: float, y0: float, y1: float
) -> Sprite:
    """Cut to the outline and average the rays of each pixel."""
    rows, cols = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    top, left = int(rows[0]) // smooth * smooth, int(cols[0]) // smooth * smooth
    h = max(2, -(-(int(rows[-1]) + 1 - top) // smooth))
    w = max(2, -(-(int(cols[-1]) + 1 - left) // smooth))
    pad = (
        (0, max(0, top + h * smooth - seen.shape[0])),
        (0, max(0, left + w * smooth - seen.shape[1])),
    )
    seen = np.pad(seen, pad)[top : top + h * smooth, left : left + w * smooth]
    color = np.pad(color, (*pad, (0, 0)))[top : top + h * smooth, left : left + w * smooth]
    weight = seen.astype(np.float32)
    alpha = np.asarray(cv2.resize(weight, (w, h), interpolation=cv2.INTER_AREA), np.float32)
    summed = cv2.resize(color * weight[..., None], (w, h), interpolation=cv2.INTER_AREA)
    mean = np.asarray(summed / np.maximum(alpha, 1e-3)[..., None], np.float32)
    bottom = y1 - (top + h * smooth) / per_m
    return Sprite(
        color=bleed(mean, alpha),
        alpha=np.rint(alpha * 255).astype(np.uint8),
        height_m=h * smooth / per_m,
        lift_m=max(0.0, bottom) if bottom > 0.1 else 0.0,
    )
