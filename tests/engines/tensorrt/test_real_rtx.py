"""NVIDIA's own parser and compiler where TensorRT for RTX is installed; no GPU is needed."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from owseg.bundle import Bundle, load_bundle, shipped_model
from owseg.engines.tensorrt import BuildOptions, build_cached
from owseg.engines.tensorrt.adapt import adapt
from owseg.engines.tensorrt.build import EngineBuilder
from owseg.engines.tensorrt.cuda import Cuda
from owseg.engines.tensorrt.precision import decision_layers, layers_of, typed_as
from owseg.engines.tensorrt.runtime import find_tensorrt, make_log
from owseg.errors import EngineError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None,
    reason="TensorRT for RTX is not installed: pip install 'owseg_ros[rtx]'",
)

CALLS = {
    "Builder": "create_network create_builder_config create_optimization_profile "
    "build_serialized_network",
    "IBuilderConfig": "set_memory_pool_limit add_optimization_profile set_flag clear_flag "
    "progress_monitor num_compute_capabilities set_compute_capability",
    "OnnxParser": "parse num_errors get_error",
    "Runtime": "deserialize_cuda_engine",
    "ICudaEngine": "num_io_tensors get_tensor_name get_tensor_mode get_tensor_dtype "
    "get_tensor_shape get_tensor_profile_shape create_execution_context",
    "IExecutionContext": "set_input_shape set_tensor_address execute_async_v3",
    "INetworkDefinition": "num_layers get_layer num_inputs get_input",
    "ILayer": "name type num_inputs get_input num_outputs get_output",
}


@pytest.fixture(scope="module")
def trt():
    return find_tensorrt(("tensorrt_rtx",))


@pytest.fixture(scope="module")
def street():
    return load_bundle(shipped_model())


def parsed(trt, model):
    """Return a parsed network, and what must outlive it."""
    log = make_log(trt)
    builder = trt.module.Builder(log)
    network = builder.create_network(
        1 << int(trt.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    )
    parser = trt.module.OnnxParser(network, log)
    assert parser.parse(model), log.reason()
    return SimpleNamespace(network=network, owners=(log, builder, parser))


@pytest.mark.parametrize("name", CALLS)
def test_the_calls_that_are_used_exist(trt, name):
    real = getattr(trt.module, name)
    assert [call for call in CALLS[name].split() if not hasattr(real, call)] == []


def test_the_shipped_model_has_an_engine(street, cache):
    targets = ("SM86", "SM89", "SM120")
    results = build_cached(street, BuildOptions(batch=4), cache, targets=targets)
    for result, target in zip(results, targets, strict=True):
        plan = cache.read(result.entry)
        assert plan.startswith(b"vtrt")
        assert len(plan) > 20e6  # 5.7 million weights of four bytes
        assert result.entry.key.capability.replace(".", "") == target[2:]
    assert len({cache.read(result.entry) for result in results}) == 3


def test_the_graph_for_tensorrt_8_has_one_too(trt, street):
    model = adapt(street.path.read_bytes(), (8, 5, 2)).model
    assert parsed(trt, model).network.num_layers > 100


def test_without_the_changes_it_is_refused(trt, street):
    log = make_log(trt)
    builder = trt.module.Builder(log)
    network = builder.create_network(1)
    parser = trt.module.OnnxParser(network, log)
    assert not parser.parse(street.path.read_bytes())
    assert "UInt8" in parser.get_error(0).desc()


def test_the_layers_of_the_decisions_are_found(trt, street):
    found = parsed(trt, adapt(street.path.read_bytes(), (10,)).model)
    layers = decision_layers(found.network)
    kinds = [layer.type.name for layer in layers]
    assert kinds.count("MATRIX_MULTIPLY") == 2  # distances to known and to novel prototypes
    assert kinds.count("RESIZE") == 1
    assert {"TOPK", "REDUCE", "SELECT", "ELEMENTWISE"} <= set(kinds)
    assert not {"CONVOLUTION", "CONSTANT", "SHAPE"} & set(kinds)
    outputs = {layer.get_output(i).name for layer in layers for i in range(layer.num_outputs)}
    assert "anomaly" in outputs or any("clamp" in layer.name for layer in layers)
    convolutions = [x for x in layers_of(found.network) if x.type.name == "CONVOLUTION"]
    assert len(convolutions) > 50
    assert len(layers) < found.network.num_layers / 3


@pytest.mark.parametrize(
    ("typed", "options"), [("fp32", {}), ("fp16", {"half": True}), ("int8", {"quantized": True})]
)
def test_files_of_each_precision_are_recognised_and_built(
    trt, tiny, model_file, tmp_path, typed, options
):
    path = model_file(tmp_path / "m.onnx", **options)
    assert typed_as(parsed(trt, path.read_bytes()).network) == typed
    bundle = Bundle(path=path, manifest=tiny.manifest)
    builder = EngineBuilder(trt, bundle, BuildOptions(batch=2))
    assert (builder.precision, builder.inputs) == (typed, "1..2x24x32x3")
    shares = []
    built = builder.build("SM89", b"", lambda share, phase: shares.append(share))
    assert built.plan.startswith(b"vtrt")
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_build_can_be_stopped(trt, tiny, model_file, tmp_path):
    bundle = Bundle(path=model_file(tmp_path / "m.onnx"), manifest=tiny.manifest)
    builder = EngineBuilder(trt, bundle, BuildOptions())

    def stop(share, phase):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder.build("SM89", b"", stop)


def test_an_operator_that_nobody_knows(trt, tiny, model_file, tmp_path):
    path = model_file(tmp_path / "m.onnx", operator="Unsupported")
    with pytest.raises(EngineError) as failure:
        EngineBuilder(trt, Bundle(path=path, manifest=tiny.manifest), BuildOptions())
    text = str(failure.value)
    assert "cannot read model 'tiny': Unsupported 'n_relu': " in text
    assert "\n" not in text
    assert len(text) < 400


def test_a_gpu_that_cannot(trt, street):
    builder = EngineBuilder(trt, street, BuildOptions())
    with pytest.raises(EngineError, match=r"cannot build .*FP32 GEMM is not supported"):
        builder.build("SM75", b"", lambda share, phase: None)


def test_widening_is_what_the_compiler_would_do_too(trt, tiny, model_file, tmp_path):
    """The graph with float16 weights and casts, and the adapted one, have the same layers."""
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(str(model_file(tmp_path / "m.onnx")))
    kernel = next(t for t in proto.graph.initializer if t.name == "kernel")
    half = onnx.numpy_helper.to_array(kernel).astype(np.float16)
    kernel.CopyFrom(onnx.numpy_helper.from_array(half, "half"))
    cast = onnx.helper.make_node("Cast", ["half"], ["kernel"], to=onnx.TensorProto.FLOAT)
    proto.graph.node.insert(0, cast)
    model = adapt(proto.SerializeToString(), (10,)).model
    kinds = [layer.type.name for layer in layers_of(parsed(trt, model).network)]
    assert "CONVOLUTION" in kinds
    assert typed_as(parsed(trt, model).network) == "fp32"


def test_without_a_driver_cuda_says_so():
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    error, count = runtime.cudaGetDeviceCount()
    if error == runtime.cudaError_t.cudaSuccess and count:
        pytest.skip("there is a GPU")
    with pytest.raises(EngineError, match=r"^there is no usable NVIDIA GPU \("):
        Cuda()
