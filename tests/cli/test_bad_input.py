"""One clear line for each recording, model, truth and option that cannot be."""

from __future__ import annotations

import importlib
import shutil

import cv2
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

CAMERA, LABELS = "/camera/image_raw", "/ground_truth/labels"
SECOND = 10**9

# Bad recordings --------------------------------------------------------------------------------


def test_missing_recording(fails, replay, tmp_path):
    fails("does not exist", *replay(tmp_path / "none.mcap"))
    fails("does not exist", *replay(tmp_path / "none"))


@pytest.mark.parametrize("name", ["drive.mcap", "drive.db3"])
@pytest.mark.parametrize(("content", "says"), [(b"", "is empty"), (b"no bag" * 99, "is not an")])
def test_files_that_are_no_recording(fails, replay, tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    fails(says, *replay(tmp_path / name))


def test_other_files_and_folders(fails, replay, tmp_path):
    (tmp_path / "notes.txt").write_text("no recording")
    fails("neither a ROS 2 recording", *replay(tmp_path / "notes.txt"))
    (tmp_path / "empty").mkdir()
    fails("holds neither a ROS 2 recording", *replay(tmp_path / "empty"))


@pytest.mark.parametrize("part", [0.2, 0.6, 0.98])
def test_truncated_recording(fails, replay, street_bag, tmp_path, part):
    data = (street_bag / "street.mcap").read_bytes()
    (tmp_path / "cut.mcap").write_bytes(data[: int(part * len(data))])
    fails("is truncated", *replay(tmp_path / "cut.mcap"))


def test_damaged_metadata(fails, replay, street_bag, tmp_path):
    shutil.copytree(street_bag, tmp_path / "bag")
    (tmp_path / "bag" / "metadata.yaml").write_text("nothing: [")
    fails("cannot be opened as a ROS 2 recording", *replay(tmp_path / "bag"))


def test_recording_without_images(fails, replay, tmp_path):
    store = get_typestore(Stores.ROS2_HUMBLE)
    kind = "std_msgs/msg/String"
    with Writer(tmp_path / "talk", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        link = writer.add_connection("/chatter", kind, typestore=store)
        writer.write(link, 1, store.serialize_cdr(store.types[kind](data="hello"), kind))
    fails("has no images", *replay(tmp_path / "talk"))
    fails("/chatter is a std_msgs/msg/String", *replay(tmp_path / "talk", "--topic", "/chatter"))


def test_several_image_topics(fails, replay, write_bag, scene_of, tmp_path):
    frames = [(topic, SECOND, scene_of(0)[0]) for topic in ("/front", "/rear")]
    bag = write_bag(tmp_path / "two", frames)
    fails("has 2 image topics; choose one with --topic: /front", *replay(bag))
    fails("has no topic /left", *replay(bag, "--topic", "/left"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda fields: fields._replace(encoding="yuv999"), "encoding"),
        (lambda fields: fields._replace(step=fields.step - 1), "step"),
        (lambda fields: fields._replace(height=fields.height + 1), "bytes"),
    ],
    ids=["encoding", "step", "size"],
)
def test_images_that_cannot_be_decoded(fails, replay, write_bag, tmp_path, change, says):
    fails(says, *replay(write_bag(tmp_path / "bag", 2, change=change)))
    assert not (tmp_path / "OUT" / "metrics.json").exists()


def test_topics_of_something_without_topics(fails, replay, scene_of, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), scene_of(0)[0])
    fails("has no topics", *replay(tmp_path / "a.png", "--topic", "/camera"))


