"""The calibration of a camera, read from the YAML file that ROS's calibrators write."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from owseg.errors import InputError

_MATRICES = {
    "distortion_coefficients": ("d", 0),
    "camera_matrix": ("k", 9),
    "rectification_matrix": ("r", 9),
    "projection_matrix": ("p", 12),
}
"""Keys of the file: field of `sensor_msgs/msg/CameraInfo`, and how many numbers (0 = any)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What `sensor_msgs/msg/CameraInfo` says of a camera; all zero = not calibrated.

    Attributes:
        width: of the image that it was calibrated with, pixels; 0 = any.
        height: the same.
        distortion_model: e.g. "plumb_bob".
        d: distortion coefficients.
        k: (3, 3) camera matrix, row by row.
        r: (3, 3) rectification.
        p: (3, 4) projection.
    """

    width: int = 0
    height: int = 0
    distortion_model: str = ""
    d: tuple[float, ...] = ()
    k: tuple[float, ...] = (0.0,) * 9
    r: tuple[float, ...] = (0.0,) * 9
    p: tuple[float, ...] = (0.0,) * 12


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        InputError: it cannot be read, or is no calibration of a camera.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; give a YAML file") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML; give the file that the calibrator wrote") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no calibration of a camera: it has no keys")
    matrices = {field: _numbers(content, key, n, path) for key, (field, n) in _MATRICES.items()}
    return Calibration(
        width=_size(content, "image_width", path),
        height=_size(content, "image_height", path),
        distortion_model=str(content.get("distortion_model", "plumb_bob")),
        **matrices,
    )


def _size(content: dict[str, Any], key: str, path: Path) -> int:
    value = content.get(key)
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{path} is no calibration of a camera: '{key}' is {value!r}")
    return value


def _numbers(content: dict[str, Any], key: str, count: int, path: Path) -> tuple[float, ...]:
    entry = content.get(key)
    data = entry.get("data") if isinstance(entry, dict) else None
    try:
        numbers = tuple(float(item) for item in data or ())
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: '{key}' must hold numbers under 'data'") from error
    wanted = f"{count} numbers" if count else "numbers"
    fits = len(numbers) == count if count else data is not None
    if not fits or not all(map(math.isfinite, numbers)):
        raise InputError(f"{path}: '{key}' must hold {wanted} under 'data', got {len(numbers)}")
    return numbers
