"""Shared fixtures: a real but tiny model bundle, and tiny recordings with exact truth."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from owseg.images import encode_image
from owseg.manifest import METADATA_KEY, Manifest, OperatingPoint
from owseg.replay.messages import IMAGE, Header, serialize_image
from owseg.types import ClassInfo

HEIGHT, WIDTH, STRIDE, SLOTS, SIZE = 24, 32, 4, 4, 3
CAMERA, LABELS = "/camera/image_raw", "/ground_truth/labels"
SECOND = 10**9

ROAD, TREE, SKY, THING, VOID = (200, 0, 10), (0, 220, 30), (20, 40, 100), (0, 0, 255), (9, 9, 9)
"""Colours that the tiny bundle takes for road, tree, sky, and for sky with anomaly 1."""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Keep OpenCV to one thread: the pictures are tiny, and tests run side by side."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture
def homeless(monkeypatch):
    """Run as a user that the machine does not know, as containers do: without a home directory."""
    pwd = pytest.importorskip("pwd", reason="users without a home directory are a matter of POSIX")

    def unknown(user):
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


# The tiny bundle -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tiny_manifest():
    """Describe the tiny graph: 24x32, 3 classes, 4 slots, stride 4."""
    names = {"road": (110, 92, 128), "tree": (92, 142, 76), "sky": (112, 168, 214)}
    return Manifest(
        name="tiny",
        classes=tuple(
            ClassInfo(id=i, name=name, color=color) for i, (name, color) in enumerate(names.items())
        ),
        height=HEIGHT,
        width=WIDTH,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        stride=STRIDE,
        prototypes=3 * np.eye(SIZE, dtype=np.float32),
        slots=SLOTS,
        score={"method": "blue"},
        operating_points=(
            OperatingPoint(name="half", threshold=0.5, fitted_on="nothing"),
            OperatingPoint(name="strict", threshold=0.9, fitted_on="nothing"),
        ),
        default_operating_point="half",
        provenance={"recipe": "by hand"},
        license={"weights": "Apache-2.0", "training_data": "none"},
    )


def tiny_graph(inputs=None, outputs=None):
    """Build the graph of the contract; arguments replace inputs and outputs (None: drop it).

    known: the largest colour channel, or 3 + the nearest slot that claims the pixel
    (squared distance of colour / 255 below its radius); anomaly: blue / 255; embedding:
    the colour / 255 of the first pixel of each cell; direction: red and green of it - 0.5.
    """
    onnx = pytest.importorskip("onnx", reason="the tiny bundle is made with the package onnx")
    helper, types = onnx.helper, onnx.TensorProto
    constants = {
        "full": np.float32(255),
        "channels": np.int64(2),
        "far": np.float32(1e9),
        "half": np.float32(0.5),
        "classes": np.int64(3),
        "slot_axis": np.array([3], np.int64),
        "zero": np.array([0, 0], np.int64),
        "two": np.array([2], np.int64),
        "start": np.array([0], np.int64),
        "channel_axis": np.array([1], np.int64),
        "end": np.array([HEIGHT, WIDTH], np.int64),
        "axes": np.array([2, 3], np.int64),
        "steps": np.array([STRIDE, STRIDE], np.int64),
        "unknown_id": np.uint8(255),
    }
    nodes = [
        ("Cast", ["image"], "float", {"to": types.FLOAT}),
        ("Div", ["float", "full"], "x", {}),
        ("ArgMax", ["x"], "base", {"axis": 3, "keepdims": 0}),
        ("Gather", ["x", "channels"], "anomaly", {"axis": 3}),
        ("Unsqueeze", ["x", "slot_axis"], "x5", {}),
        ("Sub", ["x5", "prototypes"], "gap", {}),
        ("ReduceSumSquare", ["gap"], "distance", {"axes": [4], "keepdims": 0}),
        ("Less", ["distance", "prototype_radius"], "near", {}),
        ("Greater", ["prototype_valid", "half"], "used", {}),
        ("And", ["near", "used"], "inside", {}),
        ("Where", ["inside", "distance", "far"], "claim", {}),
        ("ArgMin", ["claim"], "slot", {"axis": 3, "keepdims": 0}),
        ("ReduceMin", ["claim"], "nearest", {"axes": [3], "keepdims": 0}),
        ("Less", ["nearest", "far"], "claimed", {}),
        ("Add", ["slot", "classes"], "novel", {}),
        ("Where", ["claimed", "novel", "base"], "best", {}),
        ("Cast", ["best"], "known", {"to": types.UINT8}),
        ("Greater", ["anomaly", "anomaly_threshold"], "high", {}),
        ("Not", ["claimed"], "free", {}),
        ("And", ["high", "free"], "unknown", {}),
        ("Where", ["unknown", "unknown_id", "known"], "open_set", {}),
        ("Transpose", ["x"], "planes", {"perm": [0, 3, 1, 2]}),
        ("Slice", ["planes", "zero", "end", "axes", "steps"], "embedding", {}),
        ("Slice", ["embedding", "start", "two", "channel_axis"], "red_green", {}),
        ("Sub", ["red_green", "half"], "direction", {}),
    ]
    grid = (HEIGHT // STRIDE, WIDTH // STRIDE)
    ins = {
        "image": (types.UINT8, ["B", HEIGHT, WIDTH, 3]),
        "prototypes": (types.FLOAT, [SLOTS, SIZE]),
        "prototype_radius": (types.FLOAT, [SLOTS]),
        "prototype_valid": (types.FLOAT, [SLOTS]),
        "anomaly_threshold": (types.FLOAT, [1]),
    } | (inputs or {})
    outs = {
        "known": (types.UINT8, ["B", HEIGHT, WIDTH]),
        "anomaly": (types.FLOAT, ["B", HEIGHT, WIDTH]),
        "open_set": (types.UINT8, ["B", HEIGHT, WIDTH]),
        "direction": (types.FLOAT, ["B", 2, *grid]),
        "embedding": (types.FLOAT, ["B", SIZE, *grid]),
    } | (outputs or {})
    graph = helper.make_graph(
        [helper.make_node(op, args, [out], **more) for op, args, out, more in nodes],
        "tiny",
        [helper.make_tensor_value_info(n, *value) for n, value in ins.items() if value],
        [helper.make_tensor_value_info(n, *value) for n, value in outs.items() if value],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    # An IR version and an operator set that the oldest supported ONNX Runtime reads.
    return helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="tests"
    )


@pytest.fixture(scope="session")
def write_bundle(tiny_manifest):
    """Give a function that writes a bundle: (path, manifest text or None, **parts of the graph)."""

    def write(path: Path, manifest: str | None = tiny_manifest.to_json(), **parts) -> Path:
        model = tiny_graph(**parts)
        if manifest is not None:
            entry = model.metadata_props.add()
            entry.key, entry.value = METADATA_KEY, manifest
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory, write_bundle):
    """Give the path of a whole tiny bundle."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.onnx")


