"""Loading a bundle: a good one, and each way in which a file can be none."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest

from owseg.bundle import check_graph, load_bundle, shipped_model
from owseg.errors import BundleError

FLOAT, UINT8 = 1, 2
"""Element types of ONNX."""


def refuses(path, says):
    """Expect one clear line that names the file."""
    with pytest.raises(BundleError, match=says) as caught:
        load_bundle(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_good_bundle(tiny_bundle, tiny_manifest):
    bundle = load_bundle(str(tiny_bundle))
    assert bundle.path == tiny_bundle
    assert bundle.manifest.to_json() == tiny_manifest.to_json()
    assert bundle.space == hashlib.sha256(tiny_bundle.read_bytes()).hexdigest()


def test_another_file_is_another_embedding_space(
    tiny_bundle, write_bundle, edit_manifest, tmp_path
):
    other = write_bundle(tmp_path / "other.onnx", edit_manifest(name="other"))
    assert load_bundle(other).space != load_bundle(tiny_bundle).space


def test_missing_file(tmp_path):
    refuses(tmp_path / "none.onnx", "^no model at .*none.onnx$")


def test_directory(tmp_path):
    refuses(tmp_path, "is a folder")


@pytest.mark.parametrize("content", [b"", b"no model at all\n" * 40, b"\x08\x08\x12"])
def test_not_onnx(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    refuses(path, "is not a usable ONNX file")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path, tiny_bundle, part):
    data = tiny_bundle.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(part * len(data))])
    refuses(path, "is not a usable ONNX file|carries no owseg manifest")


def test_no_manifest(tmp_path, write_bundle):
    path = write_bundle(tmp_path / "bare.onnx", manifest=None)
    refuses(path, "is ONNX but carries no owseg manifest; make a bundle with 'owseg export'")


def test_other_schema_version(tmp_path, write_bundle, edit_manifest):
    path = write_bundle(tmp_path / "old.onnx", edit_manifest(schema=99))
    refuses(path, "schema 99, this version of owseg reads 1; export the model again")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"classes": []}, "class ids must be"),
        ({"slots": 300}, "do not fit into the ids"),
        ({"prototypes": [[float("nan")] * 3] * 3}, "NaN"),
        ({"default_operating_point": "loose"}, "no operating point 'loose'"),
        ({"stride": 0}, "stride is 0"),
    ],
)
def test_a_manifest_that_contradicts_itself(tmp_path, write_bundle, edit_manifest, changes, says):
    refuses(write_bundle(tmp_path / "m.onnx", edit_manifest(**changes)), says)


# The graph against its manifest ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["known", "anomaly", "open_set", "direction", "embedding"])
def test_an_output_is_missing(tmp_path, write_bundle, name):
    path = write_bundle(tmp_path / "m.onnx", outputs={name: None})
    message = refuses(path, f"the graph has no output '{name}'")
    assert "(it has " in message


def test_an_input_has_another_type(tmp_path, write_bundle):
    path = write_bundle(tmp_path / "m.onnx", inputs={"image": (FLOAT, ["B", 24, 32, 3])})
    refuses(path, r"input 'image' is tensor\(float\) .* the manifest says tensor\(uint8\)")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"input": {"height": 48, "width": 32, "mean": [0] * 3, "std": [1] * 3}}, "input 'image'"),
        ({"input": {"height": 24, "width": 64, "mean": [0] * 3, "std": [1] * 3}}, "input 'image'"),
        ({"slots": 5}, r"input 'prototypes' is tensor\(float\) \[4, 3\], .* \[5, 3\]"),
        ({"stride": 8}, r"output 'direction' .* \['B', 2, 3, 4\]"),
        ({"prototypes": [[1.0] * 4] * 3, "embedding_size": 4}, "input 'prototypes'"),
    ],
)
def test_the_manifest_describes_another_graph(tmp_path, write_bundle, edit_manifest, changes, says):
    refuses(write_bundle(tmp_path / "m.onnx", edit_manifest(**changes)), says)


def session_like(manifest, **changes):
    """Stand in for a session whose graph fits the manifest but for the changes."""
    m = manifest
    nodes = {
        "image": ("tensor(uint8)", ["B", m.height, m.width, 3]),
        "prototypes": ("tensor(float)", [m.slots, m.embedding_size]),
        "prototype_radius": ("tensor(float)", [m.slots]),
        "prototype_valid": ("tensor(float)", [m.slots]),
        "anomaly_threshold": ("tensor(float)", [1]),
        "known": ("tensor(uint8)", ["B", m.height, m.width]),
        "anomaly": ("tensor(float)", ["B", m.height, m.width]),
        "open_set": ("tensor(uint8)", ["B", m.height, m.width]),
        "direction": ("tensor(float)", ["B", 2, *m.grid]),
        "embedding": ("tensor(float)", ["B", m.embedding_size, *m.grid]),
    } | changes
    listed = [SimpleNamespace(name=n, type=t, shape=s) for n, (t, s) in nodes.items()]
    return SimpleNamespace(get_inputs=lambda: listed[:5], get_outputs=lambda: listed[5:])


def test_a_graph_that_fits_is_taken(tiny_manifest):
    check_graph(session_like(tiny_manifest), tiny_manifest, "m")
    fixed = session_like(tiny_manifest, image=("tensor(uint8)", [1, 24, 32, 3]))
    check_graph(fixed, tiny_manifest, "m")
    open_ = session_like(tiny_manifest, known=("tensor(uint8)", ["B", "H", None]))
    check_graph(open_, tiny_manifest, "m")


@pytest.mark.parametrize(
    ("name", "kind", "dtype", "shape"),
    [
        ("image", "input", "tensor(uint8)", ["B", 3, 24, 32]),
        ("image", "input", "tensor(uint8)", [24, 32, 3]),
        ("prototypes", "input", "tensor(double)", [4, 3]),
        ("prototype_radius", "input", "tensor(float)", [1]),
        ("prototype_valid", "input", "tensor(bool)", [4]),
        ("anomaly_threshold", "input", "tensor(float)", []),
        ("known", "output", "tensor(int64)", ["B", 24, 32]),
        ("known", "output", "tensor(uint8)", ["B", 1, 24, 32]),
        ("anomaly", "output", "tensor(float)", ["B", 24, 31]),
        ("open_set", "output", "tensor(float)", ["B", 24, 32]),
        ("direction", "output", "tensor(float)", ["B", 3, 6, 8]),
        ("embedding", "output", "tensor(float)", ["B", 2, 6, 8]),
    ],
)
def test_a_graph_that_differs_is_refused(tiny_manifest, name, kind, dtype, shape):
    session = session_like(tiny_manifest, **{name: (dtype, shape)})
    with pytest.raises(BundleError, match=f"^m.onnx: {kind} '{name}' is ") as caught:
        check_graph(session, tiny_manifest, "m.onnx")
    assert f"{dtype} {shape}" in str(caught.value)


def test_the_shipped_model_loads():
    path = shipped_model()
    if not path.is_file():
        pytest.skip("this checkout has no shipped model")
    bundle = load_bundle(path)
    assert path.stat().st_size <= 12e6
    assert bundle.manifest.license
    assert bundle.manifest.provenance
