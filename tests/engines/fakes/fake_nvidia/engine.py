"""Engines of the fake TensorRT: they run the ONNX graph with ONNX Runtime, in a stream."""

from __future__ import annotations

import enum
import json
import math
import weakref

import numpy as np
import onnx
import onnxruntime

from fake_nvidia import SETUP
from fake_nvidia.cuda import CUDA, Error
from fake_nvidia.network import TYPES, DataType

MAGIC = b"FAKEPLAN"
NUMPY = {DataType.FLOAT: np.float32, DataType.UINT8: np.uint8, DataType.HALF: np.float16}
ALIVE = weakref.WeakSet()
ORDER = []
"""Kinds of things in the order in which they were freed."""


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


def write_plan(model, profile):
    """Make a plan: a header that says what it is for, and the graph."""
    head = {
        "flavour": SETUP.flavour,
        "version": SETUP.version,
        "gpu": SETUP.gpu,
        "capability": SETUP.capability,
        "profile": profile,
        "size": len(model),
    }
    text = json.dumps(head).encode()
    return MAGIC + len(text).to_bytes(4, "little") + text + model


def read_plan(plan):
    """Return (header, graph); the header is None, and the rest the reason, if it is unusable."""
    if plan[:8] != MAGIC:
        return None, "Magic tag does not match"
    size = int.from_bytes(plan[8:12], "little")
    head = json.loads(plan[12 : 12 + size])
    model = plan[12 + size :]
    if len(model) != head["size"]:
        return None, "Engine deserialization failed: the buffer is too small"
    if head["version"] != SETUP.version:
        return None, (
            "The engine plan file is not compatible with this version of TensorRT, expecting "
            f"library version {SETUP.version} got {head['version']}"
        )
    if head["capability"] != SETUP.capability:
        return None, "The engine plan file is generated on an incompatible device"
    return head, model


class Runtime:
    def __init__(self, logger):
        if words := SETUP.fails("Runtime"):
            logger.log(type(logger).Severity.ERROR, words)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger
        ALIVE.add(self)

    def __del__(self):
        ORDER.append("runtime")

    def deserialize_cuda_engine(self, plan):
        if words := SETUP.fails("deserialize"):
            self.logger.log(type(self.logger).Severity.ERROR, words)
            return None
        head, rest = read_plan(bytes(plan))
        if head is None:
            self.logger.log(type(self.logger).Severity.ERROR, rest)
            return None
        return Engine(head, rest, self.logger)


class Engine:
    """What all versions since 8.5 offer; the calls by binding index are left out on purpose."""

    def __init__(self, head, model, logger):
        self.head, self.logger = head, logger
        graph = onnx.load_from_string(model).graph
        self.io = [(value, TensorIOMode.INPUT) for value in graph.input]
        self.io += [(value, TensorIOMode.OUTPUT) for value in graph.output]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        ALIVE.add(self)

    def __del__(self):
        ORDER.append("engine")

    num_io_tensors = property(lambda self: len(self.io))

    def get_tensor_name(self, index):
        return self.io[index][0].name

    def _value(self, name):
        return next(value for value, _ in self.io if value.name == name)

    def get_tensor_mode(self, name):
        return next(mode for value, mode in self.io if value.name == name)

    def get_tensor_dtype(self, name):
        return TYPES[self._value(name).type.tensor_type.elem_type]

    def get_tensor_shape(self, name):
        dims = self._value(name).type.tensor_type.shape.dim
        return tuple(dim.dim_value or -1 for dim in dims)

    def get_tensor_profile_shape(self, name, index):
        assert index == 0
        return [tuple(shape) for shape in self.head["profile"][name]]

    def create_execution_context(self):
        if words := SETUP.fails("context"):
            self.logger.log(type(self.logger).Severity.ERROR, words)
            return None
        return Context(self)


class Context:
    def __init__(self, engine):
        self.engine = engine
        self.addresses, self.shapes = {}, {}
        self.runs = 0
        ALIVE.add(self)

    def __del__(self):
        ORDER.append("context")

    def _error(self, words):
        self.engine.logger.log(type(self.engine.logger).Severity.ERROR, words)
        return False

    def set_tensor_address(self, name, address):
        if not isinstance(address, int) or CUDA.find(address, 1) is None:
            return self._error(f"{name}: address {address} is not of the GPU")
        self.addresses[name] = address
        return True

    def set_input_shape(self, name, shape):
        fixed = self.engine.get_tensor_shape(name)
        least = most = fixed
        if -1 in fixed:
            least, _, most = self.engine.get_tensor_profile_shape(name, 0)
        fits = all(a <= s <= b for a, s, b in zip(least, shape, most, strict=True))
        if not fits:
            return self._error(f"{name}: {shape} is outside of the profile")
        self.shapes[name] = tuple(shape)
        return True

    def _shape(self, name):
        shape = self.engine.get_tensor_shape(name)
        if -1 not in shape:
            return shape
        return (self.shapes["image"][0], *shape[1:])

    def execute_async_v3(self, stream):
        if type(stream) is not int:
            raise TypeError("execute_async_v3 takes the number of a stream")
        self.runs += 1
        wanted = SETUP.fails("execute")
        if wanted and self.runs > wanted[1]:
            return self._error(wanted[0])
        names = [value.name for value, _ in self.engine.io]
        missing = [name for name in names if name not in self.addresses]
        if missing or "image" not in self.shapes:
            return self._error(f"no address of {missing}, or no shape of the image")
        recording = CUDA.streams[stream].recording is not None
        if recording and SETUP.fails("capture") == "refused":
            return self._error("cannot be recorded")
        if recording and SETUP.fails("capture") == "breaks":
            CUDA.streams[stream].recording = None  # as a call that waits for the GPU does
            return True
        plan = {name: (self.addresses[name], self._shape(name)) for name in names}
        return CUDA.enqueue(stream, lambda: self._compute(plan)) is Error.cudaSuccess

    def _compute(self, plan):
        feed, wanted = {}, []
        for value, mode in self.engine.io:
            address, shape = plan[value.name]
            if mode is TensorIOMode.OUTPUT:
                wanted.append(value.name)
                continue
            dtype = np.dtype(NUMPY[self.engine.get_tensor_dtype(value.name)])
            memory, offset = CUDA.find(address, math.prod(shape) * dtype.itemsize)
            data = bytes(memory[offset : offset + math.prod(shape) * dtype.itemsize])
            feed[value.name] = np.frombuffer(data, dtype).reshape(shape)
        for name, array in zip(wanted, self.engine.session.run(wanted, feed), strict=True):
            address, shape = plan[name]
            assert array.shape == tuple(shape)
            memory, offset = CUDA.find(address, array.nbytes)
            memory[offset : offset + array.nbytes] = array.tobytes()