@pytest.fixture(scope="session")
def edit_manifest(tiny_manifest):
    """Give a function that returns the manifest's JSON with some fields replaced."""

    def edit(**changes) -> str:
        return json.dumps(json.loads(tiny_manifest.to_json()) | changes)

    return edit


# Recordings ------------------------------------------------------------------------------------


def scene(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and truth of one frame: sky over road, a tree, and a thing that moves right.

    Truth ids: 0 road, 1 tree, 2 sky, 7 thing, 11 void (the last row).
    """
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    truth = np.empty((HEIGHT, WIDTH), np.uint8)
    for rows, columns, color, label in (
        (slice(0, 12), slice(0, WIDTH), SKY, 2),
        (slice(12, HEIGHT), slice(0, WIDTH), ROAD, 0),
        (slice(4, 16), slice(0, 6), TREE, 1),
        (slice(14, 20), slice(8 + index, 14 + index), THING, 7),
        (slice(23, HEIGHT), slice(0, WIDTH), VOID, 11),
    ):
        image[rows, columns] = color
        truth[rows, columns] = label
    return image, truth


@pytest.fixture(scope="session")
def scene_of():
    """Give the function that makes image and truth of a frame."""
    return scene


@pytest.fixture(scope="session")
def write_bag():
    """Give a function that records frames.

    (path, frames, change=None, truth_change=None): `frames` is a number or a list of
    (topic, stamp in ns, array); the changes turn the fields of the image messages.
    """
    store = get_typestore(Stores.ROS2_HUMBLE)

    def write(path: Path, frames=4, *, change=None, truth_change=None) -> Path:
        if isinstance(frames, int):
            frames = [
                (topic, (1 + index) * SECOND, array)
                for index in range(frames)
                for topic, array in zip((CAMERA, LABELS), scene(index), strict=True)
            ]
        changes = {CAMERA: change, LABELS: truth_change}
        with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            topics = dict.fromkeys(topic for topic, _, _ in frames)
            links = {t: writer.add_connection(t, IMAGE, typestore=store) for t in topics}
            for topic, stamp, array in frames:
                turn = changes.get(topic) or (lambda fields: fields)
                data = serialize_image(Header(stamp, "optical"), turn(encode_image(array)))
                writer.write(links[topic], stamp, data)
        return path

    return write


@pytest.fixture(scope="session")
def street_bag(tmp_path_factory, write_bag):
    """Record four frames of 24x32 as a bag with truth."""
    return write_bag(tmp_path_factory.mktemp("street") / "street")


@pytest.fixture(scope="session")
def tiny_truth_map(tmp_path_factory):
    """Write the truth map of `street_bag`: the thing is held out, 11 is void."""
    path = tmp_path_factory.mktemp("truth") / "tiny.json"
    labels = {"0": "road", "1": "tree", "2": "sky", "7": "thing", "11": "void"}
    content = {"schema": 1, "name": "tiny", "labels": labels}
    path.write_text(json.dumps(content | {"held_out": ["thing"], "ignore": ["void"]}))
    return path
