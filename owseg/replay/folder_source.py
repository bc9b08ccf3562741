"""Image files as a source: a folder of images, or one image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from owseg.closing import Closing
from owseg.errors import ImageError, InputError
from owseg.images import CompressedFields, decode_compressed, encode_image
from owseg.replay.bag_files import natural_key
from owseg.replay.messages import (
    COMPRESSED_IMAGE,
    IMAGE,
    CdrMessage,
    Header,
    serialize_compressed,
    serialize_image,
)
from owseg.replay.samples import Sample
from owseg.types import Frame

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

_MESSAGE_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}
_FIRST_STAMP_NS = 1_000_000_000
_FRAME_ID = "camera"


def image_files(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted naturally, without hidden ones."""
    found = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    return sorted(found, key=natural_key)


class FolderSource(Closing):
    """Image files in natural order, stamped at a fixed rate from 1 s on.

    Each image also comes as a message: jpeg and png files as they are on
    `image/compressed`, others as rgb8 on `image`.

    Args:
        path: a folder of images, or one image.
        rate_hz: images per second of the made-up stamps.

    Raises:
        InputError: the path does not exist or holds no images.
    """

    def __init__(self, path: Path, *, rate_hz: float = 10.0) -> None:
        self._files = _files(path)
        self._period_ns = round(1e9 / rate_hz)
        self.name = path.name or path.resolve().name
        self.count: int | None = len(self._files)
        self.description = f"{path}: {self.count} image files"

    def __iter__(self) -> Iterator[Sample]:
        """Read from the beginning.

        Raises:
            InputError: a file cannot be read.
            ImageError: a file is not an image, truncated or damaged.
        """
        for index, file in enumerate(self._files):
            yield self._sample(index, file)

    def _sample(self, index: int, file: Path) -> Sample:
        stamp_ns = _FIRST_STAMP_NS + index * self._period_ns
        try:
            data = np.frombuffer(file.read_bytes(), np.uint8)
        except OSError as err:
            raise InputError(f"{file} cannot be read: {err.strerror or err}") from err
        start = time.perf_counter()
        fields = CompressedFields(_MESSAGE_FORMATS.get(file.suffix.lower(), ""), data)
        try:
            image = decode_compressed(fields)
        except ImageError as err:
            raise ImageError(f"{file}: {err}") from err
        decode_ms = (time.perf_counter() - start) * 1e3
        frame = Frame(image=image, stamp_ns=stamp_ns, frame_id=_FRAME_ID, index=index)
        return Sample(
            frame=frame,
            message=_message(frame, fields),
            log_time_ns=stamp_ns,
            decode_ms=decode_ms,
        )


def _files(path: Path) -> Sequence[Path]:
    if not path.exists():
        raise InputError(f"{path} does not exist; give a folder of images or an image")
    if path.is_file():
        return [path]
    files = image_files(path)
    if not files:
        raise InputError(f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return files


def _message(frame: Frame, fields: CompressedFields) -> CdrMessage:
    header = Header(frame.stamp_ns, frame.frame_id)
    if fields.format:
        data = serialize_compressed(header, fields)
        return CdrMessage("/image/compressed", COMPRESSED_IMAGE, data, frame.stamp_ns)
    data = serialize_image(header, encode_image(frame.image))
    return CdrMessage("/image", IMAGE, data, frame.stamp_ns)
