"""The manifest: round trip, and what it refuses."""

from __future__ import annotations

import json
import string
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.errors import BundleError
from owseg.manifest import SCHEMA, Manifest, OperatingPoint, parse_manifest
from owseg.types import ClassInfo

NAN, INF = float("nan"), float("inf")


def fields_of(manifest):
    """Give all fields as plain values, so that two manifests compare."""
    names = Manifest.__dataclass_fields__
    return {n: getattr(manifest, n) for n in names} | {"prototypes": manifest.prototypes.tolist()}


def test_round_trip(tiny_manifest):
    read = parse_manifest(tiny_manifest.to_json(), "tiny.onnx")
    assert fields_of(read) == fields_of(tiny_manifest)
    assert read.prototypes.dtype == np.float32


NAMES = st.text(string.ascii_lowercase + " _-é", min_size=1, max_size=8)
BYTE = st.integers(0, 255)
UNIT = st.floats(0, 1, width=32)


@st.composite
def manifests(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    size = draw(st.integers(1, 4))
    rows = draw(st.sampled_from([0, len(names)]))
    values = draw(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=rows * size, max_size=rows * size)
    )
    points = draw(st.lists(st.tuples(NAMES, UNIT), min_size=1, max_size=3))
    return Manifest(
        name=draw(NAMES),
        classes=tuple(
            ClassInfo(id=i, name=n, color=draw(st.tuples(BYTE, BYTE, BYTE)))
            for i, n in enumerate(names)
        ),
        height=draw(st.integers(1, 2000)),
        width=draw(st.integers(1, 2000)),
        mean=draw(st.tuples(UNIT, UNIT, UNIT)),
        std=draw(st.tuples(UNIT, UNIT, UNIT)),
        stride=draw(st.integers(1, 32)),
        prototypes=np.array(values, np.float32).reshape(rows, size),
        slots=draw(st.integers(1, 250)),
        score={"method": draw(NAMES), "scale": draw(UNIT)},
        operating_points=tuple(
            OperatingPoint(name=n, threshold=t, fitted_on=draw(NAMES)) for n, t in points
        ),
        default_operating_point=points[0][0],
        license={"weights": draw(NAMES)},
    )


@given(manifests())
@settings(deadline=None, max_examples=50)
def test_any_manifest_survives_the_round_trip(manifest):
    assert fields_of(parse_manifest(manifest.to_json(), "x")) == fields_of(manifest)


@pytest.mark.parametrize(
    ("height", "width", "stride", "grid"),
    [(24, 32, 4, (6, 8)), (25, 33, 4, (7, 9)), (23, 31, 8, (3, 4)), (5, 5, 8, (1, 1))],
)
def test_grid_rounds_up(tiny_manifest, height, width, stride, grid):
    assert replace(tiny_manifest, height=height, width=width, stride=stride).grid == grid


def test_thresholds_by_name(tiny_manifest):
    assert tiny_manifest.threshold() == 0.5
    assert tiny_manifest.threshold("strict") == 0.9
    with pytest.raises(BundleError, match="no operating point 'loose'; it has half, strict"):
        tiny_manifest.threshold("loose")


def class_list(*names, color=(1, 2, 3)):
    return tuple(ClassInfo(id=i, name=n, color=color) for i, n in enumerate(names))


def points(threshold):
    return (OperatingPoint(name="half", threshold=threshold, fitted_on="nothing"),)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"classes": ()}, "class ids must be 0, 1, 2"),
        ({"classes": class_list("a", "b", "c")[::-1]}, "class ids must be 0, 1, 2"),
        ({"classes": class_list("a", "b", "a")}, "two classes have the same name"),
        ({"classes": class_list("a", "b", "c", color=(0, 0, 256))}, "colour of 'a'"),
        ({"classes": class_list("a", "b", "c", color=(-1, 0, 0))}, "colour of 'a'"),
        ({"slots": 253}, "3 classes and 253 slots do not fit"),
        ({"slots": 0}, "slots is 0"),
        ({"height": 0}, "height is 0"),
        ({"width": -1}, "width is -1"),
        ({"stride": 0}, "stride is 0"),
        ({"prototypes": np.zeros((2, 3), np.float32)}, "one prototype per class"),
        ({"prototypes": np.zeros(3, np.float32)}, "one prototype per class"),
        ({"prototypes": np.full((3, 3), NAN, np.float32)}, "NaN or infinite"),
        ({"prototypes": np.full((3, 3), INF, np.float32)}, "NaN or infinite"),
        ({"operating_points": points(1.5)}, r"threshold of 'half' is 1\.5"),
        ({"operating_points": points(-0.1)}, r"threshold of 'half' is -0\.1"),
        ({"operating_points": points(NAN)}, "threshold of 'half' is nan"),
        ({"operating_points": ()}, "no operating point 'half'; it has none"),
        ({"default_operating_point": "other"}, "no operating point 'other'"),
    ],
)
def test_contradictions_are_refused(tiny_manifest, changes, says):
    with pytest.raises(BundleError, match=says):
        replace(tiny_manifest, **changes)


def test_the_most_ids_that_fit(tiny_manifest):
    assert replace(tiny_manifest, slots=252).slots == 252


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '"\\ud800'])
def test_text_that_is_not_json(text):
    with pytest.raises(BundleError, match=r"^m\.onnx: the manifest is not JSON"):
        parse_manifest(text, "m.onnx")


@pytest.mark.parametrize("schema", [None, 0, SCHEMA + 1, str(SCHEMA)])
def test_other_schema_versions(edit_manifest, schema):
    with pytest.raises(BundleError, match=rf"m.onnx: .* schema {schema!r}, .* reads {SCHEMA}"):
        parse_manifest(edit_manifest(schema=schema), "m.onnx")


@pytest.mark.parametrize("text", ["[]", "1", "null", '"manifest"'])
def test_json_that_is_no_object(text):
    with pytest.raises(BundleError, match="schema None"):
        parse_manifest(text, "m.onnx")


def test_every_field_is_needed(edit_manifest):
    whole = json.loads(edit_manifest())
    for name in whole.keys() - {"schema"}:
        part = json.dumps({key: value for key, value in whole.items() if key != name})
        with pytest.raises(BundleError, match=f"lacks or garbles a field.*{name}"):
            parse_manifest(part, "m.onnx")


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": 7},
        {"classes": [{"id": 0, "name": "road"}]},
        {"classes": [{"id": 0, "name": "road", "color": [1, 2]}]},
        {"input": [24, 32]},
        {"input": {"height": "tall", "width": 32, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"prototypes": [[1, 2], [3]]},
        {"prototypes": "none"},
        {"embedding_size": 2},
        {"embedding_size": 0},
        {"stride": INF},
        {"slots": None},
        {"score": 3},
        {"operating_points": [{"name": "half"}]},
        {"operating_points": [[]]},
    ],
)
def test_garbled_fields(edit_manifest, changes):
    with pytest.raises(BundleError, match=r"^m\.onnx: the manifest lacks or garbles a field"):
        parse_manifest(edit_manifest(**changes), "m.onnx")


@pytest.mark.parametrize("value", [NAN, INF])
def test_json_with_nan(edit_manifest, value):
    rows = [[value, 0, 0], [0, 3, 0], [0, 0, 3]]
    with pytest.raises(BundleError, match="NaN or infinite"):
        parse_manifest(edit_manifest(prototypes=rows), "m.onnx")
