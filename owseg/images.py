"""Codec of ROS 2 image messages: raw or compressed in, RGB or labels out, and back.

The decoders read any object with the fields of `sensor_msgs/Image` or
`sensor_msgs/CompressedImage`, whichever library made it. `step` (row padding)
and `is_bigendian` are honoured. Conventions:

- 8UC3 and 8UC4 are taken as BGR and BGRA, 8UC1 as grey (as OpenCV and RViz do);
- 16-bit pictures keep their high byte (`value >> 8`), as OpenCV does for 16-bit PNG;
- yuv422, nv12 and nv21 are BT.601 with limited range;
- label images are never colour-converted or scaled, and never read from JPEG.

Decoded arrays may share memory with the message: treat them as read-only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from owseg.errors import ImageError
from owseg.types import UInt8Array

Pixels = npt.NDArray[Any]

LabelMap = npt.NDArray[Any]
"""(H, W) label ids: uint8, uint16 or int32."""


class ImageMessage(Protocol):
    """The fields of `sensor_msgs/msg/Image` that matter here; `data` is any byte buffer."""

    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def encoding(self) -> str: ...  # noqa: D102
    @property
    def is_bigendian(self) -> int: ...  # noqa: D102
    @property
    def step(self) -> int: ...  # noqa: D102
    @property
    def data(self) -> Any: ...  # noqa: D102


class CompressedMessage(Protocol):
    """The fields of `sensor_msgs/msg/CompressedImage` that matter here."""

    @property
    def format(self) -> str: ...  # noqa: D102
    @property
    def data(self) -> Any: ...  # noqa: D102


class ImageFields(NamedTuple):
    """Values for the fields of `sensor_msgs/msg/Image`; `data` is flat uint8."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: UInt8Array


class CompressedFields(NamedTuple):
    """Values for the fields of `sensor_msgs/msg/CompressedImage`; `data` is flat uint8."""

    format: str
    data: UInt8Array


class _Layout(NamedTuple):
    """How the samples of one encoding lie in memory, and how they become RGB.

    Attributes:
        dtype: of one sample.
        channels: samples per pixel in a row of data.
        to_rgb: (rows, W[, channels]) native-endian view -> (H, W, 3) uint8.
        half_rows: rows of data per two rows of the image (3 for 4:2:0).
        even: width (and for 4:2:0 height) must be even.
    """

    dtype: type[np.generic]
    channels: int
    to_rgb: Callable[[Pixels], Pixels]
    half_rows: int = 2
    even: bool = False


def _convert(code: int) -> Callable[[Pixels], Pixels]:
    def to_rgb(pixels: Pixels) -> Pixels:
        return cv2.cvtColor(pixels, code)

    return to_rgb


def _high_byte(then: Callable[[Pixels], Pixels]) -> Callable[[Pixels], Pixels]:
    def to_rgb(pixels: Pixels) -> Pixels:
        return (then(pixels) >> 8).astype(np.uint8)

    return to_rgb


_GRAY = _convert(cv2.COLOR_GRAY2RGB)
_BGR = _convert(cv2.COLOR_BGR2RGB)
_BGRA = _convert(cv2.COLOR_BGRA2RGB)

# OpenCV names a Bayer pattern after its second row, ROS after its first.
_BAYER = {
    "rggb": _convert(cv2.COLOR_BayerBG2RGB),
    "bggr": _convert(cv2.COLOR_BayerRG2RGB),
    "gbrg": _convert(cv2.COLOR_BayerGR2RGB),
    "grbg": _convert(cv2.COLOR_BayerGB2RGB),
}

_UYVY = _Layout(np.uint8, 2, _convert(cv2.COLOR_YUV2RGB_UYVY), even=True)
_YUYV = _Layout(np.uint8, 2, _convert(cv2.COLOR_YUV2RGB_YUY2), even=True)

