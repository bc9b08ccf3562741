"""What an AddClass request asks for: examples to learn from, or vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from owseg import images
from owseg.engines.base import Engine
from owseg.errors import ImageError, PrototypeError, ShotError, UsageError
from owseg.prototypes.examples import Example
from owseg.prototypes.learn import LearnOptions
from owseg.types import FloatArray, UInt8Array
from owseg_ros.hosts.base import Message

_BITMAPS = ("mono8", "8UC1")


def color_of(request: Message) -> tuple[int, int, int] | None:
    """Return the colour that is asked for; None = the store picks one.

    Raises:
        UsageError: there are one or two numbers.
    """
    parts = [int(part) for part in np.asarray(request.color)]
    if not parts:
        return None
    if len(parts) != 3:
        raise UsageError(f"a colour is three numbers, got {len(parts)}; leave it empty for any")
    return parts[0], parts[1], parts[2]


def options_of(request: Message) -> LearnOptions:
    """Return how a class is to be learnt.

    Raises:
        UsageError: a negative or infinite radius.
    """
    radius = float(request.radius)
    return LearnOptions(
        prototypes=int(request.prototypes) or 1, radius=None if radius == 0 else radius
    )


def gives_vectors(request: Message) -> bool:
    """Whether the class is given as vectors.

    Raises:
        UsageError: neither vectors nor images are given, or both.
    """
    vectors = bool(np.asarray(request.vectors).size)
    pictures = bool(request.images or request.compressed_images)
    if vectors and pictures:
        raise UsageError("images and vectors are given; a class is learnt from one of both")
    if not vectors and not pictures:
        raise UsageError("nothing to learn from; give images with masks, or vectors")
    return vectors


def vectors_of(request: Message, engine: Engine) -> FloatArray:
    """Return the vectors of a request: (M, D) float32.

    Raises:
        PrototypeError: they are of another network, or of another length.
        UsageError: they come without a radius, or with masks.
    """
    name, size = engine.manifest.name, engine.manifest.embedding_size
    if request.masks or request.compressed_masks:
        raise UsageError("masks belong to images; give images too, or vectors alone")
    if request.space and request.space != engine.space:
        raise PrototypeError(
            f"the vectors belong to model {request.space[:12]}, not to '{name}' "
            f"({engine.space[:12]}); learn the class with that model"
        )
    vectors: FloatArray = np.asarray(request.vectors, np.float32)
    if request.size != size or len(vectors) % size:
        raise PrototypeError(
            f"model '{name}' has embeddings of length {size}; {len(vectors)} numbers in vectors "
            f"of length {request.size} do not fit"
        )
    if not request.radius > 0:
        raise UsageError(
            "vectors need a radius above 0: there are no examples that it could be fitted to"
        )
    return vectors.reshape(-1, size)


def examples_of(request: Message) -> list[Example]:
    """Return the examples of a request.

    Raises:
        ImageError: an image or mask that cannot be decoded.
        ShotError: a mask that does not fit its image, or is empty.
        UsageError: raw and compressed images at once, or not as many masks as images.
    """
    pictures = _one_of(request.images, request.compressed_images, "images")
    masks = _one_of(request.masks, request.compressed_masks, "masks")
    if len(pictures) != len(masks):
        raise UsageError(f"{len(pictures)} images need as many masks, got {len(masks)}")
    pairs = enumerate(zip(pictures, masks, strict=True), start=1)
    return [_example(number, picture, mask) for number, (picture, mask) in pairs]


def _one_of(raw: Any, compressed: Any, what: str) -> list[Message]:
    if raw and compressed:
        raise UsageError(f"raw and compressed {what} are given; fill one of the two lists")
    return list(raw or compressed)


def _example(number: int, picture: Message, mask: Message) -> Example:
    image = _decoded(f"image {number}", picture, images.decode_image, images.decode_compressed)
    source = f"image {number}{_origin(picture)}"
    return Example(image=image, mask=_bitmap(number, mask), source=source)


def _bitmap(number: int, message: Message) -> UInt8Array:
    """Return the mask of the class: 1 (`examples.CLASS`) where the message is not 0."""
    encoding = getattr(message, "encoding", "mono8")
    if encoding not in _BITMAPS:
        raise ShotError(
            f"mask {number} is {encoding}; send it as {' or '.join(_BITMAPS)}, 0 = not the class"
        )
    decoders = images.decode_label_image, images.decode_label_compressed
    mask: UInt8Array = (_decoded(f"mask {number}", message, *decoders) != 0).view(np.uint8)
    return mask


def _decoded(what: str, message: Message, decode_raw: Any, decode_compressed: Any) -> Any:
    try:
        is_raw = hasattr(message, "encoding")
        return decode_raw(message) if is_raw else decode_compressed(message)
    except ImageError as error:
        raise ImageError(f"{what}: {error}") from error


def _origin(picture: Message) -> str:
    """Say which camera took a picture, and when; "" where its header is empty."""
    stamp, frame = picture.header.stamp, picture.header.frame_id
    taken = f"{stamp.sec}.{stamp.nanosec:09d}" if stamp.sec or stamp.nanosec else ""
    text = " at ".join(part for part in (frame, taken) if part)
    return f" ({text})" if text else ""
