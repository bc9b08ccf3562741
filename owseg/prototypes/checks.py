"""Checks of what goes into a prototype store: names, vectors, radius, colour, shots."""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.errors import PrototypeError
from owseg.outputs import UNKNOWN_NAME
from owseg.prototypes.classes import MAX_NAME, NovelClass, Shot
from owseg.types import FloatArray

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_PIXELS = 2**53


def name_key(name: str) -> str:
    """Return what two names have in common that count as the same: case and width aside."""
    return unicodedata.normalize("NFKC", name.strip()).casefold()


def clean_name(name: Any) -> str:
    """Return the name stripped and in Unicode normal form C.

    Raises:
        PrototypeError: not text, empty, longer than `MAX_NAME`, with characters that cannot
            be printed, or the name of what is no class.
    """
    if not isinstance(name, str):
        raise PrototypeError(f"the name of a class must be text, got {name!r}")
    clean = unicodedata.normalize("NFC", name.strip())
    if not clean:
        raise PrototypeError("the name of a class is empty; give it at least one character")
    if len(clean) > MAX_NAME:
        raise PrototypeError(
            f"the name '{clean[:20]}...' has {len(clean)} characters; at most {MAX_NAME} fit"
        )
    if not clean.isprintable():
        raise PrototypeError(
            f"the name {clean!a} has control or invisible characters; use letters, digits, spaces"
        )
    if name_key(clean) == UNKNOWN_NAME:
        raise PrototypeError(
            f"'{clean}' is what pixels of no class are called; choose another name"
        )
    return clean


def check_free_name(name: str, classes: Iterable[NovelClass], known: Iterable[str]) -> None:
    """Refuse a name that a class has already; upper and lower case are the same.

    Raises:
        PrototypeError: the name is taken, by a novel class or by one of the model.
    """
    key = name_key(name)
    for item in classes:
        if name_key(item.name) == key:
            raise PrototypeError(
                f"there is a class '{item.name}' already (id {item.id}); choose another name, or "
                "rename or remove that class"
            )
    for taken in known:
        if name_key(taken) == key:
            raise PrototypeError(
                f"'{taken}' is one of the model's own classes; choose another name"
            )


def find_class(name: Any, classes: Sequence[NovelClass]) -> NovelClass:
    """Return the class of that name; upper and lower case are the same.

    Raises:
        PrototypeError: there is none; the message lists those there are, the closest first.
    """
    key = name_key(str(name))
    for item in classes:
        if name_key(item.name) == key:
            return item
    if not classes:
        raise PrototypeError(f"no class {_quoted(name)}; the store has no classes")
    names = {name_key(item.name): item.name for item in classes}
    close = difflib.get_close_matches(key, names, n=1)
    guess = f"did you mean '{names[close[0]]}'? " if close else ""
    raise PrototypeError(f"no class {_quoted(name)}; {guess}there are {', '.join(names.values())}")


def _quoted(name: Any) -> str:
    text = str(name)
    return f"'{text}'" if text.isprintable() else ascii(text)


def clean_vectors(vectors: npt.ArrayLike, size: int = 0) -> FloatArray:
    """Return the prototypes as (M, D) float32, a read-only copy.

    Args:
        vectors: (M, D) numbers, M >= 1.
        size: D of the prototypes in the store; 0 = any.

    Raises:
        PrototypeError: another shape, not numbers, NaN, or too large for distances in float32.
    """
    try:
        array = np.asarray(vectors)
    except ValueError as error:  # lists of different lengths
        raise PrototypeError("the prototypes must have the same length each") from error
    if array.dtype.kind not in "fiu":
        raise PrototypeError(f"the prototypes must be numbers, got an array of {array.dtype}")
    if array.ndim != 2 or 0 in array.shape:
        raise PrototypeError(
            f"a class needs prototypes of shape (M, D) with M of at least 1, got {array.shape}"
        )
    if size and array.shape[1] != size:
        raise PrototypeError(
            f"the prototypes have length {array.shape[1]}, those in the store {size}; "
            "learn the class with the model that the store belongs to"
        )
    with np.errstate(over="ignore"):
        single = np.array(array, np.float32, order="C")
        norms = np.square(single).sum(axis=1)
    if not np.isfinite(single).all():
        raise PrototypeError("the prototypes hold NaN or infinite values; learn from other shots")
    if not np.isfinite(norms).all():
        raise PrototypeError("the prototypes are too long to measure distances in float32")
    single.setflags(write=False)
    return single


def clean_radius(radius: Any) -> float:
    """Return the radius, a squared distance > 0 that float32 can hold.

    Raises:
        PrototypeError: it is not such a number.
    """
    try:
        value = float(radius)
        with np.errstate(over="ignore", under="ignore"):
            single = float(np.float32(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise PrototypeError(f"the radius must be a number above 0, got {radius!r}") from error
    if not (math.isfinite(single) and single > 0):
        raise PrototypeError(f"the radius must be a float32 number above 0, got {value}")
    return value


def clean_color(color: Any) -> tuple[int, int, int]:
    """Return a colour as three whole numbers 0..255, RGB.

    Raises:
        PrototypeError: it is something else.
    """
    try:
        red, green, blue = (int(part) for part in color)
        same = (red, green, blue) == tuple(color)
    except (TypeError, ValueError, OverflowError) as error:
        raise PrototypeError(f"a colour is three numbers 0..255, got {color!r}") from error
    if not same or not all(0 <= part <= 255 for part in (red, green, blue)):
        raise PrototypeError(f"a colour is three whole numbers 0..255, got {color!r}")
    return red, green, blue


def clean_shots(shots: Iterable[Shot]) -> tuple[Shot, ...]:
    """Return the shots; what is not UTF-8 in a source is escaped.

    Raises:
        PrototypeError: a digest that is no SHA-256, or a number of pixels that cannot be.
    """
    return tuple(_clean_shot(shot) for shot in shots)


def _clean_shot(shot: Shot) -> Shot:
    if not _SHA256.fullmatch(str(shot.image_sha256)):
        raise PrototypeError(
            f"a shot has the image digest {shot.image_sha256!r}; expected 64 hexadecimal digits"
        )
    if not 1 <= int(shot.pixels) <= _MOST_PIXELS:
        raise PrototypeError(f"a shot has {shot.pixels} pixels; expected at least 1")
    source = shot.source.encode("utf-8", "backslashreplace").decode()
    return Shot(image_sha256=shot.image_sha256, pixels=int(shot.pixels), source=source)


def check_slots(new: int, classes: Iterable[NovelClass], slots: int) -> None:
    """Refuse more prototypes in total than the graph has slots.

    Raises:
        PrototypeError: they do not fit.
    """
    used = sum(len(item.vectors) for item in classes)
    if used + new > slots:
        raise PrototypeError(
            f"{new} more prototypes do not fit: {used} of the model's {slots} slots are in use; "
            "remove a class, learn with fewer prototypes, or export with more slots"
        )
