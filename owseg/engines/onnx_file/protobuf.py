"""Just enough of protobuf to read a message and to replace some of its fields.

A message is a sequence of fields, each a tag (number and wire type) and a value. What is not of
interest is copied as it is.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from owseg.errors import BundleError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_MASK64 = (1 << 64) - 1


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: its number.
        value: of a varint an int, else bytes.
        raw: the whole field as it is stored.
    """

    number: int
    value: int | bytes
    raw: bytes


def fields(message: bytes) -> Iterator[Field]:
    """Read the fields of a message in their order.

    Raises:
        BundleError: the message is damaged.
    """
    position, end = 0, len(message)
    while position < end:
        start = position
        tag, position = _varint(message, position)
        kind = tag & 7
        value: int | bytes
        if kind == VARINT:
            value, position = _varint(message, position)
        elif kind == BYTES or kind in _FIXED:
            size, position = (
                (_FIXED[kind], position) if kind in _FIXED else _varint(message, position)
            )
            value = message[position : position + size]
            position += size
        else:
            raise BundleError("the ONNX file is damaged: unknown wire type; export again")
        if position > end:
            raise BundleError("the ONNX file is truncated; copy or export it again")
        yield Field(tag >> 3, value, message[start:position])


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if position >= len(message) or shift > 63:
            raise BundleError("the ONNX file is damaged or truncated; copy or export it again")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def varint(value: int) -> bytes:
    """Encode an integer; a negative one as 64-bit two's complement."""
    value &= _MASK64
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def pack(number: int, value: int | bytes | str) -> bytes:
    """Encode one field."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def text(value: int | bytes) -> str:
    """Return the text of a field."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def body(value: int | bytes) -> bytes:
    """Return the content of a field that is a message."""
    return value if isinstance(value, bytes) else b""


def integers(found: Iterable[int | bytes]) -> list[int]:
    """Return repeated integers, packed or not, as signed 64-bit numbers."""
    values: list[int] = []
    for value in found:
        if isinstance(value, int):
            values.append(value)
            continue
        position = 0
        while position < len(value):
            number, position = _varint(value, position)
            values.append(number)
    return [value - (1 << 64) if value >= 1 << 63 else value for value in values]


def name_of(message: bytes, number: int) -> str:
    """Return the text in a field of a message, "" = it has none."""
    return next((text(f.value) for f in fields(message) if f.number == number), "")
