"""Samples of a source as the fields of image messages; what is a message already stays as it is."""

from __future__ import annotations

import numpy as np

from owseg.images import CompressedFields, ImageFields, encode_image, encode_jpeg
from owseg.replay.messages import COMPRESSED_IMAGE, IMAGE, deserialize
from owseg.replay.samples import Sample


def raw_fields(sample: Sample) -> ImageFields:
    """Return a sample as a raw image: as it was recorded, or as rgb8."""
    if sample.message is None or sample.message.msgtype != IMAGE:
        return encode_image(sample.frame.image)
    found = deserialize(sample.message.data, IMAGE)
    return ImageFields(
        found.height,
        found.width,
        found.encoding,
        found.is_bigendian,
        found.step,
        np.asarray(found.data),
    )


def compressed_fields(sample: Sample, quality: int) -> CompressedFields:
    """Return a sample as a compressed image: as it was recorded, or as a jpeg.

    Args:
        sample: of a source.
        quality: of the jpeg, 0..100.
    """
    if sample.message is None or sample.message.msgtype != COMPRESSED_IMAGE:
        return encode_jpeg(sample.frame.image, quality)
    found = deserialize(sample.message.data, COMPRESSED_IMAGE)
    return CompressedFields(found.format, np.asarray(found.data))
