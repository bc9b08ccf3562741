"""Whether ONNX Runtime can use CUDA: a package that is made for it says nothing of the machine."""

from __future__ import annotations

from owseg.engines.onnx_file.model import FLOAT, GRAPH, INPUT, NODE, OPSETS, OUTPUT, Node
from owseg.engines.onnx_file.protobuf import pack
from owseg.engines.ort_sessions import PROVIDERS, unusable

NO_CUDA = "this onnxruntime has no CUDA; pip install 'owseg_ros[gpu]', or use the device cpu"
_IR_VERSION, _OPSET = 8, 17


def made_for_cuda() -> bool:
    """Whether the package of ONNX Runtime has CUDA."""
    import onnxruntime

    return PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def cuda_obstacle() -> str:
    """Say why ONNX Runtime cannot use CUDA here, "" = it can: a graph of one node is loaded."""
    import onnxruntime

    if not made_for_cuda():
        return NO_CUDA
    order = [PROVIDERS["cuda"], PROVIDERS["cpu"]]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it says of missing libraries is said here
    try:
        session = onnxruntime.InferenceSession(_graph(), options, providers=order)
    except Exception as error:  # a driver that is too old, say: any way to fail is one
        return f"{unusable('cuda')} ({str(error).splitlines()[0][:200]})"
    return "" if PROVIDERS["cuda"] in session.get_providers() else unusable("cuda")


def _graph() -> bytes:
    """Return a model that gives back one number."""
    node = Node(op="Identity", inputs=("x",), outputs=("y",))
    graph = (
        pack(NODE, node.encode())
        + pack(2, "probe")
        + pack(INPUT, _number("x"))
        + pack(OUTPUT, _number("y"))
    )
    return pack(1, _IR_VERSION) + pack(OPSETS, pack(2, _OPSET)) + pack(GRAPH, graph)


def _number(name: str) -> bytes:
    shape = pack(1, pack(1, 1))
    return pack(1, name) + pack(2, pack(1, pack(1, FLOAT) + pack(2, shape)))
