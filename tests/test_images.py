"""The image codec against a slow reference that reads one pixel at a time."""

from __future__ import annotations

import array
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg import images
from owseg.errors import ImageError

WIDTH, HEIGHT = 6, 4

# Samples per pixel, bytes per sample, and which sample is red, green, blue.
PACKED = {
    "rgb8": (3, 1, (0, 1, 2)),
    "bgr8": (3, 1, (2, 1, 0)),
    "rgba8": (4, 1, (0, 1, 2)),
    "bgra8": (4, 1, (2, 1, 0)),
    "8UC3": (3, 1, (2, 1, 0)),
    "8UC4": (4, 1, (2, 1, 0)),
    "mono8": (1, 1, (0, 0, 0)),
    "8UC1": (1, 1, (0, 0, 0)),
    "rgb16": (3, 2, (0, 1, 2)),
    "bgr16": (3, 2, (2, 1, 0)),
    "mono16": (1, 2, (0, 0, 0)),
    "16UC1": (1, 2, (0, 0, 0)),
}
LABELS = {"mono8": "B", "8UC1": "B", "mono16": "H", "16UC1": "H", "32SC1": "i"}


def message(encoding, data, step, *, big=False, width=WIDTH, height=HEIGHT):
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, is_bigendian=int(big), step=step, data=data
    )


