"""Building on fakes of 8.5 to 11: flags, profiles, precision, progress, and what goes wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from owseg.bundle import Bundle
from owseg.engines.tensorrt import BuildOptions, build_cached, open_cached
from owseg.engines.tensorrt.build import EngineBuilder
from owseg.engines.tensorrt.runtime import find_tensorrt
from owseg.errors import (
    BundleError,
    EngineError,
    MissingDependencyError,
    OutputError,
    UsageError,
)

onnx = pytest.importorskip("onnx", reason="graphs are made with the package onnx")

OLD, MIDDLE, TYPED, NEW = "8.5.2.2", "10.3.0", "10.12.0.36", "11.4.0.106"
DECIDING = {"known", "anomaly", "open_set"}


@pytest.fixture
def bundle_of(tiny, tmp_path, model_file):
    """Give a function that makes a bundle with another graph; see `model_file`."""

    def make(**options):
        return Bundle(path=model_file(tmp_path / "m.onnx", **options), manifest=tiny.manifest)

    return make


def built_by(fake):
    """Return (network, configuration) of the latest build."""
    return fake.trt.BUILDS[-1]


# What TensorRT is told ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "flags"),
    [
        (OLD, {"EXPLICIT_BATCH"}),
        (MIDDLE, set()),
        (TYPED, {"STRONGLY_TYPED"}),
        (NEW, {"STRONGLY_TYPED"}),
    ],
)
def test_networks_are_made_as_each_version_wants_it(nvidia, build, version, flags):
    fake = nvidia(version=version)
    result = build(workspace=256, batch=3)
    network, config = built_by(fake)
    assert network.flags == flags
    assert config.pools == {"WORKSPACE": 256 << 20}
    assert config.cleared == {"TF32"}
    assert config.flags == set()
    shape = (24, 32, 3)
    assert config.profiles[0].shapes == {"image": [(1, *shape), (3, *shape), (3, *shape)]}
    assert (config.monitor is not None) == (version != OLD)
    key = result.entry.key
    assert (key.version, key.gpu, key.capability) == (version, "NVIDIA Fake 3060", "8.6")
    assert (key.precision, key.inputs, key.workspace) == ("fp32", "1..3x24x32x3", 256)


def test_a_model_with_a_fixed_batch(nvidia, build, bundle_of):
    nvidia()
    bundle = bundle_of(batch=2)
    with pytest.raises(EngineError, match="'tiny' has a fixed batch of 2; leave out --batch"):
        build(bundle, batch=4)
    assert build(bundle, batch=2).entry.key.inputs == "2x24x32x3"


@pytest.mark.parametrize("version", [OLD, MIDDLE])
def test_fp16_before_strong_types(nvidia, build, bundle_of, version):
    fake = nvidia(version=version)
    result = build(bundle_of(), precision="fp16")
    network, config = built_by(fake)
    assert config.flags == {"FP16", "OBEY_PRECISION_CONSTRAINTS"}
    assert result.entry.key.precision == "fp16"
    pinned = {layer.name for layer in network.layers if "precision" in vars(layer)}
    assert pinned == {"n_relu", "n_squares", "n_anomaly", "n_best"}
    assert result.entry.about["layers_kept_in_fp32"] == 4
    layers = {layer.name: layer for layer in network.layers}
    float32 = fake.trt.DataType.FLOAT
    assert layers["n_squares"].precision is float32
    assert layers["n_squares"].output_types == {0: float32}
    assert layers["n_best"].output_types == {}  # of integers


def test_int8_before_strong_types(nvidia, build, bundle_of):
    fake = nvidia(version=MIDDLE)
    assert build(bundle_of(quantized=True)).entry.key.precision == "int8"
    assert built_by(fake)[1].flags == {"INT8", "OBEY_PRECISION_CONSTRAINTS"}


@pytest.mark.parametrize("version", [TYPED, NEW])
@pytest.mark.parametrize(
    ("typed", "options"), [("fp16", {"half": True}), ("int8", {"quantized": True}), ("fp32", {})]
)
def test_strong_types_are_those_of_the_file(nvidia, build, bundle_of, version, typed, options):
    fake = nvidia(version=version)
    assert build(bundle_of(**options)).entry.key.precision == typed
    network, config = built_by(fake)
    assert config.flags == set()
    assert not any("precision" in vars(layer) for layer in network.layers)


@pytest.mark.parametrize(
    ("version", "options", "wanted", "says"),
    [
        (MIDDLE, {}, "int8", "typed fp32: int8 needs a file with QDQ nodes"),
        (NEW, {}, "fp16", r"TensorRT 11\.4\.0\.106 computes in the types of the file"),
        (NEW, {"half": True}, "fp32", "typed fp16, and TensorRT .* in the types of the file"),
        (MIDDLE, {"half": True}, "fp32", "typed fp16 and cannot be built as fp32"),
        (MIDDLE, {"quantized": True}, "fp16", "typed int8 and cannot be built as fp16"),
    ],
)
def test_precisions_that_a_file_does_not_give(
    nvidia, build, bundle_of, version, options, wanted, says
):
    fake = nvidia(version=version)
    with pytest.raises(EngineError, match=says):
        build(bundle_of(**options), precision=wanted)
    assert fake.trt.BUILDS == []


@pytest.mark.parametrize("options", [{"batch": 0}, {"workspace": -1}])
def test_options_that_make_no_sense(options):
    with pytest.raises(UsageError, match="must be at least 1"):
        BuildOptions(**options)


def test_an_unknown_precision(nvidia, build):
    nvidia()
    with pytest.raises(UsageError, match="no precision 'fp8'; there are fp32, fp16, int8"):
        build(precision="fp8")


# Targets -----------------------------------------------------------------------------------------


def test_targets_need_no_gpu(nvidia, tiny, cache):
    fake = nvidia(flavour="tensorrt_rtx", version="1.7.1", capability=[], cuda="")
    results = build_cached(tiny, BuildOptions(), cache, targets=("SM86", "SM120"))
    assert [config.targets for _, config in fake.trt.BUILDS] == [["SM86"], ["SM120"]]
    keys = [result.entry.key for result in results]
    assert [(key.gpu, key.capability) for key in keys] == [("", "8.6"), ("", "12.0")]
    assert fake.cuda.calls == []


def test_tensorrt_for_rtx_builds_for_the_gpu_that_is_here(nvidia, build):
    fake = nvidia(flavour="tensorrt_rtx", version="1.7.1", capability=[8, 9])
    assert build().entry.key.capability == "8.9"
    assert built_by(fake)[1].targets == ["SM89"]


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (("SM86", "SM99"), "no target 'SM99'; there are SM75, SM80, SM86"),
        (("RTX",), "no target 'RTX'; expected the like of SM86"),
        (("SM8",), "no target 'SM8'"),
        (("CURRENT",), "no target 'CURRENT'"),
    ],
)
def test_unknown_targets(nvidia, tiny, cache, targets, says):
    fake = nvidia(flavour="tensorrt_rtx", version="1.7.1")
    with pytest.raises(UsageError, match=says):
        build_cached(tiny, BuildOptions(), cache, targets=targets)
    assert fake.trt.BUILDS == []


def test_targets_without_tensorrt_for_rtx(nvidia, tiny, cache):
    nvidia()
    says = r"TensorRT for RTX is not installed: pip install 'owseg_ros\[rtx\]'"
    with pytest.raises(MissingDependencyError, match=says):
        build_cached(tiny, BuildOptions(), cache, targets=("SM86",))


# The cache ---------------------------------------------------------------------------------------


def test_what_is_there_is_not_built_again(nvidia, build):
    fake = nvidia()
    first, second = build(), build()
    assert (first.fresh, second.fresh) == (True, False)
    assert first.entry == second.entry
    assert len(fake.trt.BUILDS) == 1
    assert build(force=True).fresh
    assert build(batch=2).fresh
    assert build(workspace=99).fresh
    assert len(fake.trt.BUILDS) == 4


def test_a_damaged_engine_is_built_again(nvidia, build, cache):
    nvidia()
    path = build().entry.path
    path.write_bytes(path.read_bytes()[:-7])
    again = build()
    assert again.fresh
    assert cache.read(again.entry)


def test_the_entry_says_how_it_was_built(nvidia, build, tiny):
    nvidia(version=OLD)
    entry = build().entry
    raw = json.loads(entry.path.with_name(f"{entry.key.digest}.json").read_text())
    assert raw["about"]["model"] == "tiny"
    assert raw["about"]["file"] == str(tiny.path.resolve())
    assert raw["about"]["seconds"] >= 0
    assert raw["key"]["version"] == OLD


def test_measurements_are_used_by_the_next_build(nvidia, build, cache):
    fake = nvidia()
    build()
    assert built_by(fake)[1].timing.content == b"10.3.0 1"
    build(batch=2)
    assert built_by(fake)[1].timing.content == b"10.3.0 2"
    assert len(list(cache.folder.glob("timing-*.bin"))) == 1
    fake = nvidia(version="10.4.0")  # has a file of its own
    build()
    assert len(list(cache.folder.glob("timing-*.bin"))) == 2


@pytest.mark.parametrize("content", [b"of another TensorRT", b"damaged"])
def test_measurements_that_do_not_fit_are_left_alone(nvidia, build, cache, content):
    fake = nvidia()
    entry = build().entry
    cache.timing_path(entry.key).write_bytes(content)
    build(force=True)
    assert built_by(fake)[1].timing.content == b"10.3.0 2"


def test_tensorrt_for_rtx_has_no_measurements(nvidia, build, cache):
    fake = nvidia(flavour="tensorrt_rtx", version="1.7.1")
    build()
    assert built_by(fake)[1].timing is None
    assert list(cache.folder.glob("timing-*.bin")) == []


def test_the_cache_is_checked_before_the_work(nvidia, build, cache):
    fake = nvidia()
    cache.folder.parent.mkdir(parents=True)
    cache.folder.write_text("in the way")
    with pytest.raises(OutputError, match="cannot write into the engine cache"):
        build()
    assert fake.trt.BUILDS == []


# Progress ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "known"), [(OLD, False), (MIDDLE, True), (NEW, True)])
def test_progress_is_reported_where_it_is_known(nvidia, tiny, cache, version, known):
    nvidia(version=version)
    heard, announced = [], []
    build_cached(
        tiny,
        BuildOptions(),
        cache,
        report=lambda share, phase: heard.append(share),
        announce=lambda trt, key: announced.append((trt.version, key.precision)),
    )
    assert announced == [(version, "fp32")]
    assert heard == sorted(heard)
    assert (heard[-1:] == [1.0]) == known
    assert bool(heard) == known


def test_an_exception_in_a_report_ends_the_build(nvidia, tiny, cache):
    fake = nvidia()
    heard = []

    def report(share, phase):
        heard.append(share)
        if share > 0.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_cached(tiny, BuildOptions(), cache, report=report)
    assert heard[-1] < 0.5
    assert len(fake.trt.BUILDS) == 1
    assert cache.entries() == []


# What goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "place"), [(OLD, "node 3"), (MIDDLE, "Unsupported 'n_relu'"), (NEW, "Unsupported")]
)
def test_an_unsupported_operator(nvidia, build, bundle_of, version, place):
    nvidia(version=version)
    says = rf"TensorRT {version} cannot read model 'tiny': {place}.*: No importer registered"
    with pytest.raises(EngineError, match=says) as failure:
        build(bundle_of(operator="Unsupported"))
    assert str(failure.value).endswith("use another TensorRT, or the engine onnxruntime")
    assert "x.cpp" not in str(failure.value)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("Could not find any implementation for node X", "try a larger --workspace"),
        ("Requested amount of GPU memory (9 bytes) could not be allocated", "close other programs"),
        ("Error Code 1: Myelin (no kernel)", "use another TensorRT or precision"),
    ],
)
def test_a_build_that_fails(nvidia, build, cache, words, remedy):
    nvidia(fail={"build": words})
    with pytest.raises(EngineError) as failure:
        build()
    text = str(failure.value)
    assert text.startswith(f"TensorRT 10.3.0 cannot build model 'tiny' ({words}); {remedy}")
    assert "\n" not in text
    assert cache.entries() == []


def test_a_profile_that_is_refused(nvidia, build):
    nvidia(fail={"profile": True})
    with pytest.raises(EngineError, match="cannot build model 'tiny'"):
        build()


def test_no_gpu_and_no_driver(nvidia, build):
    nvidia(capability=[])
    says = r"no usable NVIDIA GPU \(cudaErrorInsufficientDriver: .*\); install its driver, or use"
    with pytest.raises(EngineError, match=says):
        build()
    nvidia(capability=[], cuda="cuda.cudart")
    with pytest.raises(EngineError, match=r"no usable NVIDIA GPU \(Failed to dlopen"):
        build()


def test_a_builder_that_cannot_start(nvidia, build):
    nvidia(fail={"Builder": "CUDA initialization failure with error: 999"})
    says = r"^TensorRT 10\.3\.0 cannot start \(CUDA initialization failure with error: 999\); look"
    with pytest.raises(EngineError, match=says):
        build()


def test_a_gpu_that_tensorrt_for_rtx_does_not_know(nvidia, build):
    nvidia(flavour="tensorrt_rtx", version="1.7.1", capability=[9, 0], gpu="NVIDIA H200")
    says = r"does not build for the NVIDIA H200 here \(no target 'SM90'; .*\); install TensorRT its"
    with pytest.raises(EngineError, match=says):
        build()


def test_a_model_that_changes_while_it_is_read(nvidia, build, bundle_of, cache):
    nvidia()
    bundle = bundle_of()
    assert bundle.space
    build(bundle)
    bundle.path.write_bytes(bundle.path.read_bytes() + b"\x10\x00")
    with pytest.raises(BundleError, match="has changed since it was loaded; start again"):
        build(bundle)
    with pytest.raises(BundleError, match="has changed since it was loaded; start again"):
        open_cached(bundle, cache)
    assert len(cache.entries()) == 1


def test_a_model_that_vanishes(nvidia, build, bundle_of):
    nvidia()
    bundle = bundle_of()
    trt = find_tensorrt()
    bundle.path.unlink()
    with pytest.raises(EngineError, match=r"cannot read .*m\.onnx: No such file"):
        EngineBuilder(trt, bundle, BuildOptions())


def test_a_graph_without_an_image(nvidia, tiny, tmp_path, model_file):
    nvidia()
    path = model_file(tmp_path / "m.onnx")
    proto = onnx.load(str(path))
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "picture"
    onnx.save(proto, str(path))
    with pytest.raises(EngineError, match="has no input 'image'"):
        EngineBuilder(find_tensorrt(), replace(tiny, path=path), BuildOptions())
