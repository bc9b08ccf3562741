"""The command line: what it prints, its exit codes, and one clear line for each bad input."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from functools import partial
from importlib.metadata import EntryPoint, entry_points

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from owseg import __version__
from owseg.cli import main

cli = importlib.import_module("owseg.cli.main")

CAMERA, LABELS = "/camera/image_raw", "/ground_truth/labels"
SECOND = 10**9
RESULTS = ["metrics.json", "output.mcap", "report.html"]


@pytest.fixture
def run(capfd):
    """Give a function that runs the command line: exit code, standard output and error."""

    def call(*argv):
        capfd.readouterr()
        code = main([str(arg) for arg in argv])
        return (code, *capfd.readouterr())

    return call


def messages(err):
    """Lines of standard error but those of progress bars."""
    return [line for line in err.split("\n") if line and not line.startswith("\r")]


@pytest.fixture
def fails(run):
    """Give a function that expects exit code 2 and one line of explanation, nothing else."""

    def call(says, *argv):
        code, out, err = run(*argv)
        lines = messages(err)
        assert (code, out) == (2, "")
        assert len(lines) == 1, err
        assert lines[0].startswith("owseg: ")
        assert says in lines[0]
        assert "Traceback" not in err

    return call


@pytest.fixture
def replay(tiny_bundle, tmp_path):
    """Give the arguments of a replay with the tiny bundle into OUT."""

    def arguments(bag, *more):
        return ("replay", bag, "--model", tiny_bundle, "--out", tmp_path / "OUT", *more)

    return arguments


# Replay ----------------------------------------------------------------------------------------


def test_replay_writes_three_files_and_says_where(run, replay, street_bag, tmp_path):
    code, out, err = run(*replay(street_bag))
    assert (code, messages(err)) == (0, [])
    assert sorted(p.name for p in (tmp_path / "OUT").iterdir()) == RESULTS
    assert [line.split()[0] for line in out.splitlines()] == [
        "frames",
        "speed",
        "report",
        "recording",
    ]
    assert out.splitlines()[0].split() == ["frames", "4"]
    assert str(tmp_path / "OUT" / "report.html") in out


@pytest.mark.parametrize("kind", ["folder", "mcap"])
def test_replay_with_truth_prints_the_figures(run, replay, street_bag, tiny_truth_map, kind):
    bag = street_bag if kind == "folder" else street_bag / "street.mcap"
    truth = ("--truth", LABELS, "--truth-map", tiny_truth_map)
    code, out, _ = run(*replay(bag, *truth))
    assert code == 0
    table = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert table["mIoU"] == "100.0 %"
    assert table["anomaly"] == "AUROC 100.0 %, AUPR 100.0 %, FPR95 0.0 %"


def test_json_is_metrics_json_and_nothing_else(run, replay, street_bag, tmp_path):
    code, out, err = run(*replay(street_bag, "--json", "--max-frames", 2))
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "OUT" / "metrics.json").read_text())
    assert json.loads(out)["frames"] == 2
    assert "2/2" in err


def test_the_topic_can_be_chosen(run, replay, write_bag, scene_of, tmp_path):
    topics = ("/front", "/rear")
    frames = [(topic, SECOND, scene_of(0)[0]) for topic in topics]
    bag = write_bag(tmp_path / "two", [*frames, ("/rear", 2 * SECOND, scene_of(1)[0])])
    code, out, _ = run(*replay(bag, "--topic", "/rear", "--json"))
    assert (code, json.loads(out)["frames"]) == (0, 2)


def test_replay_of_a_folder_of_images(run, replay, scene_of, tmp_path):
    (tmp_path / "images").mkdir()
    for index in range(3):
        image = scene_of(index)[0]
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), image[..., ::-1])
    code, out, _ = run(*replay(tmp_path / "images", "--json"))
    assert (code, json.loads(out)["frames"]) == (0, 3)


@pytest.mark.parametrize(
    ("options", "threshold"),
    [
        ((), 0.5),
        (("--threshold", "0.25"), 0.25),
        (("--threshold", "0"), 0.0),
        (("--operating-point", "strict"), 0.9),
    ],
)
def test_the_threshold_can_be_chosen(run, replay, street_bag, options, threshold):
    code, out, _ = run(*replay(street_bag, "--json", "--max-frames", 1, *options))
    assert (code, json.loads(out)["threshold"]) == (0, threshold)


def test_the_fake_engine_needs_no_model(run, street_bag, tmp_path):
    code, out, _ = run("replay", street_bag, "--engine", "fake", "--out", tmp_path, "--json")
    assert (code, json.loads(out)["model"]) == (0, "fake")


# Bars ------------------------------------------------------------------------------------------


def test_bars(run, replay, street_bag, tiny_truth_map):
    truth = ("--truth", LABELS, "--truth-map", tiny_truth_map)
    met = ("--require", "anomaly.auroc>=0.99", "--require", "frames>=4")
    assert run(*replay(street_bag, *truth, *met))[0] == 0
    code, _, err = run(*replay(street_bag, *truth, *met, "--require", "miou<=0.5"))
    assert code == 1
    assert messages(err) == ["missed: miou is 1, wanted <= 0.5"]


def test_bars_without_sense(fails, replay, street_bag, tmp_path):
    fails("cannot read the bar 'miou'", *replay(street_bag, "--require", "miou"))
    assert not (tmp_path / "OUT").exists()


def test_a_bar_on_a_figure_that_is_not_there(run, replay, street_bag):
    code, _, err = run(*replay(street_bag, "--require", "miou>=0.5"))
    assert code == 2
    assert messages(err) == [
        "owseg: the metrics have no 'miou'; see metrics.json for what there is"
    ]


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
    bad_truth("neither a readable file nor one of camvid", street_bag, truth_map="none.json")
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


def test_truth_that_belongs_to_no_image(run, replay, write_bag, scene_of, tiny_truth_map, tmp_path):
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


# Data sets -------------------------------------------------------------------------------------


@pytest.fixture
def camvid(tmp_path, scene_of):
    """Write a tiny CamVid of three frames; the thing is a car."""
    root = tmp_path / "CamVid"
    ids = np.arange(256, dtype=np.uint8)
    ids[[0, 1, 2, 7]] = (3, 5, 0, 8)  # road, tree, sky, car
    for folder in ("images", "labels", "splits"):
        (root / folder).mkdir(parents=True)
    for index in range(3):
        image, truth = scene_of(index)
        cv2.imwrite(str(root / "images" / f"f{index}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "labels" / f"f{index}.png"), ids[truth])
    (root / "splits" / "val.txt").write_text("f0\nf1\nf2\n")
    return root


@pytest.fixture
def evaluate(camvid, tiny_bundle):
    """Give the arguments of an evaluation with the tiny bundle."""

    def arguments(*more, root=camvid):
        return ("eval", "--data", "camvid", "--root", root, "--model", tiny_bundle, *more)

    return arguments


def test_eval(run, evaluate, tmp_path):
    file = tmp_path / "new" / "figures.json"
    code, out, err = run(*evaluate("--json", file, "--require", "miou>=1"))
    assert (code, messages(err)) == (0, [])
    figures = json.loads(file.read_text())
    assert (figures["frames"], figures["frames_with_truth"]) == (3, 3)
    assert figures["iou"] == {"road": 1.0, "tree": 1.0, "sky": 1.0}
    assert figures["anomaly"] == {"auroc": 1.0, "aupr": 1.0, "fpr95": 0.0}
    assert "car" in figures["held_out"]
    assert set(figures["latency_ms"]) == {"inference", "grouping"}
    assert "AUROC 100.0 %" in out
    assert "mIoU" in out


def test_eval_stops_early_and_checks_bars(run, evaluate):
    code, out, err = run(*evaluate("--max-frames", 2, "--require", "frames>=3"))
    assert code == 1
    assert messages(err) == ["missed: frames is 2, wanted >= 3"]
    assert out.splitlines()[0].split() == ["frames", "2"]


def test_eval_with_bad_data(fails, evaluate, camvid, tmp_path):
    fails("no CamVid folder at", *evaluate(root=tmp_path / "none"))
    fails("invalid choice: 'kitti'", "eval", "--data", "kitti", "--root", camvid)
    fails("not 'all'", *evaluate("--split", "all"))
    fails("has images/ but no splits/train.txt", *evaluate("--split", "train"))
    fails("neither a readable file", *evaluate("--truth-map", camvid / "none.json"))


def test_eval_with_missing_pairs(fails, evaluate, camvid):
    label = camvid / "labels" / "f1.png"
    label.unlink()
    fails("is missing", *evaluate())
    (camvid / "images" / "f1.png").unlink()
    fails("is missing", *evaluate())


def test_eval_with_damaged_files(fails, evaluate, camvid):
    label = camvid / "labels" / "f1.png"
    data = label.read_bytes()
    label.write_bytes(data[: len(data) // 2])
    fails("f1.png is not a readable 8-bit grey label map", *evaluate())
    cv2.imwrite(str(label), np.zeros((5, 5), np.uint8))
    fails("f1.png is 5x5, its image 32x24", *evaluate())
    cv2.imwrite(str(label), np.full((24, 32), 200, np.uint8))
    fails("does not list: 200", *evaluate())


def test_eval_says_early_that_the_file_cannot_be_written(fails, evaluate, camvid):
    (camvid / "images" / "f0.png").write_bytes(b"never read")
    fails("cannot create the folder", *evaluate("--json", camvid / "splits" / "val.txt" / "f.json"))


# Demo and doctor -------------------------------------------------------------------------------


def test_demo_twice(run, tmp_path, monkeypatch):
    demo = importlib.import_module("owseg.cli.demo")
    monkeypatch.setattr(demo, "SceneConfig", partial(demo.SceneConfig, width=96, height=72))
    arguments = ("demo", "--engine", "fake", "--out", tmp_path / "OUT", "--frames", 1, "--json")
    for seed in (7, 8):
        code, out, err = run(*arguments, "--seed", seed)
        assert (code, messages(err)) == (0, [])
        metrics = json.loads(out)
        assert (metrics["frames"], metrics["frames_with_truth"]) == (1, 1)
        assert sorted(p.name for p in (tmp_path / "OUT").iterdir()) == ["demo_drive", *RESULTS]


def test_demo_into_a_file(fails, tmp_path):
    (tmp_path / "file").write_text("")
    fails("cannot create the folder", "demo", "--engine", "fake", "--out", tmp_path / "file")


def test_demo_checks_the_model_before_it_renders(fails, tmp_path):
    fails("no model at", "demo", "--model", tmp_path / "none.onnx", "--out", tmp_path / "OUT")
    assert list((tmp_path / "OUT").iterdir()) == []


def doctor_with(monkeypatch, *states):
    doctor = importlib.import_module("owseg.cli.doctor")
    checks = [doctor.Check(name=f"thing {s}", state=s, detail="how to mend it") for s in states]
    monkeypatch.setattr(doctor, "CHECKS", (doctor._platform, lambda: checks))


@pytest.mark.parametrize(
    ("states", "code"), [(("ok",), 0), (("ok", "absent"), 0), (("broken", "ok"), 1)]
)
def test_doctor(run, monkeypatch, states, code):
    doctor_with(monkeypatch, *states)
    found, out, err = run("doctor")
    assert (found, err) == (code, "")
    assert __version__ in out
    for state in states:
        assert f"thing {state}" in out
    found, out, _ = run("doctor", "--json")
    assert found == code
    assert [check["state"] for check in json.loads(out)][2:] == list(states)


def test_doctor_looks_at_what_is_needed(monkeypatch):
    doctor = importlib.import_module("owseg.cli.doctor")
    assert {check.state for check in doctor._required()} == {"ok"}
    monkeypatch.setitem(sys.modules, "mcap", None)
    broken = [check for check in doctor._required() if check.state == "broken"]
    assert [check.name for check in broken] == ["mcap"]
    assert "pip install owseg_ros" in broken[0].detail


def test_doctor_runs_the_shipped_model(monkeypatch, tiny_bundle, tmp_path):
    doctor = importlib.import_module("owseg.cli.doctor")
    bundle = importlib.import_module("owseg.bundle")
    monkeypatch.setattr(bundle, "shipped_model", lambda: tiny_bundle)
    (check,) = doctor._model()
    assert check.state == "ok"
    assert check.detail.startswith("tiny, 32x24, 3 classes, ")
    monkeypatch.setattr(bundle, "shipped_model", lambda: tmp_path / "none.onnx")
    (check,) = doctor._model()
    assert (check.state, "no model at" in check.detail) == ("broken", True)


# Help, and commands of others ------------------------------------------------------------------


def test_version(run):
    assert run("--version") == (0, f"owseg {__version__}\n", "")


def test_help_lists_the_commands(run):
    code, out, _ = run("--help")
    assert code == 0
    for name in ("demo", "replay", "eval", "doctor"):
        assert name in out


@pytest.mark.parametrize("name", sorted(cli._commands()))
def test_help_of_each_command(run, name):
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: owseg {name}")
    assert f"\nexample:\n  owseg {name}" in out


def test_summaries_in_the_table_are_those_of_the_modules():
    for name, (load, summary) in cli._commands().items():
        if name in cli.COMMANDS or name in cli.SUMMARIES:
            assert summary == load().SUMMARY


def plugins(monkeypatch, **modules):
    group = "owseg.commands"
    found = [EntryPoint(name=n, value=v, group=group) for n, v in modules.items()]
    monkeypatch.setattr(cli, "entry_points", lambda group: found)


def test_commands_of_other_packages(run, fails, monkeypatch, tmp_path):
    (tmp_path / "greeting.py").write_text(
        "SUMMARY, EXAMPLE = 'greet', 'owseg greet Ada'\n"
        "def add_arguments(parser): parser.add_argument('name')\n"
        "def run(args): print('hello', args.name); return 1\n"
    )
    (tmp_path / "shattered.py").write_text("import greeting, nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins(
        monkeypatch, greet="greeting", broken="shattered", gone="no_such_package", doctor="greeting"
    )
    code, out, _ = run("--help")
    assert code == 0
    assert "greet" in out
    assert "(from shattered)" in out
    assert "greeting" not in sys.modules
    assert run("greet", "Ada") == (1, "hello Ada\n", "")
    fails("the command 'broken' cannot be loaded: No module named 'nowhere'", "broken", "--x")
    fails("the command 'gone' cannot be loaded: No module named 'no_such_package'", "gone")
    doctor_with(monkeypatch, "ok")
    assert "thing ok" in run("doctor")[1]  # a name of the core stays with the core


def test_the_command_is_installed():
    (script,) = entry_points(group="console_scripts", name="owseg")
    assert script.load() is main


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyboardInterrupt(), 130, "interrupted; what was written so far is readable"),
        (
            PermissionError(13, "Permission denied", "x.bin"),
            2,
            "[Errno 13] Permission denied: 'x.bin'",
        ),
    ],
)
def test_errors_of_a_command_are_one_line(run, monkeypatch, error, code, says):
    doctor = importlib.import_module("owseg.cli.doctor")

    def stop():
        raise error

    monkeypatch.setattr(doctor, "CHECKS", (stop,))
    assert run("doctor") == (code, "", f"owseg: {says}\n")


# Real processes --------------------------------------------------------------------------------


def start(*argv):
    pipe = subprocess.PIPE
    command = [sys.executable, *(str(arg) for arg in argv)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=buffered)


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, (out or b"").decode(), err.decode()


def test_a_process_with_bad_input(tmp_path):
    code, out, err = finish(start("-m", "owseg", "replay", tmp_path / "no.mcap", "--out", tmp_path))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_help_needs_no_heavy_module():
    script = """
        import sys
        from owseg.cli import main
        assert main(["--help"]) == main(["--version"]) == 0
        heavy = {"cv2", "numpy", "onnxruntime", "rosbags", "mcap", "jinja2", "torch", "tqdm"}
        sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
    """
    code, out, err = finish(start("-c", textwrap.dedent(script)))
    assert (code, err) == (0, "")
    assert out.endswith(f"owseg {__version__}\n")


def test_a_reader_that_goes_away():
    process = start("-m", "owseg", "--help")
    process.stdout.close()
    process.stdout = None
    assert finish(process) == (0, "", "")


ENDLESS = """
    import signal, sys
    import numpy as np
    from owseg.cli import main, replay
    from owseg.replay.samples import Sample
    from owseg.types import Frame

    signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored by inheritance

    class Endless:
        name, description, count = "endless", "endless", None
        def __enter__(self): return self
        def __exit__(self, *_): pass
        def __iter__(self):
            index = 0
            while True:
                frame = Frame(image=np.zeros((24, 32, 3), np.uint8), stamp_ns=index, index=index)
                yield Sample(frame=frame, log_time_ns=index)
                index += 1
                if index == 20:
                    print("going", flush=True)

    replay.open_source = lambda *args, **options: Endless()
    sys.exit(main(["replay", "endless", "--engine", "fake", "--out", sys.argv[1]]))
"""


def test_ctrl_c_leaves_whole_files(tmp_path):
    process = start("-c", textwrap.dedent(ENDLESS), tmp_path)
    assert process.stdout.readline() == b"going\n"
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert (code, out) == (130, "")
    assert messages(err) == ["owseg: interrupted; what was written so far is readable"]
    assert sorted(p.name for p in tmp_path.iterdir()) == RESULTS
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["interrupted"] is True
    assert metrics["frames"] >= 20
    with (tmp_path / "output.mcap").open("rb") as stream:
        topics = ["/segmentation/mask"]
        masks = sum(1 for _ in make_reader(stream, validate_crcs=True).iter_messages(topics))
    assert masks - metrics["frames"] in {0, 1}  # the signal may come between the two
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