def noise(rows, row_bytes, padding, seed=0):
    """Random rows with random padding behind each, as bytes."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, rows * (row_bytes + padding), dtype=np.uint8).tobytes()


def reference_packed(msg):
    channels, size, order = PACKED[msg.encoding]
    out = np.zeros((msg.height, msg.width, 3), np.uint8)
    for y in range(msg.height):
        for x in range(msg.width):
            for c, source in enumerate(order):
                at = y * msg.step + (x * channels + source) * size
                high = at if size == 1 or msg.is_bigendian else at + 1
                out[y, x, c] = msg.data[high]
    return out


def yuv_to_rgb(y, u, v):
    """BT.601, limited range; luma below black counts as black."""
    y, u, v = 1.164 * max(0, y - 16), u - 128, v - 128
    rgb = (y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u)
    return [min(255, max(0, round(value))) for value in rgb]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 2, 7])
@pytest.mark.parametrize("encoding", PACKED)
def test_packed_encodings(encoding, padding, big):
    channels, size, _ = PACKED[encoding]
    row = WIDTH * channels * size
    msg = message(encoding, noise(HEIGHT, row, padding), row + padding, big=big)
    rgb = images.decode_image(msg)
    np.testing.assert_array_equal(rgb, reference_packed(msg))
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    ("encoding", "y_at", "u_at", "v_at"),
    [("yuv422", 1, 0, 2), ("uyvy", 1, 0, 2), ("yuv422_yuy2", 0, 1, 3), ("yuyv", 0, 1, 3)],
)
def test_yuv422(encoding, y_at, u_at, v_at, padding):
    step = 2 * WIDTH + padding
    data = noise(HEIGHT, 2 * WIDTH, padding)
    rgb = images.decode_image(message(encoding, data, step))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            pair = y * step + x // 2 * 4
            luma = data[pair + y_at + 2 * (x % 2)]
            expected = yuv_to_rgb(luma, data[pair + u_at], data[pair + v_at])
            np.testing.assert_allclose(rgb[y, x].astype(int), expected, atol=2)


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize(("encoding", "u_at", "v_at"), [("nv12", 0, 1), ("nv21", 1, 0)])
def test_yuv420(encoding, u_at, v_at, padding):
    step = WIDTH + padding
    data = noise(HEIGHT * 3 // 2, WIDTH, padding)
    rgb = images.decode_image(message(encoding, data, step))
    assert rgb.shape == (HEIGHT, WIDTH, 3)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            chroma = (HEIGHT + y // 2) * step + x // 2 * 2
            expected = yuv_to_rgb(data[y * step + x], data[chroma + u_at], data[chroma + v_at])
            np.testing.assert_allclose(rgb[y, x].astype(int), expected, atol=2)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer(pattern, bits, big):
    """Inside the image a missing colour is the mean of its nearest samples."""
    width, height, padding, size = 8, 6, 2, bits // 8
    step = width * size + padding
    data = noise(height, width * size, padding)
    msg = message(f"bayer_{pattern}{bits}", data, step, big=big, width=width, height=height)
    rgb = images.decode_image(msg)

    def sample(y, x):
        at = y * step + x * size
        return int.from_bytes(data[at : at + size], "big" if big else "little")

    colours = [[pattern[2 * (y % 2) + x % 2] for x in range(width)] for y in range(height)]
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            for c, colour in enumerate("rgb"):
                cells = [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
                near = [(y, x)] if colours[y][x] == colour else cells
                if colour == "g" and colours[y][x] != "g":
                    near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                values = [sample(*cell) for cell in near if colours[cell[0]][cell[1]] == colour]
                expected = sum(values) / len(values) / (1 if bits == 8 else 256)
                assert abs(int(rgb[y, x, c]) - expected) <= 1


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("encoding", LABELS)
def test_label_images_keep_their_values(encoding, padding, big):
    code = (">" if big else "<") + LABELS[encoding]
    size = struct.calcsize(code)
    step = WIDTH * size + padding
    msg = message(encoding, noise(HEIGHT, WIDTH * size, padding), step, big=big)
    labels = images.decode_label_image(msg)
    expected = [
        [struct.unpack_from(code, msg.data, y * step + x * size)[0] for x in range(WIDTH)]
        for y in range(HEIGHT)
    ]
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype.isnative
    assert labels.flags.c_contiguous


@given(
    width=st.integers(1, 9),
    height=st.integers(1, 5),
    padding=st.integers(0, 9),
    missing=st.integers(0, 12),
    encoding=st.sampled_from(sorted(PACKED)),
)
@settings(max_examples=150, deadline=None)
def test_any_size_is_decoded_or_refused(width, height, padding, missing, encoding):
    """Data that covers the last pixel is decoded, one byte less is refused."""
    channels, size, _ = PACKED[encoding]
    row = width * channels * size
    whole = noise(height, row, padding)
    data = whole[: max(0, len(whole) - missing)]
    msg = message(encoding, data, row + padding, width=width, height=height)
    if missing <= padding:
        np.testing.assert_array_equal(images.decode_image(msg), reference_packed(msg))
    else:
        with pytest.raises(ImageError, match=rf"got {len(data)}"):
            images.decode_image(msg)


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda b: array.array("B", b)])
def test_every_byte_buffer_is_read(wrap):
    data = noise(HEIGHT, 3 * WIDTH, 0)
    rgb = images.decode_image(message("rgb8", wrap(data), 3 * WIDTH))
    assert rgb.tobytes() == data


def test_rgb8_without_padding_is_not_copied():
    data = np.zeros(HEIGHT * WIDTH * 3, np.uint8)
    rgb = images.decode_image(message("rgb8", data, 3 * WIDTH))
    assert np.shares_memory(rgb, data)


@pytest.mark.parametrize(
    ("msg", "says"),
    [
        (message("rgb9", b"", 18), r"'rgb9' is not supported.*rgb8, bgr8.*bayer_rggb16"),
        (message("rgb8", bytes(72), 17), "step 17, expected at least 18"),
        (message("rgb8", bytes(71), 18), "needs 72 bytes of data, got 71"),
        (message("rgb8", b"", 18), "needs 72 bytes of data, got 0"),
        (message("rgb8", b"", 0, width=0), "0x4 is empty"),
        (message("mono8", b"", 1, height=0), "is empty"),
        (message("yuv422", bytes(99), 10, width=5), "odd width"),
        (message("nv12", bytes(99), 6, height=3), "odd height"),
        (message("rgb8", [0] * 72, 18), "is a list, expected bytes"),
        (message("rgb8", "text", 18), "is a str, expected bytes"),
    ],
)
def test_bad_raw_images(msg, says):
    with pytest.raises(ImageError, match=says) as caught:
        images.decode_image(msg)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["rgb8", "bayer_rggb8", "32FC1"])
def test_labels_in_colour_are_refused(encoding):
    with pytest.raises(ImageError, match=r"label image encoding.*mono8.*32SC1"):
        images.decode_label_image(message(encoding, bytes(99), 18))


# Compressed images ---------------------------------------------------------------------------


def smooth_picture():
    """Make a picture that JPEG keeps nearly as it is, with three different channels."""
    y, x = np.mgrid[0:40, 0:64]
    return np.stack([x * 3, y * 5, 255 - x * 2], axis=-1).astype(np.uint8)


def compressed(suffix, picture, fmt="x", params=()):
    bgr = picture if picture.ndim == 2 else picture[..., ::-1]
    return SimpleNamespace(format=fmt, data=cv2.imencode(suffix, bgr, params)[1].tobytes())


@pytest.mark.parametrize(
    ("suffix", "fmt", "tolerance"),
    [
        (".jpg", "jpeg", 12),
        (".jpg", "rgb8; jpeg compressed bgr8", 12),
        (".png", "png", 0),
        (".png", "bgr8; png compressed bgr8", 0),
        (".webp", "webp", 20),
        (".bmp", "bmp", 0),
        (".tiff", "tiff", 0),
    ],
)
def test_compressed_pictures(suffix, fmt, tolerance):
    picture = smooth_picture()
    rgb = images.decode_compressed(compressed(suffix, picture, fmt))
    assert rgb.flags.c_contiguous
    np.testing.assert_allclose(rgb.astype(int), picture.astype(int), atol=tolerance)


def test_grey_and_16_bit_files_become_rgb():
    grey = smooth_picture()[..., 0]
    rgb = images.decode_compressed(compressed(".png", grey))
    np.testing.assert_array_equal(rgb, np.repeat(grey[..., None], 3, axis=2))
    deep = (grey.astype(np.uint16) << 8) + 77
    np.testing.assert_array_equal(images.decode_compressed(compressed(".png", deep)), rgb)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.97])
def test_truncated_files_are_refused(suffix, kept):
    msg = compressed(suffix, smooth_picture())
    msg.data = msg.data[: int(len(msg.data) * kept)]
    with pytest.raises(ImageError, match=rf"truncated after {len(msg.data)} bytes"):
        images.decode_compressed(msg)


def test_jpeg_cut_behind_its_thumbnail_is_refused():
    """The end marker of an EXIF thumbnail must not pass for that of the picture."""
    data = compressed(".jpg", smooth_picture()).data
    thumbnail = compressed(".jpg", smooth_picture()[:8, :8]).data
    exif = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = data[:2] + exif + data[2:]
    assert images.decode_compressed(SimpleNamespace(format="jpeg", data=whole)).shape == (40, 64, 3)
    for end in (len(exif) + 2, len(whole) // 2, len(whole) - 2):
        with pytest.raises(ImageError, match="truncated"):
            images.decode_compressed(SimpleNamespace(format="jpeg", data=whole[:end]))


def test_jpeg_with_padding_behind_the_end_is_read():
    msg = compressed(".jpg", smooth_picture())
    msg.data += bytes(100)
    assert images.decode_compressed(msg).shape == (40, 64, 3)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", r"starts with nothing \(0 bytes\)"),
        (b"\x00\x00\x00\x01h264", "format 'h264' starts with 00000001"),
        (b"\xff\xd8\xff\xd9", "truncated"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20) + b"\0\0\0\0IEND\xaeB`\x82", "damaged"),
    ],
)
def test_what_is_no_picture(data, says):
    with pytest.raises(ImageError, match=says):
        images.decode_compressed(SimpleNamespace(format="h264", data=data))


def test_corrupt_png_labels_are_refused():
    """A flipped byte in the pixels fails the checksum; it must not change ids silently."""
    msg = compressed(".png", np.random.default_rng(0).integers(0, 9, (60, 80), dtype=np.uint8))
    data = bytearray(msg.data)
    data[len(data) // 2] ^= 0x55
    with pytest.raises(ImageError, match="damaged"):
        images.decode_label_compressed(SimpleNamespace(format="png", data=bytes(data)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_survive_png(dtype):
    mask = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (30, 41)).astype(dtype)
    fields = images.encode_png(mask)
    assert "png" in fields.format
    decoded = images.decode_label_compressed(fields)
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, mask)


def test_labels_that_lost_their_ids_are_refused():
    grey = smooth_picture()[..., 0]
    with pytest.raises(ImageError, match="jpeg loses its ids"):
        images.decode_label_compressed(compressed(".jpg", grey))
    with pytest.raises(ImageError, match="colours or a palette"):
        images.decode_label_compressed(compressed(".png", smooth_picture()))
    one_bit = compressed(".png", (grey > 9).astype(np.uint8), "", [cv2.IMWRITE_PNG_BILEVEL, 1])
    with pytest.raises(ImageError, match="fewer than 8 bits"):
        images.decode_label_compressed(one_bit)


# Encoding ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "shape", "dtype", "code"),
    [
        ("rgb8", (5, 7, 3), np.uint8, "B"),
        ("mono8", (5, 7), np.uint8, "B"),
        ("16UC1", (5, 7), np.uint16, "H"),
        ("32FC1", (5, 7), np.float32, "f"),
    ],
)
def test_encode_image(encoding, shape, dtype, code):
    picture = (np.random.default_rng(2).random(shape) * 250).astype(dtype)
    fields = images.encode_image(picture)
    assert (fields.encoding, fields.height, fields.width) == (encoding, 5, 7)
    assert fields.step == fields.data.size // 5
    order = ">" if fields.is_bigendian else "<"
    values = [value for (value,) in struct.iter_unpack(order + code, fields.data.tobytes())]
    np.testing.assert_array_equal(values, picture.reshape(-1))
    assert np.shares_memory(fields.data, picture)


def test_encode_image_takes_views_and_foreign_byte_order():
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)[:, ::2]
    fields = images.encode_image(picture)
    np.testing.assert_array_equal(images.decode_image(fields), picture)
    foreign = np.arange(20, dtype=">u2").reshape(4, 5)
    np.testing.assert_array_equal(images.decode_label_image(images.encode_image(foreign)), foreign)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 5), np.float64),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((4, 5, 3), np.float32),
        np.zeros((0, 5), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_encode_image_refuses_other_arrays(wrong):
    with pytest.raises(ImageError, match=r"expected \(H, W, 3\) uint8"):
        images.encode_image(wrong)


def test_jpeg_round_trip_and_its_limits():
    picture = smooth_picture()
    rgb = images.decode_compressed(images.encode_jpeg(picture))
    np.testing.assert_allclose(rgb.astype(int), picture.astype(int), atol=12)
    with pytest.raises(ImageError, match="expected"):
        images.encode_jpeg(picture[..., 0])
    with pytest.raises(ImageError, match="expected"):
        images.encode_png(picture)
