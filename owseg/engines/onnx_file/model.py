"""The few parts of an ONNX file that are read or replaced here: nodes, opset, outside weights.

Source: onnx.proto (field numbers).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from owseg.engines.onnx_file.protobuf import body, fields, integers, name_of, pack, text

GRAPH, OPSETS = 7, 8
"""Fields of a model."""

NODE, INITIALIZER, INPUT, OUTPUT, VALUE_INFO = 1, 5, 11, 12, 13
"""Fields of a graph."""

FLOAT, UINT8, FLOAT16 = 1, 2, 10
"""Data types of tensors."""

RAW_DATA = 9
"""Field of a tensor."""

_ATTRIBUTE_INT, _ATTRIBUTE_INTS = 2, 7


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


def encode_tensor(name: str, kind: int, shape: Iterable[int], data: bytes) -> bytes:
    """Encode a tensor.

    Args:
        name: of the tensor.
        kind: its data type.
        shape: its shape.
        data: its values, little endian, in the order of their places.
    """
    dims = b"".join(pack(1, size) for size in shape)
    return dims + pack(2, kind) + pack(8, name) + pack(RAW_DATA, data)


def value_info(like: bytes, name: str, kind: int) -> bytes:
    """Encode an input or output of the shape of another one.

    Args:
        like: the other one, encoded.
        name: of the new one.
        kind: its data type.
    """
    types = (body(f.value) for f in fields(like) if f.number == 2)
    tensors = (body(f.value) for t in types for f in fields(t) if f.number == 1)
    shape = b"".join(f.raw for t in tensors for f in fields(t) if f.number == 2)
    return pack(1, name) + pack(2, pack(1, pack(1, kind) + shape))