_LAYOUTS: dict[str, _Layout] = {
    "rgb8": _Layout(np.uint8, 3, np.ascontiguousarray),
    "bgr8": _Layout(np.uint8, 3, _BGR),
    "rgba8": _Layout(np.uint8, 4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra8": _Layout(np.uint8, 4, _BGRA),
    "rgb16": _Layout(np.uint16, 3, _high_byte(np.ascontiguousarray)),
    "bgr16": _Layout(np.uint16, 3, _high_byte(_BGR)),
    "mono8": _Layout(np.uint8, 1, _GRAY),
    "mono16": _Layout(np.uint16, 1, _high_byte(_GRAY)),
    "8UC1": _Layout(np.uint8, 1, _GRAY),
    "8UC3": _Layout(np.uint8, 3, _BGR),
    "8UC4": _Layout(np.uint8, 4, _BGRA),
    "16UC1": _Layout(np.uint16, 1, _high_byte(_GRAY)),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _Layout(np.uint8, 1, _convert(cv2.COLOR_YUV2RGB_NV12), half_rows=3, even=True),
    "nv21": _Layout(np.uint8, 1, _convert(cv2.COLOR_YUV2RGB_NV21), half_rows=3, even=True),
    **{f"bayer_{name}8": _Layout(np.uint8, 1, to_rgb) for name, to_rgb in _BAYER.items()},
    **{
        f"bayer_{name}16": _Layout(np.uint16, 1, _high_byte(to_rgb))
        for name, to_rgb in _BAYER.items()
    },
}

_LABEL_LAYOUTS: dict[str, _Layout] = {
    "mono8": _Layout(np.uint8, 1, np.ascontiguousarray),
    "8UC1": _Layout(np.uint8, 1, np.ascontiguousarray),
    "mono16": _Layout(np.uint16, 1, np.ascontiguousarray),
    "16UC1": _Layout(np.uint16, 1, np.ascontiguousarray),
    "32SC1": _Layout(np.int32, 1, np.ascontiguousarray),
}

IMAGE_ENCODINGS = tuple(_LAYOUTS)
"""Encodings that `decode_image` reads."""

LABEL_ENCODINGS = tuple(_LABEL_LAYOUTS)
"""Encodings that `decode_label_image` reads; as pictures they carry no colour."""


def decode_image(msg: ImageMessage) -> UInt8Array:
    """Decode a raw image message.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous; rgb8 without row padding is not copied.

    Raises:
        ImageError: unknown encoding, impossible step, too little data, empty image.
    """
    return _decode(msg, _LAYOUTS)


def decode_label_image(msg: ImageMessage) -> LabelMap:
    """Decode a raw image message of label ids, without any conversion.

    Returns:
        (H, W) uint8, uint16 or int32, C-contiguous and native-endian.

    Raises:
        ImageError: an encoding that cannot carry ids, impossible step, too little data.
    """
    return _decode(msg, _LABEL_LAYOUTS)


def _decode(msg: ImageMessage, layouts: dict[str, _Layout]) -> Pixels:
    layout = layouts.get(msg.encoding)
    if layout is None:
        what = "image" if layouts is _LAYOUTS else "label image"
        raise ImageError(
            f"{what} encoding {msg.encoding!r} is not supported; "
            f"publish it as one of {', '.join(layouts)}"
        )
    try:
        return layout.to_rgb(_view(msg, layout))
    except cv2.error as err:
        raise ImageError(f"OpenCV cannot convert {_name(msg)}: {_one_line(err)}") from err


def _view(msg: ImageMessage, layout: _Layout) -> Pixels:
    """See the data as a (rows, W[, channels]) array, without a copy where that is possible."""
    _check_size(msg, layout)
    dtype = np.dtype(layout.dtype).newbyteorder(">" if msg.is_bigendian else "<")
    rows = msg.height * layout.half_rows // 2
    row_bytes = msg.width * layout.channels * dtype.itemsize
    data = _buffer(msg.data, _name(msg))
    if msg.step < row_bytes:
        raise ImageError(
            f"{_name(msg)} has step {msg.step}, expected at least {row_bytes} bytes per row; "
            "correct `step` in the driver"
        )
    expected = msg.step * (rows - 1) + row_bytes
    if data.size < expected:
        raise ImageError(
            f"{_name(msg)} with step {msg.step} needs {expected} bytes of data, "
            f"got {data.size}; the message is cut short or its size fields are wrong"
        )
    shape = (rows, msg.width, layout.channels)
    strides = (msg.step, layout.channels * dtype.itemsize, dtype.itemsize)
    view: Pixels = np.ndarray(shape, dtype, buffer=data, strides=strides)
    if not dtype.isnative or not view.flags.aligned:
        view = view.astype(layout.dtype)
    return view[:, :, 0] if layout.channels == 1 else view


def _check_size(msg: ImageMessage, layout: _Layout) -> None:
    if msg.height < 1 or msg.width < 1:
        raise ImageError(f"{_name(msg)} is empty; check the camera driver")
    if layout.even and msg.width % 2:
        raise ImageError(f"{_name(msg)} has an odd width, which 4:2:2 and 4:2:0 do not allow")
    if layout.half_rows == 3 and msg.height % 2:
        raise ImageError(f"{_name(msg)} has an odd height, which 4:2:0 does not allow")


def _name(msg: ImageMessage) -> str:
    return f"{msg.encoding} image of {msg.width}x{msg.height}"


def _one_line(err: Exception) -> str:
    return " ".join(str(err).split())


def _buffer(data: Any, name: str) -> UInt8Array:
    """See any byte buffer as flat uint8, without a copy."""
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as err:
        raise ImageError(
            f"data of the {name} is a {type(data).__name__}, expected bytes or another byte buffer"
        ) from err


def encode_image(array: Pixels) -> ImageFields:
    """Lay an array out as a raw image message without row padding.

    Args:
        array: (H, W, 3) uint8 -> rgb8, (H, W) uint8 -> mono8, (H, W) uint16 -> 16UC1,
            (H, W) float32 -> 32FC1.

    Returns:
        the fields; `data` shares memory with `array` where that is C-contiguous.

    Raises:
        ImageError: another shape or dtype.
    """
    encoding = _ENCODINGS.get((array.dtype.name, array.shape[2:], array.ndim))
    if encoding is None or 0 in array.shape:
        raise ImageError(
            "expected (H, W, 3) uint8 or (H, W) uint8, uint16 or float32, "
            f"got {array.shape} {array.dtype}"
        )
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    height, width = array.shape[:2]
    data = array.reshape(-1).view(np.uint8)
    return ImageFields(
        height, width, encoding, int(sys.byteorder == "big"), data.size // height, data
    )


_ENCODINGS: dict[tuple[str, tuple[int, ...], int], str] = {
    ("uint8", (3,), 3): "rgb8",
    ("uint8", (), 2): "mono8",
    ("uint16", (), 2): "16UC1",
    ("float32", (), 2): "32FC1",
}


def encode_png(mask: Pixels, level: int = 1) -> CompressedFields:
    """Compress a mask without loss.

    Args:
        mask: (H, W) uint8 or uint16.
        level: zlib level, 0..9; 1 is nearly as small as 9 for masks, and faster.

    Raises:
        ImageError: another shape or dtype.
    """
    if mask.ndim != 2 or mask.dtype not in (np.uint8, np.uint16) or 0 in mask.shape:
        raise ImageError(f"expected an (H, W) uint8 or uint16 mask, got {mask.shape} {mask.dtype}")
    encoding = "mono8" if mask.dtype == np.uint8 else "16UC1"
    data = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, level])[1]
    return CompressedFields(f"{encoding}; png compressed {encoding}", data.reshape(-1))


