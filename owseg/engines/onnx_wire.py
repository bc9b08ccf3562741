"""Just enough of the ONNX file format to read a few facts and to replace a few nodes.

The vehicle has no `onnx` package. An ONNX file is a protobuf message: a sequence of fields,
each a tag (number and wire type) and a value. What is not of interest is copied as it is.

Source: https://protobuf.dev/programming-guides/encoding/, onnx.proto (field numbers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from owseg.errors import BundleError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}

GRAPH, OPSETS = 7, 8
"""Fields of a model."""

NODE, INITIALIZER, OUTPUT = 1, 5, 12
"""Fields of a graph."""

FLOAT, UINT8, FLOAT16 = 1, 2, 10
"""Data types of tensors."""

_ATTRIBUTE_INT, _ATTRIBUTE_INTS = 2, 7
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of a graph.

    Attributes:
        op: operator, e.g. "Cast".
        inputs: names of its inputs; "" = left out.
        outputs: names of its outputs.
        name: of the node.
        attributes: encoded attributes by name.
        raw: the encoded node; b"" = it was made here.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str = ""
    attributes: dict[str, bytes] = field(default_factory=dict)
    raw: bytes = b""

    def integer(self, name: str) -> int | None:
        """Return an integer attribute; None = the node has none of this name."""
        found = [f.value for f in fields(self.attributes.get(name, b"")) if f.number == 3]
        return integers(found)[0] if found else None

    def encode(self) -> bytes:
        """Return the encoded node."""
        if self.raw:
            return self.raw
        parts = [pack(1, name) for name in self.inputs]
        parts += [pack(2, name) for name in self.outputs]
        parts += [pack(3, self.name), pack(4, self.op)]
        parts += [pack(5, attribute) for attribute in self.attributes.values()]
        return b"".join(parts)


def node_of(message: bytes) -> Node:
    """Decode a node."""
    inputs, outputs, attributes = [], [], {}
    name = op = ""
    for number, value, _ in fields(message):
        if number == 1:
            inputs.append(text(value))
        elif number == 2:
            outputs.append(text(value))
        elif number == 3:
            name = text(value)
        elif number == 4:
            op = text(value)
        elif number == 5:
            attributes[name_of(body(value), 1)] = body(value)
    return Node(
        op=op,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        name=name,
        attributes=attributes,
        raw=message,
    )


def name_of(message: bytes, number: int) -> str:
    """Return the text in a field of a message, "" = it has none."""
    return next((text(f.value) for f in fields(message) if f.number == number), "")


def int_attribute(name: str, value: int) -> bytes:
    """Encode an integer attribute."""
    return pack(1, name) + pack(3, value) + pack(20, _ATTRIBUTE_INT)


def ints_attribute(name: str, values: Iterable[int]) -> bytes:
    """Encode an attribute that is a list of integers."""
    items = b"".join(pack(8, value) for value in values)
    return pack(1, name) + items + pack(20, _ATTRIBUTE_INTS)


def opset(model: bytes) -> int:
    """Return the version of ONNX's own operators that a model uses; 0 = it does not say."""
    for number, value, _ in fields(model):
        if number == OPSETS and not name_of(body(value), 1):
            versions = integers(f.value for f in fields(body(value)) if f.number == 2)
            return versions[0] if versions else 0
    return 0


def external_files(model: bytes) -> tuple[str, ...]:
    """Return the names of the files beside a model that hold some of its weights."""
    graphs = (body(f.value) for f in fields(model) if f.number == GRAPH)
    tensors = (body(f.value) for g in graphs for f in fields(g) if f.number == INITIALIZER)
    entries = (body(f.value) for t in tensors for f in fields(t) if f.number == 13)
    names = {name_of(entry, 2) for entry in entries if name_of(entry, 1) == "location"}
    return tuple(sorted(names))
