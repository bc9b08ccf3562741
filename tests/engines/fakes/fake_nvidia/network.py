"""Networks of the fake TensorRT: an ONNX graph as layers, with the limits of each parser."""

from __future__ import annotations

import enum
from types import SimpleNamespace

import onnx
from onnx import TensorProto

from fake_nvidia import SETUP


class DataType(enum.Enum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8, INT64 = range(7)


TYPES = {
    TensorProto.FLOAT: DataType.FLOAT,
    TensorProto.FLOAT16: DataType.HALF,
    TensorProto.INT8: DataType.INT8,
    TensorProto.INT32: DataType.INT32,
    TensorProto.INT64: DataType.INT64,
    TensorProto.BOOL: DataType.BOOL,
    TensorProto.UINT8: DataType.UINT8,
}
LAYERS = {
    "Cast": "CAST",
    "Conv": "CONVOLUTION",
    "MatMul": "MATRIX_MULTIPLY",
    "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE",
    "Shape": "SHAPE",
    "ArgMax": "TOPK",
    "ArgMin": "TOPK",
}


class Layer:
    """A layer whose precision can be told to TensorRT before 11 only."""

    def __init__(self, node, tensors):
        self.name = node.name or node.output[0]
        self.type = SimpleNamespace(name=LAYERS.get(node.op_type, "ELEMENTWISE"))
        self._inputs = [tensors[name] for name in node.input if name]
        self._outputs = [tensors[name] for name in node.output]
        self.num_inputs, self.num_outputs = len(self._inputs), len(self._outputs)
        self.output_types = {}

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._outputs[index]

    def __setattr__(self, name, value):
        if name == "precision" and SETUP.release >= (11,):
            raise AttributeError("ILayer has no attribute 'precision'")
        super().__setattr__(name, value)

    def set_output_type(self, index, kind):
        if SETUP.release >= (11,):
            raise AttributeError("ILayer has no attribute 'set_output_type'")
        self.output_types[index] = kind


class Network:
    """What a parser fills."""

    def __init__(self, flags, names):
        self.flags = {name for name in names if flags & (1 << int(names[name]))}
        self.model = b""
        self.layers = []
        self.inputs = []

    num_layers = property(lambda self: len(self.layers))
    num_inputs = property(lambda self: len(self.inputs))

    def has_halves(self):
        """Whether a layer gives float16."""
        layers = self.layers
        return any(t.dtype is DataType.HALF for layer in layers for t in layer._outputs)

    def get_layer(self, index):
        return self.layers[index]

    def get_input(self, index):
        return self.inputs[index]

    def fill(self, model):
        """Take over a graph; returns (operator, node name, index, words) of what is refused."""
        proto = onnx.load_from_string(model)
        if problem := refusal(proto):
            return problem
        # The real parsers know the shapes; nothing here needs more than types.
        inferred = onnx.shape_inference.infer_shapes(proto).graph
        values = (*inferred.value_info, *inferred.input, *inferred.output)
        tensors = {value.name: tensor_of(value) for value in values}
        for weights in inferred.initializer:
            kind = TYPES[weights.data_type]
            tensors[weights.name] = SimpleNamespace(name=weights.name, dtype=kind, shape=())
        for node in inferred.node:
            for name in (*node.input, *node.output):
                unknown = SimpleNamespace(name=name, dtype=DataType.FLOAT, shape=())
                tensors.setdefault(name, unknown)
        self.layers = [Layer(node, tensors) for node in inferred.node]
        self.inputs = [tensors[value.name] for value in inferred.input]
        self.model = model
        return None


def tensor_of(value):
    kind = value.type.tensor_type
    shape = tuple(dim.dim_value or -1 for dim in kind.shape.dim)
    return SimpleNamespace(name=value.name, dtype=TYPES[kind.elem_type], shape=shape)


def refusal(proto):
    """Say what the parser of this version does not take: what the documents of it say."""
    old = SETUP.release < (10,)
    opset = next(entry.version for entry in proto.opset_import if not entry.domain)
    graph = proto.graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    halves = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT16}
    made = {name: node for node in graph.node for name in node.output}
    for index, node in enumerate(graph.node):
        where = (node.op_type, node.name, index)
        first = kinds.get(node.input[0]) if node.input else None
        if node.op_type == "Unsupported":
            return (*where, "No importer registered for op: Unsupported")
        if first == TensorProto.UINT8 and node.op_type != "Cast":
            return (*where, "first input has type UInt8")
        if node.op_type == "Cast" and to_of(node) == TensorProto.UINT8:
            maker = made.get(node.input[0])
            if maker is None or maker.op_type != "Cast" or to_of(maker) != TensorProto.FLOAT:
                return (*where, "UINT8 type casting is only supported from FP types")
        if old and node.op_type == "Conv" and node.input[1] in made:
            return (*where, "the weights of a convolution must be constants")
        if old and node.op_type == "Cast" and node.input[0] in halves:
            return (*where, "a cast of weights")
    return ("Model", "", -1, f"opset {opset}") if old and opset > 17 else None


def to_of(node):
    return next(attribute.i for attribute in node.attribute if attribute.name == "to")