def encode_jpeg(image: UInt8Array, quality: int = 90) -> CompressedFields:
    """Compress a picture with loss; never use it for masks.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: 0..100.

    Raises:
        ImageError: another shape or dtype.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(f"expected an (H, W, 3) uint8 image, got {image.shape} {image.dtype}")
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return CompressedFields("rgb8; jpeg compressed bgr8", data.reshape(-1))


class _Container(NamedTuple):
    """A compressed picture format: how it starts, and whether it is all there."""

    name: str
    magic: tuple[bytes, ...]
    is_complete: Callable[[bytes], bool]


def _jpeg_is_complete(data: bytes) -> bool:
    """Look for the end marker behind the first scan; an EXIF thumbnail lies before it."""
    pos = 2
    while pos + 4 <= len(data) and data[pos] == 0xFF:
        marker = data[pos + 1]
        if marker == 0xDA:
            return data.rfind(b"\xff\xd9", pos) >= 0
        if marker == 0xFF:
            pos += 1
        else:
            pos += 2 + int.from_bytes(data[pos + 2 : pos + 4], "big")
    return False


_CONTAINERS = (
    _Container("jpeg", (b"\xff\xd8\xff",), _jpeg_is_complete),
    _Container("png", (b"\x89PNG\r\n\x1a\n",), lambda data: data.rfind(b"IEND\xaeB`\x82") >= 0),
    _Container(
        "webp", (b"RIFF",), lambda data: len(data) >= 8 + int.from_bytes(data[4:8], "little")
    ),
    _Container("bmp", (b"BM",), lambda data: len(data) >= int.from_bytes(data[2:6], "little")),
    _Container("tiff", (b"II*\0", b"MM\0*"), lambda data: True),
)


def decode_compressed(msg: CompressedMessage) -> UInt8Array:
    """Decode a compressed image message (jpeg, png, webp, bmp or tiff).

    The content decides, not `format`: drivers write many spellings of it. Colours
    come out right for "rgb8; jpeg compressed bgr8" and its like, because the
    file itself always holds standard colours.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        ImageError: not a picture, truncated, or damaged.
    """
    bgr = _imdecode(msg, cv2.IMREAD_COLOR)[0]
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), np.uint8)


def decode_label_compressed(msg: CompressedMessage) -> LabelMap:
    """Decode a compressed image message of label ids.

    Returns:
        (H, W) uint8 or uint16, C-contiguous, exactly the stored values.

    Raises:
        ImageError: lossy, coloured or paletted, fewer than 8 bits, truncated or damaged.
    """
    labels, container = _imdecode(msg, cv2.IMREAD_UNCHANGED)
    if container not in ("png", "tiff"):
        raise ImageError(f"a label image in {container} loses its ids; store it as png")
    if container == "png" and _buffer(msg.data, "label image")[24] < 8:
        raise ImageError("label png has fewer than 8 bits per pixel; store it as 8-bit grey")
    if labels.ndim != 2 or labels.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"label {container} holds {labels.shape} {labels.dtype}, expected one channel of "
            "8 or 16 bits; store the ids as grey values, not as colours or a palette"
        )
    return labels


def _imdecode(msg: CompressedMessage, flags: int) -> tuple[Pixels, str]:
    """Decode to whatever OpenCV makes of it; returns the pixels and the container's name."""
    buffer = _buffer(msg.data, "compressed image")
    data = buffer.tobytes()
    found = [c for c in _CONTAINERS if data.startswith(c.magic)]
    if not found:
        raise ImageError(
            f"compressed image with format {msg.format!r} starts with {data[:4].hex() or 'nothing'}"
            f" ({len(data)} bytes): not one of {', '.join(c.name for c in _CONTAINERS)}"
        )
    name = found[0].name
    if not found[0].is_complete(data):
        raise ImageError(f"{name} image is truncated after {len(data)} bytes; record it again")
    try:
        pixels = cv2.imdecode(buffer, flags)
    except cv2.error as err:
        raise ImageError(f"{name} image cannot be decoded: {_one_line(err)}") from err
    if pixels is None:
        raise ImageError(f"{name} image of {len(data)} bytes is damaged and cannot be decoded")
    return pixels, name
