"""Bundles in float16 and int8: what is typed how, what is noted, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from owseg.bundle import OUTPUTS, load_bundle
from owseg.cli import main
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.errors import MissedLimitError, OutputError, UsageError
from owseg_export.precision import Limits, PrecisionOptions, Quality, convert_bundle
from owseg_export.precision import convert as module
from owseg_export.precision.gate import check_limits
from owseg_export.precision.parts import network_nodes

GENEROUS = Limits(miou=1.0, auroc=1.0, fpr95=1.0)


@pytest.fixture(scope="module")
def convert(exported, camvid_tree: Path, truth_map: Path, tmp_path_factory):
    """Give a function that converts the exported bundle, each way once."""
    done: dict[tuple[str, str], Path] = {}

    def run(name: str, form: str = "cpu") -> Path:
        if (name, form) not in done:
            out = tmp_path_factory.mktemp("converted") / f"{name}_{form}.onnx"
            options = options_of(camvid_tree, truth_map, name=name, form=form)
            convert_bundle(exported.path, out, options)
            done[name, form] = out
        return done[name, form]

    return run


def options_of(root: Path, truth_map: Path, **more) -> PrecisionOptions:
    base = PrecisionOptions(
        name="int8",
        calibration=root / "train",
        validation=root / "val",
        truth_map=str(truth_map),
        limits=GENEROUS,
    )
    return replace(base, **more)


def outputs_of(path: Path, exported, heads: str = "auto") -> dict[str, np.ndarray]:
    images = np.stack([image for image, _ in exported.frames])
    with OnnxRuntimeEngine(load_bundle(path), "cpu", threads=1, heads=heads) as engine:
        found = engine.infer(images, PrototypeSlots.empty(exported.manifest), 0.5, OUTPUTS)
        assert not (heads == "auto" and engine.heads == "graph"), engine.note
    return found


@pytest.mark.parametrize(
    ("name", "form", "close"),
    [("fp16", "cpu", 0.02), ("int8", "cpu", 0.5), ("int8", "tensorrt", 0.5)],
)
def test_results_stay_near_those_of_float32(convert, exported, name, form, close) -> None:
    want = outputs_of(exported.path, exported)
    found = outputs_of(convert(name, form), exported)
    gap = np.abs(found["embedding"] - want["embedding"])
    assert 0 < gap.mean() < close * want["embedding"].std()
    assert np.mean(found["known"] != want["known"]) < close


@pytest.mark.parametrize("form", ["cpu", "tensorrt"])
def test_the_fused_heads_fit_converted_bundles_too(convert, exported, form) -> None:
    path = convert("int8", form)
    graph, fused = outputs_of(path, exported, "graph"), outputs_of(path, exported)
    np.testing.assert_allclose(fused["anomaly"], graph["anomaly"], rtol=0, atol=1e-4)
    assert np.mean(fused["known"] != graph["known"]) < 5e-4


# How it is typed ----------------------------------------------------------------------------------


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = (*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {t.name: t.data_type for t in inferred.graph.initializer}


def test_fp16_has_a_network_in_halves_and_heads_in_float32(convert) -> None:
    model = onnx.load(str(convert("fp16")))
    onnx.checker.check_model(model)
    types, inside = types_of(model), network_nodes(model.graph)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert {types[name] for node in convolutions for name in node.input} == {TensorProto.FLOAT16}
    assert types["embedding"] == types["direction"] == TensorProto.FLOAT
    heads = [node for node in model.graph.node if node.output[0] not in inside]
    assert TensorProto.FLOAT16 not in {types.get(o) for node in heads for o in node.output}
    assert types["image"] == TensorProto.UINT8


def test_int8_for_a_cpu_has_unsigned_activations_and_whole_biases(convert) -> None:
    model = onnx.load(str(convert("int8")))
    types, counts = types_of(model), Counter(node.op_type for node in model.graph.node)
    assert counts["QuantizeLinear"] > counts["Conv"]
    zeros = {types[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert zeros == {TensorProto.UINT8}
    stored = {t.data_type for t in model.graph.initializer}
    assert {TensorProto.INT8, TensorProto.INT32} <= stored


def test_int8_for_tensorrt_is_symmetric_with_float_biases(convert) -> None:
    model = onnx.load(str(convert("int8", "tensorrt")))
    types = types_of(model)
    initializers = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    quantised = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert {types[n.input[2]] for n in quantised} == {TensorProto.INT8}
    assert all(not initializers[n.input[2]].any() for n in quantised)
    assert TensorProto.INT32 not in {
        types[n.input[0]] for n in model.graph.node if n.op_type == "DequantizeLinear"
    }


@pytest.mark.parametrize("form", ["cpu", "tensorrt"])
def test_int8_leaves_the_embedding_and_the_heads_alone(convert, form) -> None:
    model = onnx.load(str(convert("int8", form)))
    makers = {name: node for node in model.graph.node for name in node.output}
    assert makers["embedding"].op_type == makers["direction"].op_type == "Conv"
    inside = network_nodes(model.graph)
    heads = [node.op_type for node in model.graph.node if node.output[0] not in inside]
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(heads)
    weights = {
        len(onnx.numpy_helper.to_array(t).shape)
        for t in model.graph.initializer
        if t.name.endswith("_scale") and "weight" in t.name
    }
    assert 1 in weights  # a scale for each channel


def test_int8_is_smaller(convert, exported) -> None:
    assert convert("int8").stat().st_size < 0.8 * exported.path.stat().st_size


# What is noted, and the gate ----------------------------------------------------------------------


def test_the_manifest_says_how_it_was_made_and_what_it_costs(convert, exported) -> None:
    manifest = load_bundle(convert("int8")).manifest
    assert manifest.precision == "int8"
    noted = manifest.provenance["precision"]
    assert noted["form"] == "cpu"
    assert noted["calibration"] == "camvid train, 4 images"
    assert noted["validation"] == "camvid val, 4 images, four"
    assert noted["limits"] == {"miou": 1.0, "auroc": 1.0, "fpr95": 1.0}
    assert noted["source"] == load_bundle(exported.path).space
    for figures in (noted["before"], noted["after"]):
        assert set(figures) == {"miou", "auroc", "fpr95"}
        assert all(0 <= value <= 1 for value in figures.values())
    assert noted["before"] != noted["after"]
    assert load_bundle(exported.path).manifest.precision == "fp32"
    without = {k: v for k, v in manifest.provenance.items() if k != "precision"}
    assert without == load_bundle(exported.path).manifest.provenance


def test_figures_before_are_those_of_the_source(convert, exported, camvid_tree, truth_map) -> None:
    file = camvid_tree.parent / "figures.json"
    argv = ["eval", "--data", "camvid", "--root", camvid_tree, "--truth-map", truth_map]
    assert main([str(a) for a in (*argv, "--model", exported.path, "--json", file)]) == 0
    want = json.loads(file.read_text())
    before = load_bundle(convert("int8")).manifest.provenance["precision"]["before"]
    assert before == {
        "miou": want["miou"],
        "auroc": want["anomaly"]["auroc"],
        "fpr95": want["anomaly"]["fpr95"],
    }


GOOD = Quality(miou=0.5, auroc=0.9, fpr95=0.1)


@pytest.mark.parametrize(
    "change",
    [{}, {"miou": 0.49}, {"auroc": 0.89}, {"fpr95": 0.13}, {"miou": 0.9, "auroc": 1.0, "fpr95": 0}],
)
def test_losses_within_the_limits_pass(change) -> None:
    check_limits(
        GOOD, replace(GOOD, **change), Limits(miou=0.0101, auroc=0.0101, fpr95=0.0301), "x"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"miou": 0.489}, r"mIoU 50.0 % to 48.9 % \(may fall by 1\)"),
        ({"auroc": 0.88}, r"AUROC 90.0 % to 88.0 % \(may fall by 1\)"),
        ({"fpr95": 0.14}, r"FPR95 10.0 % to 14.0 % \(may rise by 3\)"),
        ({"auroc": None}, "AUROC 90.0 % to undefined"),
        ({"miou": float("nan")}, "mIoU 50.0 % to nan"),
    ],
)
def test_larger_losses_do_not(change, says) -> None:
    with pytest.raises(MissedLimitError, match=says) as raised:
        check_limits(GOOD, replace(GOOD, **change), Limits(), "x")
    assert raised.value.exit_code == 1


def test_what_is_undefined_before_is_not_judged() -> None:
    check_limits(replace(GOOD, auroc=None), replace(GOOD, auroc=None), Limits(), "x")


def test_where_nothing_is_defined_nothing_is_known() -> None:
    nothing = Quality(miou=None, auroc=None, fpr95=None)
    with pytest.raises(UsageError, match=r"the loss of x cannot be measured: .* --validation"):
        check_limits(nothing, nothing, Limits(), "x")


@pytest.mark.parametrize(
    ("count", "places"),
    [(None, range(10)), (10, range(10)), (99, range(10)), (1, [0]), (2, [0, 5]), (3, [0, 3, 6])],
)
def test_images_are_spread_evenly(count, places) -> None:
    assert module._spread(list(range(10)), count) == list(places)


def test_more_than_half_of_the_images_are_spread_too() -> None:
    found = module._spread(list(range(101)), 64)
    assert len(set(found)) == 64
    assert found[0] == 0
    assert found[-1] >= 99
    assert max(np.diff(found)) == 2


def test_labelled_images_are_read_one_at_a_time() -> None:
    alive: list[int] = []

    class Sample:
        def load(self) -> tuple[int, int]:
            alive.append(1)
            return (1, 2)

    images = module._Labelled([Sample()] * 3)
    assert len(images) == 3
    assert alive == []
    for place, image in enumerate(images):
        assert image == (1, 2)
        assert len(alive) == place + 1
    assert len(list(images)) == 3


def test_other_metadata_stay(convert, exported) -> None:
    model = onnx.load(str(exported.path))
    entry = model.metadata_props.add()
    entry.key, entry.value = "note", "of somebody"
    found = module.with_manifest(model, exported.manifest)
    values = {entry.key: entry.value for entry in found.metadata_props}
    assert values.pop("note") == "of somebody"
    assert [json.loads(value)["name"] for value in values.values()] == [exported.manifest.name]


def test_a_folder_in_place_of_the_file(exported, camvid_tree, truth_map, tmp_path) -> None:
    options = options_of(camvid_tree, truth_map)
    with pytest.raises(OutputError, match="is a folder; name a file"):
        convert_bundle(exported.path, tmp_path, options)


def test_a_loss_that_is_too_large_writes_nothing(
    exported, camvid_tree, truth_map, tmp_path, monkeypatch
) -> None:
    figures = iter([GOOD, replace(GOOD, miou=0.1)])
    monkeypatch.setattr(module, "quality", lambda *args: next(figures))
    options = options_of(camvid_tree, truth_map, name="fp16", limits=Limits())
    with pytest.raises(MissedLimitError, match="fp16 of 'camvid_tiny' costs too much: mIoU"):
        convert_bundle(exported.path, tmp_path / "m.onnx", options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"form": "gpu"}, "no form 'gpu' of int8; there are cpu, tensorrt"),
        ({"calibration": None}, "name the images with --calibration ROOT/SPLIT"),
        ({"validation": None}, "name the images with --validation ROOT/SPLIT"),
    ],
)
def test_options_that_make_no_sense(exported, camvid_tree, truth_map, tmp_path, change, says):
    options = options_of(camvid_tree, truth_map, **change)
    with pytest.raises(UsageError, match=says):
        convert_bundle(exported.path, tmp_path / "m.onnx", options)
    assert not list(tmp_path.iterdir())


def test_only_float32_can_be_converted(convert, camvid_tree, truth_map, tmp_path) -> None:
    options = options_of(camvid_tree, truth_map)
    with pytest.raises(UsageError, match="is in int8 already; convert the float32 bundle"):
        convert_bundle(convert("int8"), tmp_path / "m.onnx", options)


def test_a_bundle_of_unknown_data(tiny_bundle, camvid_tree, truth_map, tmp_path) -> None:
    options = options_of(camvid_tree, truth_map)
    with pytest.raises(UsageError, match="'tiny' does not say which data set it is of"):
        convert_bundle(tiny_bundle, tmp_path / "m.onnx", options)
