"""Examples from files: an image with a mask, or with polygons as JSON.

Masks are images without loss (PNG). Without a label every pixel that is neither black nor
transparent belongs to the class; it must be plain which value that is. With a label id the
mask is a label image: that id is the class, 255 says nothing, all else is something else.

Polygons are a JSON list of polygons [[x, y], ...], or the file that LabelMe writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from owseg.errors import ImageError, ShotError
from owseg.images import CompressedFields, decode_compressed
from owseg.prototypes.checks import name_key
from owseg.prototypes.examples import CLASS, IGNORE, OTHER, Example, Polygon, mask_of_polygons
from owseg.types import IGNORE_ID, UInt8Array

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
POLYGON_SUFFIX = ".json"
_MASK_END = "_mask"
_LOSSY = (b"\xff\xd8\xff",)
_MAIN = 0.5
"""Of what a mask marks, the share of one value, at least; the rest are soft edges."""
_SECOND = 0.05
"""Share of another value from which on it is no soft edge."""
_BEYOND = 2**53
"""Whole numbers from here on are no places in an image, and may not even fit a float."""


def load_shot(image: Path, mask: Path, *, name: str = "", label: str | None = None) -> Example:
    """Read an image and its mask or polygons.

    Args:
        image: the image file.
        mask: a mask image, or polygons where it ends in .json.
        name: name of the class, which chooses the shapes in LabelMe's files.
        label: id of the class in a label image, or its label in LabelMe's files.

    Raises:
        ShotError: a file that cannot be read or does not fit the other.
    """
    pixels = read_image(image)
    if mask.suffix.lower() == POLYGON_SUFFIX:
        marked = _polygon_mask(mask, pixels, label or name, must_match=label is not None)
    else:
        marked = _mask(mask, label)
    return Example(image=pixels, mask=marked, source=f"{image.name} with {mask.name}")


def load_folder(folder: Path, *, name: str = "", label: str | None = None) -> list[Example]:
    """Read all images of a folder that have a mask; the arguments are those of `load_shot`.

    The mask of NAME.jpg is masks/NAME.png or masks/NAME.json in the folder or next to it,
    else NAME.json, NAME_mask.png or (unless the image is a PNG) NAME.png beside it.

    Raises:
        ShotError: no image with a mask, or a file that cannot be read.
    """
    if not folder.is_dir():
        raise ShotError(f"no folder {folder}; give one with images and masks")
    found = list(_pairs(folder))
    if not found:
        raise ShotError(
            f"{folder} has no image with a mask; expected NAME.jpg with NAME.json, NAME_mask.png "
            "or masks/NAME.png"
        )
    return [load_shot(image, mask, name=name, label=label) for image, mask in found]


def left_out(folder: Path) -> list[str]:
    """Name the files of which `load_folder` makes nothing, since their partner is missing.

    Those are images without a mask, and masks (NAME_mask.png, or in a folder masks) without
    an image.
    """
    used = {path for pair in _pairs(folder) for path in pair}
    patterns = (f"*{_MASK_END}.png", "masks/*.png", f"masks/*{POLYGON_SUFFIX}")
    masks = {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(str(path.relative_to(folder)) for path in {*_images(folder), *masks} - used)


def read_image(path: Path) -> UInt8Array:
    """Read an image file as (H, W, 3) uint8 RGB.

    Raises:
        ShotError: it cannot be read, or is no image.
    """
    try:
        return decode_compressed(CompressedFields(path.suffix[1:], _bytes(path)))
    except ImageError as error:
        raise ShotError(f"{path} is not a readable image: {error}") from error


def _pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    for image in _images(folder):
        mask = next((path for path in _candidates(image) if path.is_file()), None)
        if mask is not None:
            yield image, mask


def _images(folder: Path) -> Iterator[Path]:
    images = folder / "images" if (folder / "images").is_dir() else folder
    for path in sorted(images.iterdir()):
        is_image = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        if is_image and not path.stem.endswith(_MASK_END):
            yield path


def _candidates(image: Path) -> Iterator[Path]:
    folder, stem = image.parent, image.stem
    for place in (folder / "masks", folder.parent / "masks"):
        yield place / f"{stem}.png"
        yield place / f"{stem}{POLYGON_SUFFIX}"
    yield folder / f"{stem}{POLYGON_SUFFIX}"
    yield folder / f"{stem}{_MASK_END}.png"
    if image.suffix.lower() != ".png":
        yield folder / f"{stem}.png"


def _bytes(path: Path) -> UInt8Array:
    try:
        return np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ShotError(f"{path} cannot be read: {error.strerror or error}") from error


def _mask(path: Path, label: str | None) -> UInt8Array:
    data = _bytes(path)
    if data.tobytes().startswith(_LOSSY):
        raise ShotError(f"{path}: a mask in JPEG loses its values; store it as PNG")
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:  # e.g. a header that claims a huge image
        pixels = None
    if pixels is None:
        raise ShotError(f"{path} is not a readable mask image; store it as PNG")
    return _drawn_mask(path, pixels) if label is None else _label_mask(path, pixels, label)


def _drawn_mask(path: Path, pixels: np.ndarray) -> UInt8Array:
    """Return what is neither black nor transparent; refuse label images and pictures."""
    values = pixels
    if pixels.ndim == 3:
        values = pixels[..., :3].astype(np.int64) @ np.array([1, 2**16, 2**32])
    marked = values != 0
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        marked &= pixels[..., 3] > 0
    counts = np.sort(np.unique(values[marked], return_counts=True)[1])[::-1]
    if len(counts) > 1 and (counts[0] < _MAIN * marked.sum() or counts[1] > _SECOND * marked.sum()):
        raise ShotError(
            f"{path} has {len(counts)} values besides black, so that it is not plain which is the "
            "class; give --label ID if it is a label image, or store the mask in black and white"
        )
    mask = np.full(pixels.shape[:2], OTHER, np.uint8)
    mask[marked] = CLASS
    return mask


def _label_mask(path: Path, pixels: np.ndarray, label: str) -> UInt8Array:
    if pixels.ndim != 2:
        raise ShotError(f"{path} has colours; a label id needs a grey image of ids")
    if not label.isdecimal():
        raise ShotError(f"the label '{label}' is no id; {path} is a label image, give a number")
    wanted = pixels == int(label)
    if not wanted.any():
        ids = ", ".join(str(value) for value in np.unique(pixels)[:12])
        raise ShotError(f"{path} has no pixel with the label {label}; it has {ids}")
    mask = np.full(pixels.shape, OTHER, np.uint8)
    mask[pixels == IGNORE_ID] = IGNORE
    mask[wanted] = CLASS
    return mask


def _polygon_mask(path: Path, image: UInt8Array, label: str, *, must_match: bool) -> UInt8Array:
    try:
        content = json.loads(_bytes(path).tobytes())
    except (ValueError, RecursionError) as error:
        raise ShotError(f"{path} is not JSON: {error}") from error
    height, width = image.shape[:2]
    if isinstance(content, dict):
        polygons = _labelme(path, content, (height, width), label, must_match)
    else:
        polygons = _plain(path, content)
    return mask_of_polygons(polygons, height, width, str(path))


def _plain(path: Path, content: Any) -> list[Polygon]:
    if not isinstance(content, list):
        raise ShotError(f"{path} holds no list of polygons [[x, y], ...]")
    single = bool(content) and _is_corner(content[0])
    return [_polygon(path, corners) for corners in ([content] if single else content)]


def _is_corner(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(v) for v in value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, float) or abs(value) < _BEYOND


def _polygon(path: Path, corners: Any) -> Polygon:
    if not isinstance(corners, list) or not all(_is_corner(corner) for corner in corners):
        raise ShotError(f"{path}: a polygon is a list of corners [x, y], got {str(corners)[:60]}")
    return np.array(corners, np.float64).reshape(-1, 2)


def _labelme(
    path: Path, content: dict[str, Any], size: tuple[int, int], label: str, must_match: bool
) -> list[Polygon]:
    shapes = content.get("shapes")
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise ShotError(f"{path} is no file of LabelMe: it has no list 'shapes'")
    drawn = content.get("imageHeight"), content.get("imageWidth")
    if all(isinstance(length, int) for length in drawn) and drawn != size:
        raise ShotError(
            f"{path} was drawn on an image of {drawn[1]}x{drawn[0]}, "
            f"this one is {size[1]}x{size[0]}"
        )
    chosen = _labelled(path, shapes, label, must_match)
    return [_outline(path, shape) for shape in chosen]


def _labelled(
    path: Path, shapes: list[dict[str, Any]], label: str, must_match: bool
) -> list[dict[str, Any]]:
    """Return the shapes of a label; all of them where they have one label anyway."""
    labels = dict.fromkeys(str(shape.get("label", "")) for shape in shapes)
    chosen = [s for s in shapes if name_key(str(s.get("label", ""))) == name_key(label)]
    if chosen or (len(labels) <= 1 and not must_match):
        return chosen or shapes
    raise ShotError(
        f"{path} has no shape labelled '{label}'; it has {', '.join(labels) or 'none'}; "
        "choose with --label"
    )


def _outline(path: Path, shape: dict[str, Any]) -> Polygon:
    kind, corners = shape.get("shape_type") or "polygon", _polygon(path, shape.get("points"))
    if kind == "polygon" or (kind == "rectangle" and len(corners) == 4):
        return corners
    if kind == "rectangle" and len(corners) == 2:
        (left, top), (right, bottom) = corners
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    raise ShotError(
        f"{path}: a shape of type '{kind}' with {len(corners)} points cannot be used; "
        "draw polygons or rectangles"
    )
