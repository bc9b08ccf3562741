"""Truth maps: what label ids mean, by hand and against a slow reference."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from owseg.datasets import (
    ANOMALY2,
    CAMVID11,
    CITYSCAPES19,
    READERS,
    STREET_HAZARDS14,
    TruthMap,
    load_truth_map,
)
from owseg.datasets.label_spaces import IDD_LITE7
from owseg.datasets.truth_map import builtin_truth_maps
from owseg.errors import TruthError, UsageError
from owseg.scenes import STRANGE_ID

LABELS = {0: "sky", 3: "road", 8: "car", 11: "void"}
MAP = TruthMap(name="hand", labels=LABELS, held_out=("car",), ignore=("void",))
CLASSES = ("road", "sky")
"""Classes of a model, in another order than the label ids."""


def test_hand_worked():
    labels = np.array([[0, 3, 8], [11, 255, 3]], np.uint8)
    truth = MAP.apply(labels, CLASSES)
    assert truth.known.tolist() == [[1, 0, 255], [255, 255, 0]]
    assert truth.known.dtype == np.uint8
    assert truth.anomaly.tolist() == [[False, False, True], [False, False, False]]
    assert truth.valid.tolist() == [[True, True, True], [False, False, True]]


def test_table():
    table = MAP.table(CLASSES)
    assert table.dtype == np.uint8
    special = {0: 1, 3: 0, 8: 254, 11: 255, 255: 255}
    assert table.tolist() == [special.get(i, 253) for i in range(256)]


def test_the_labels_are_not_changed():
    labels = np.array([[0, 8, 255]], np.uint8)
    MAP.apply(labels, CLASSES)
    assert labels.tolist() == [[0, 8, 255]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_integer_types(dtype):
    truth = MAP.apply(np.array([[0, 8, 255]], dtype), CLASSES)
    assert truth.known.tolist() == [[1, 255, 255]]


def test_several_ids_of_one_class():
    truth_map = TruthMap(name="m", labels={4: "road", 2: "sky", 1: "road"})
    assert truth_map.known_names == ("road", "sky")
    truth = truth_map.apply(np.array([[4, 2, 1]], np.uint8), truth_map.known_names)
    assert truth.known.tolist() == [[0, 1, 0]]


def test_known_names_follow_the_ids():
    assert MAP.known_names == ("sky", "road")
    assert MAP.with_held_out([]).known_names == ("sky", "road", "car")
    assert MAP.with_held_out(["sky", "car"]).known_names == ("road",)
    assert MAP.held_out == ("car",)


NORMAL = replace(MAP, normal=("road",))


def test_normal_pixels_are_negatives_without_a_class():
    labels = np.array([[0, 3, 8], [11, 255, 3]], np.uint8)
    truth = NORMAL.apply(labels, ("sky",))
    assert truth.known.tolist() == [[0, 255, 255], [255, 255, 255]]
    assert truth.anomaly.tolist() == [[False, False, True], [False, False, False]]
    assert truth.valid.tolist() == [[True, True, True], [False, False, True]]
    # a class of the same name makes no difference
    np.testing.assert_array_equal(NORMAL.apply(labels, CLASSES).known != 255, labels == 0)
    assert NORMAL.known_names == ("sky",)
    assert NORMAL.with_held_out([]).normal == ("road",)
    assert NORMAL.table(("sky",))[3] == 255


def test_normal_and_held_out_contradict_each_other():
    with pytest.raises(UsageError, match="'car' is normal, and held out or ignored too"):
        replace(MAP, normal=("car",))
    with pytest.raises(UsageError, match="'truck' is held out or ignored, but no label"):
        replace(MAP, normal=("truck",))


# Refusals --------------------------------------------------------------------------------------


def test_unknown_ids_are_named():
    labels = np.array([[0, 77, 5, 77, 3]], np.uint8)
    with pytest.raises(TruthError, match="'hand' does not list: 5, 77; add them under 'labels'"):
        MAP.apply(labels, CLASSES)


@pytest.mark.parametrize(("value", "span"), [(256, "0..256"), (-1, "-1..0"), (40000, "0..40000")])
def test_ids_out_of_range(value, span):
    with pytest.raises(TruthError, match=f"covers ids 0..255, the ground truth has {span}"):
        MAP.apply(np.array([[0, value]], np.int64), CLASSES)


@pytest.mark.parametrize("labels", [np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2), np.float32)])
def test_no_label_map(labels):
    with pytest.raises(TruthError, match=r"expected an \(H, W\) integer label map, got"):
        MAP.apply(labels, CLASSES)


def test_a_class_that_the_model_lacks():
    with pytest.raises(TruthError, match="'road' is not one of the model's classes \\(sky, car\\)"):
        MAP.table(("sky", "car"))


def test_a_model_with_too_many_classes():
    names = tuple(f"c{i}" for i in range(254))
    truth_map = TruthMap(name="m", labels={0: "c0"})
    assert truth_map.table(names[:253])[0] == 0
    with pytest.raises(TruthError, match="254 classes; at most 253"):
        truth_map.table(names)


@pytest.mark.parametrize("label", [-1, 255, 256])
def test_label_ids_out_of_range(label):
    with pytest.raises(UsageError, match=rf"ids must be 0\.\.254, got {label}"):
        TruthMap(name="m", labels={0: "a", label: "b"})


@pytest.mark.parametrize("field", ["held_out", "ignore"])
def test_held_out_names_must_be_labels(field):
    with pytest.raises(UsageError, match="'truck' is held out or ignored, but no label has"):
        TruthMap(name="m", labels={0: "car"}, **{field: ("truck",)})
    with pytest.raises(UsageError, match="'truck' is held out or ignored"):
        MAP.with_held_out(["truck"])


# Files -----------------------------------------------------------------------------------------


def write(tmp_path, content):
    path = tmp_path / "map.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_round_trip(tmp_path):
    for truth_map in (MAP, NORMAL):
        assert load_truth_map(write(tmp_path, truth_map.to_json())) == truth_map


def test_held_out_and_ignore_may_be_left_out(tmp_path):
    content = {"schema": 1, "name": "m", "labels": {"3": "road"}}
    assert load_truth_map(write(tmp_path, content)) == TruthMap(name="m", labels={3: "road"})


GOOD = {"schema": 1, "name": "m", "labels": {"3": "road"}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no json",
        "{",
        "[" * 100_000,
        "[]",
        "3",
        "null",
        {},
        {"schema": 1},
        {key: value for key, value in GOOD.items() if key != "labels"},
        {key: value for key, value in GOOD.items() if key != "name"},
        GOOD | {"labels": ["road"]},
        GOOD | {"labels": {"three": "road"}},
        GOOD | {"held_out": "road"},
        GOOD | {"held_out": None},
        GOOD | {"ignore": 3},
        GOOD | {"normal": "road"},
    ],
)
def test_files_that_are_no_truth_map(tmp_path, content):
    path = write(tmp_path, content)
    with pytest.raises(UsageError, match=r"is not a truth map: .*it needs the keys") as caught:
        load_truth_map(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_contradictions_in_a_file(tmp_path):
    with pytest.raises(UsageError, match="'car' is held out"):
        load_truth_map(write(tmp_path, GOOD | {"held_out": ["car"]}))
    with pytest.raises(UsageError, match=r"ids must be 0\.\.254"):
        load_truth_map(write(tmp_path, GOOD | {"labels": {"300": "road"}}))


def test_another_schema(tmp_path):
    path = write(tmp_path, GOOD | {"schema": 2})
    with pytest.raises(UsageError, match="has schema 2, this version reads 1"):
        load_truth_map(path)


def test_no_such_file(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(
            UsageError, match="neither a readable file nor one of anomaly, bdd_anomaly, camvid"
        ):
            load_truth_map(path)


def test_a_binary_file(tmp_path):
    path = tmp_path / "map.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="neither a readable file"):
        load_truth_map(path)


# The built-in maps -----------------------------------------------------------------------------

SPLITS = {
    "camvid": (),
    "camvid_a": ("car",),
    "camvid_b": ("car", "pedestrian", "bicyclist"),
    "camvid_c": ("sign", "pole"),
    "scenes_a": ("car", "strange"),
    "idd_lite_a": ("vehicle",),
    "cityscapes": (),
    "cityscapes_17": (),
    "cityscapes_17_human": ("human",),
    "bdd_anomaly": ("train", "motorcycle", "bicycle"),
    "street_hazards": ("anomaly",),
    "anomaly": ("anomaly",),
    "cityscapes_16_1": ("car",),
    "cityscapes_16_3": ("car", "truck", "bus"),
    "cityscapes_13_6": ("car", "truck", "bus", "building", "traffic sign", "vegetation"),
}
COCO_STUFF = {"coco_stuff_voc_20_60", "coco_stuff_manual_20_60", "coco_stuff_random_111_60"}
"""Maps that have a test of their own."""

LEFT_OUT = {"cityscapes_17": ("truck", "bus"), "cityscapes_16_1": ("truck", "bus")}
"""Classes that count nowhere, besides void."""


def test_all_builtin_maps_are_listed_here():
    assert set(builtin_truth_maps()) == {*SPLITS, *COCO_STUFF}


@pytest.mark.parametrize(("name", "held_out"), SPLITS.items())
def test_builtin_maps_agree_with_the_label_space(name, held_out):
    truth_map = load_truth_map(name)
    spaces = {
        "idd_lite": IDD_LITE7,
        "cityscapes": CITYSCAPES19,
        "bdd": CITYSCAPES19,
        "street_hazards": STREET_HAZARDS14,
        "anomaly": ANOMALY2,
    }
    space = next((s for prefix, s in spaces.items() if name.startswith(prefix)), CAMVID11)
    if name.endswith("human"):
        names = ["human" if n in ("person", "rider") else n for n in space.names]
        space = replace(space, names=tuple(names))
    labels = dict(truth_map.labels)
    if name.startswith("scenes"):
        assert labels.pop(STRANGE_ID) == "strange"
    assert labels == {**dict(enumerate(space.names)), **dict.fromkeys(space.void_ids, "void")}
    assert sorted(truth_map.held_out) == sorted(held_out)
    left_out = LEFT_OUT.get(name, ("void",) if space.void_ids else ())
    assert truth_map.ignore == left_out
    normal = ("no anomaly",) if name == "anomaly" else ()
    assert truth_map.normal == normal
    out = (*held_out, *left_out, *normal)
    assert truth_map.known_names == tuple(n for n in space.names if n not in out)


@pytest.mark.parametrize("space", [reader.label_space for reader in READERS.values()])
def test_label_spaces_are_whole(space):
    assert len(space.names) == len(set(space.names)) == len(space.colors)
    assert all(0 <= value <= 255 for color in space.colors for value in color)
    assert not set(space.void_ids) & set(range(len(space.names)))
    assert set(space.anomalies) <= set(space.names)


def test_label_space_lookup():
    assert CAMVID11.id_of("car") == 8
    with pytest.raises(UsageError, match="camvid11 has no class 'truck'; its classes are sky"):
        CAMVID11.id_of("truck")


# Invariants ------------------------------------------------------------------------------------


@st.composite
def cases(draw):
    names = ["a", "b", "c", "d", "e"]
    labels = draw(st.dictionaries(st.integers(0, 254), st.sampled_from(names), min_size=1))
    used = sorted(set(labels.values()))
    roles = {n: draw(st.sampled_from(["known", "held_out", "ignore"])) for n in used}
    truth_map = TruthMap(
        name="drawn",
        labels=labels,
        held_out=tuple(n for n in used if roles[n] == "held_out"),
        ignore=tuple(n for n in used if roles[n] == "ignore"),
    )
    ids = st.sampled_from([*labels, 255])
    shape = st.tuples(st.integers(1, 5), st.integers(1, 5))
    return truth_map, roles, draw(hnp.arrays(np.uint8, shape, elements=ids))


@given(cases())
@settings(deadline=None)
def test_each_pixel_means_what_its_label_says(case):
    truth_map, roles, labels = case
    classes = truth_map.known_names
    truth = truth_map.apply(labels, classes)
    assert TruthMap(**vars_of(truth_map)) == truth_map
    for index, label in np.ndenumerate(labels):
        name = truth_map.labels.get(int(label))
        role = roles.get(name, "ignore")
        assert truth.anomaly[index] == (role == "held_out")
        assert truth.valid[index] == (role != "ignore")
        assert truth.known[index] == (classes.index(name) if role == "known" else 255)


def vars_of(truth_map):
    raw = json.loads(truth_map.to_json())
    labels = {int(i): n for i, n in raw["labels"].items()}
    lists = {key: tuple(raw[key]) for key in ("held_out", "ignore")}
    return {"name": raw["name"], "labels": labels, **lists}