def test_a_damaged_image_file(fails, replay, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    fails("a.png", *replay(tmp_path / "a.png"))


# Bad models ------------------------------------------------------------------------------------


@pytest.fixture
def bad_model(fails, street_bag, tmp_path):
    """Give a function that replays with a bad model; nothing may be written."""

    def call(says, model):
        fails(says, "replay", street_bag, "--model", model, "--out", tmp_path / "OUT")
        assert not (tmp_path / "OUT").exists()

    return call


def test_files_that_are_no_model(bad_model, tmp_path):
    bad_model("no model at", tmp_path / "none.onnx")
    bad_model("is a folder", tmp_path)
    (tmp_path / "m.onnx").write_bytes(b"no model")
    bad_model("is not a usable ONNX file", tmp_path / "m.onnx")


def test_truncated_model(bad_model, tiny_bundle, tmp_path):
    data = tiny_bundle.read_bytes()
    (tmp_path / "m.onnx").write_bytes(data[: len(data) // 2])
    bad_model("m.onnx is not a usable ONNX file", tmp_path / "m.onnx")


def test_models_that_are_no_bundle(bad_model, write_bundle, edit_manifest, tmp_path):
    path = tmp_path / "m.onnx"
    bad_model("carries no owseg manifest", write_bundle(path, manifest=None))
    bad_model("the manifest has schema 2", write_bundle(path, edit_manifest(schema=2)))
    bad_model("the manifest is not JSON", write_bundle(path, "{"))
    bad_model("input 'prototypes' is", write_bundle(path, edit_manifest(slots=9)))
    bad_model("has no output 'known'", write_bundle(path, outputs={"known": None}))


def test_no_shipped_model(fails, street_bag, tmp_path, monkeypatch):
    common = importlib.import_module("owseg.cli.common")
    monkeypatch.setattr(common, "shipped_model", lambda: tmp_path / "street.onnx")
    fails("no model at", "replay", street_bag, "--out", tmp_path / "OUT")


# Bad truth -------------------------------------------------------------------------------------


def test_truth_and_its_map_belong_together(fails, replay, street_bag, tiny_truth_map):
    fails("--truth and --truth-map belong together", *replay(street_bag, "--truth", LABELS))
    fails("belong together", *replay(street_bag, "--truth-map", tiny_truth_map))


@pytest.fixture
def bad_truth(fails, replay, tiny_truth_map):
    def call(says, bag, topic=LABELS, truth_map=tiny_truth_map):
        fails(says, *replay(bag, "--truth", topic, "--truth-map", truth_map))

    return call


def test_bad_truth_topics(bad_truth, street_bag):
    bad_truth("has no topic /labels", street_bag, "/labels")
    bad_truth("label image encoding 'rgb8' is not supported", street_bag, CAMERA)


def test_bad_truth_maps(bad_truth, street_bag, tmp_path):
    bad_truth("neither a readable file nor one of anomaly", street_bag, truth_map="none.json")
    (tmp_path / "map.json").write_text("{}")
    bad_truth("is not a truth map", street_bag, truth_map=tmp_path / "map.json")
    bad_truth("class 'building' is not one of the model's classes", street_bag, truth_map="camvid")


def frames_with(scene_of, truth):
    return [(CAMERA, SECOND, scene_of(0)[0]), (LABELS, SECOND, truth)]


def test_bad_label_images(bad_truth, write_bag, scene_of, tmp_path):
    truth = scene_of(0)[1]
    small = write_bag(tmp_path / "small", frames_with(scene_of, truth[:, :16]))
    bad_truth("frame 0 is 32x24, its ground truth 16x24", small)
    unknown = write_bag(tmp_path / "unknown", frames_with(scene_of, truth + 50))
    bad_truth("does not list: 50, 51, 52", unknown)


def test_truth_that_belongs_to_no_image(
    run, replay, write_bag, scene_of, tiny_truth_map, tmp_path, messages
):
    image, truth = scene_of(0)
    bag = write_bag(tmp_path / "bag", [(CAMERA, SECOND, image), (LABELS, 2 * SECOND, truth)])
    code, _, err = run(*replay(bag, "--truth", LABELS, "--truth-map", tiny_truth_map))
    assert code == 2
    assert messages(err) == [
        f"owseg: no image has the time stamp of a label image on {LABELS}; nothing was compared"
    ]
    assert (tmp_path / "OUT" / "report.html").exists()


# Bad options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--max-frames", "0"), "expected a whole number of at least 1, got '0'"),
        (("--max-frames", "-3"), "at least 1"),
        (("--max-frames", "many"), "at least 1, got 'many'"),
        (("--min-object", "2"), "smallest object must be a share in 0..1, got 2.0"),
        (("--threshold", "2"), "threshold must be in 0..1, got 2.0"),
        (("--threshold", "-0.1"), "threshold must be in 0..1"),
        (("--threshold", "nan"), "threshold must be in 0..1, got nan"),
        (("--threshold", "high"), "invalid float value: 'high'"),
        (("--threshold", "0.5", "--operating-point", "half"), "not allowed with"),
        (("--operating-point", "loose"), "no operating point 'loose'; it has half, strict"),
        (("--engine", "magic"), "invalid choice: 'magic'"),
        (("--device", "tpu"), "invalid choice: 'tpu'"),
        (("--colour", "red"), "unrecognized arguments: --colour red"),
        (("--require",), "expected one argument"),
    ],
)
def test_bad_options(fails, replay, street_bag, tmp_path, options, says):
    fails(says, *replay(street_bag, *options))
    assert not (tmp_path / "OUT").exists()


def test_bad_commands(fails, street_bag):
    fails("the following arguments are required: COMMAND; see owseg --help")
    fails("invalid choice: 'fly'", "fly")
    fails("unrecognized arguments: --fly", "--fly", "doctor")
    fails("the following arguments are required: --out; see owseg replay", "replay", street_bag)


def test_bad_output_folders(fails, tiny_bundle, street_bag, tmp_path):
    (tmp_path / "file").write_text("keep me")
    arguments = ("replay", street_bag, "--model", tiny_bundle, "--out")
    fails("cannot create the folder", *arguments, tmp_path / "file")
    fails("cannot create the folder", *arguments, tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "keep me"


def test_the_input_is_never_the_output(fails, tiny_bundle, street_bag, tmp_path):
    shutil.copy(street_bag / "street.mcap", tmp_path / "output.mcap")
    before = (tmp_path / "output.mcap").read_bytes()
    options = ("--model", tiny_bundle, "--topic", CAMERA, "--out", tmp_path)
    fails("would overwrite the input", "replay", tmp_path / "output.mcap", *options)
    fails("would overwrite the input", "replay", tmp_path, *options)
    assert (tmp_path / "output.mcap").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["output.mcap"]
