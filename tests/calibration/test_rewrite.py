"""Another manifest for a bundle: the graph, its results and its embedding space stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from owseg.bundle import load_bundle
from owseg.calibration.rewrite import save_with_manifest, with_manifest
from owseg.calibration.table import CalibrationTable
from owseg.engines import open_engine
from owseg.errors import BundleError, OutputError, UsageError
from owseg.manifest import OperatingPoint, parse_manifest
from owseg.pipeline import Pipeline
from owseg.types import Frame

TABLE = CalibrationTable(
    method="hand", probabilities=(0.0, 0.1, 0.9), fitted_on="x", figures={"pixels": 2}
)
POINT = OperatingPoint(
    name="false_alarms_1", threshold=0.75, fitted_on="x", promise={"limit": 0.01, "frames": 7}
)


@pytest.fixture
def written(tiny_bundle, tmp_path):
    """Give the tiny bundle with a calibration and a promise."""
    bundle = load_bundle(tiny_bundle)
    manifest = replace(
        bundle.manifest,
        operating_points=(POINT,),
        default_operating_point=POINT.name,
        calibration=TABLE,
    )
    return save_with_manifest(bundle, manifest, tmp_path / "new.onnx")


def test_only_the_manifest_differs(tiny_bundle, written):
    onnx = pytest.importorskip("onnx")
    before, after = onnx.load(str(tiny_bundle)), onnx.load(str(written.path))
    assert [entry.key for entry in after.metadata_props] == ["owseg.manifest"]
    del before.metadata_props[:], after.metadata_props[:]
    assert before == after


def test_the_manifest_is_read_back(tiny_bundle, written):
    assert written.manifest.calibration == TABLE
    assert written.manifest.operating_points == (POINT,)
    assert written.manifest.threshold() == 0.75
    assert parse_manifest(written.manifest.to_json(), "x").calibration == TABLE


def test_prototypes_of_the_old_one_fit(tiny_bundle, written, tmp_path):
    old = load_bundle(tiny_bundle)
    assert written.space == old.space == old.digest
    assert written.digest != old.digest
    # also where it is written again, and over itself
    again = save_with_manifest(written, written.manifest, written.path)
    assert again.space == old.space


def test_the_original_stays_as_it_is(tiny_bundle, written):
    assert load_bundle(tiny_bundle).manifest.calibration is None


def test_other_metadata_is_kept(tiny_bundle, tiny_manifest):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(tiny_bundle))
    entry = model.metadata_props.add()
    entry.key, entry.value = "author", "somebody"
    changed = onnx.ModelProto.FromString(with_manifest(model.SerializeToString(), "{}"))
    found = {entry.key: entry.value for entry in changed.metadata_props}
    assert found == {"author": "somebody", "owseg.manifest": "{}"}


def test_places_that_cannot_be_written(tiny_bundle, tmp_path):
    bundle = load_bundle(tiny_bundle)
    with pytest.raises(OutputError, match="cannot write the bundle"):
        save_with_manifest(bundle, bundle.manifest, tmp_path / "none" / "new.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(OutputError, match="cannot write the bundle"):
        save_with_manifest(bundle, bundle.manifest, tmp_path / "folder.onnx")
    assert not list(tmp_path.glob("*.part"))


def test_weights_in_a_file_of_their_own(tiny_bundle, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(tiny_bundle))
    for tensor in model.graph.initializer:
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "weights.bin"
        tensor.data_location = onnx.TensorProto.EXTERNAL
    path = tmp_path / "outside.onnx"
    path.write_bytes(model.SerializeToString())
    bundle = replace(load_bundle(tiny_bundle), path=path)
    (tmp_path / "other").mkdir()
    with pytest.raises(OutputError, match=r"weights\.bin"):
        save_with_manifest(bundle, bundle.manifest, tmp_path / "other" / "new.onnx")


def test_changed_weights_void_what_was_fitted(written):
    other = written.manifest.for_other_weights()
    assert other.calibration is None
    assert other.space == ""
    assert other.threshold() == 0.75
    assert other.operating_points[0].promise == {}
    assert "void since the weights changed" in other.operating_points[0].fitted_on


@pytest.mark.parametrize("entries", [[0.5], [0.9, 0.1], "x", None])
def test_a_garbled_table_is_refused(edit_manifest, entries):
    raw = {"method": "hand", "fitted_on": "x", "probabilities": entries}
    with pytest.raises(BundleError, match="export again"):
        parse_manifest(edit_manifest(calibration=raw), "x")


# The pipeline ----------------------------------------------------------------------------------


def picture():
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, :, 2] = np.linspace(0, 255, 32).astype(np.uint8)  # the score is blue / 255
    return Frame(image=image)


def test_probabilities_only_if_asked_for(written):
    with open_engine(written.path, "onnxruntime", "cpu") as engine:
        plain, calibrated = Pipeline(engine), Pipeline(engine, calibrated=True)
        calibrated.warm_up()
        score, probability = plain.process(picture()), calibrated.process(picture())
    np.testing.assert_allclose(probability.anomaly, TABLE.apply(score.anomaly), atol=1e-6)
    assert not np.allclose(probability.anomaly, score.anomaly, atol=0.1)
    np.testing.assert_array_equal(probability.open_set, score.open_set)
    np.testing.assert_array_equal(probability.clusters, score.clusters)
    assert (plain.calibrated, calibrated.calibrated) == (False, True)
    assert plain.published_threshold == plain.threshold == calibrated.threshold == 0.75
    assert calibrated.published_threshold == pytest.approx(0.5)
    above = probability.anomaly > calibrated.published_threshold
    np.testing.assert_array_equal(above, score.open_set == 255)


def test_a_bundle_without_a_map(tiny_bundle):
    with (
        open_engine(tiny_bundle, "onnxruntime", "cpu") as engine,
        pytest.raises(UsageError, match="has no calibration; fit one with 'owseg calibrate'"),
    ):
        Pipeline(engine, calibrated=True)
