"""`owseg prototypes add` and `--prototypes`: a class from examples to masks and figures."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from owseg.cli import main
from owseg.images import decode_label_image
from owseg.prototypes import PrototypeStore

LABELS = "/ground_truth/labels"


@pytest.fixture
def run(capfd):
    """Give a function that runs the command line: exit code, standard output and error."""

    def call(*argv):
        capfd.readouterr()
        code = main([str(arg) for arg in argv])
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def fails(run):
    """Give a function that expects exit code 2 and one line of explanation, nothing else."""

    def call(says, *argv):
        code, out, err = run(*argv)
        assert (code, out) == (2, "")
        lines = [line for line in err.split("\n") if line and not line.startswith("\r")]
        assert len(lines) == 1, err
        assert lines[0].startswith("owseg: ")
        assert says in lines[0]

    return call


@pytest.fixture
def shots(tmp_path, scene_of):
    """Write two images of the street with masks of the thing; give the options for them."""
    options = []
    for index in (0, 4):
        image, truth = scene_of(index)
        paths = [tmp_path / f"{kind}{index}.png" for kind in ("image", "mask", "labels")]
        cv2.imwrite(str(paths[0]), image[..., ::-1])
        cv2.imwrite(str(paths[1]), 255 * (truth == 7).astype(np.uint8))
        cv2.imwrite(str(paths[2]), truth)
        options += ["--shot", paths[0], paths[1]]
    return options


@pytest.fixture
def add(run, quick, tiny_bundle):
    """Give a function that adds a class to the store: (name, options)."""

    def call(name, *options):
        return run("prototypes", "add", quick / "c.db", name, "--model", tiny_bundle, *options)

    return call


def stored(quick):
    with PrototypeStore(quick / "c.db", read_only=True) as store:
        return store.read()


# Adding ----------------------------------------------------------------------------------------


def test_a_class_from_masks(add, shots, quick):
    code, out, err = add("thing", *shots)
    assert (code, err) == (0, "")
    lines = {line[:12].strip(): line[13:] for line in out.splitlines()}
    assert list(lines) == ["learnt", "prototypes", "held out", "store"]
    assert lines["learnt"].startswith("'thing' (id 3, #")
    assert "from 2 shots, 72 pixels, in " in lines["learnt"]
    assert "% of the class is found, " in lines["held out"]
    assert "(each shot judged by the others)" in lines["held out"]
    assert lines["store"] == f"{quick / 'c.db'} is at version 1"
    (item,) = stored(quick).classes
    assert (item.id, item.name, len(item.shots)) == (3, "thing", 2)
    assert item.shots[0].source == "image0.png with mask0.png"
    assert f"1, radius {item.radius:.4g}" in lines["prototypes"]


def test_json(add, shots, quick):
    code, out, _ = add("thing", *shots, "--json", "--color", "#0A0b0c")
    told = json.loads(out)
    (item,) = stored(quick).classes
    assert code == 0
    assert (told["id"], told["version"], told["radius"]) == (3, 1, item.radius)
    assert told["color"] == [10, 11, 12] == list(item.color)
    assert told["held_out"]["by"] == "shots"
    assert [shot["pixels"] for shot in told["shots"]] == [36, 36]
    assert set(told["claims_on_known"]) <= {"road", "tree", "sky"}


def test_a_class_from_a_folder_of_label_images(add, shots, quick, tmp_path, scene_of):
    folder = tmp_path / "set"
    (folder / "masks").mkdir(parents=True)
    for index in (0, 4):
        image, truth = scene_of(index)
        cv2.imwrite(str(folder / f"{index}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / "masks" / f"{index}.png"), truth)
    assert add("one", *shots)[0] == 0
    assert add("two", "--shots", folder, "--label", "7")[0] == 0
    one, two = stored(quick).classes
    np.testing.assert_array_equal(one.vectors, two.vectors)
    assert [s.image_sha256 for s in one.shots] == [s.image_sha256 for s in two.shots]


def test_options_reach_the_learning(add, shots, quick, tmp_path):
    image, mask = np.zeros((24, 32, 3), np.uint8), np.zeros((24, 32), np.uint8)
    image[4:12, 4:12], image[4:12, 12:20], mask[4:12, 4:20] = (255, 255, 0), (0, 255, 255), 255
    cv2.imwrite(str(tmp_path / "two.png"), image)
    cv2.imwrite(str(tmp_path / "two_mask.png"), mask)
    two = ("--shot", tmp_path / "two.png", tmp_path / "two_mask.png")
    code, _, _ = add("a", *two, "--radius", "0.25", "--num-prototypes", "2")
    assert code == 0
    (item,) = stored(quick).classes
    assert item.radius == 0.25
    assert sorted(item.vectors.tolist()) == [[0, 1, 1], [1, 1, 0]]
    code, out, _ = add("b", *shots[:3], "--pooling", "image", "--share", "0.2", "--more-instances")
    assert code == 0
    assert "the rest is taken" not in out


def test_warnings_go_to_standard_error(add, shots):
    add("thing", *shots)
    code, out, err = add("twin", *shots, "--json")
    assert code == 0
    lines = err.splitlines()
    assert any("lies close to thing" in line for line in lines)
    assert all(line.startswith("owseg: warning: ") for line in lines)
    assert json.loads(out)["warnings"] == [line.removeprefix("owseg: warning: ") for line in lines]


def test_bad_input(fails, shots, quick, tiny_bundle, tmp_path):
    start = ("prototypes", "add", quick / "c.db", "thing", "--model", tiny_bundle)
    fails("nothing to learn from; give --shot IMAGE MASK", *start)
    fails("expected 2 arguments", *start, "--shot", shots[1])
    fails("none.png cannot be read", *start, "--shot", shots[1], tmp_path / "none.png")
    fails("--replay and --cluster belong together", *start, "--replay", tmp_path)
    fails("--replay and --cluster belong together", *start, "--cluster", "1:2")
    fails("expected FRAME:ID or FRAME:ID,ID, got '1'", *start, "--cluster", "1")
    fails("expected six hexadecimal digits", *start, *shots, "--color", "red")
    for radius in ("-1", "0", "nan", "inf", "1e39", "1e-60"):
        fails("the radius must be", *start, *shots, "--radius", radius)
    fails("between 0 and 1", *start, *shots, "--share", "3")
    fails("expected a whole number of at least 1", *start, *shots, "--num-prototypes", "0")
    fails("5 more prototypes do not fit", *start, *shots, "--num-prototypes", "5")
    fails("name of a class is empty", *start[:3], " ", *start[4:], *shots)
    fails("'tree' is one of the model's own classes", *start[:3], "tree", *start[4:], *shots)
    assert not (quick / "c.db").exists()


def test_a_store_that_cannot_be_is_said_first(fails, quick, tmp_path):
    """Before images are read and learnt from for nothing."""
    shot = ("--shot", tmp_path / "none.png", tmp_path / "none.png")
    for store, says in (
        (quick / "no" / "c.db", "no does not exist; make it first (mkdir -p)"),
        (quick, "is a folder, not a prototype store"),
    ):
        fails(says, "prototypes", "add", store, "thing", *shot)


def test_what_a_folder_holds_in_vain_is_said(add, shots, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for index, name in enumerate("abcdefg"):
        (folder / f"{name}.png").write_bytes(shots[1].read_bytes())
        if not index:
            (folder / f"{name}_mask.png").write_bytes(shots[2].read_bytes())
    code, _, err = add("thing", "--shots", folder)
    assert code == 0
    assert err.startswith("owseg: warning: nothing was learnt from b.png, c.png, d.png, e.png, ")
    assert f"f.png and 1 more in {folder}: an image without a mask" in err


def test_a_name_that_is_taken_changes_nothing(add, fails, shots, quick, tiny_bundle):
    add("thing", *shots)
    start = ("prototypes", "add", quick / "c.db")
    fails("there is a class 'thing' already", *start, "THING", "--model", tiny_bundle, *shots)
    fails("belongs to model", *start, "other", "--engine", "fake", *shots)
    assert stored(quick).version == 1


# From a replay, and back ------------------------------------------------------------------------


def masks_in(folder):
    with AnyReader([folder / "output.mcap"]) as reader:
        links = [c for c in reader.connections if c.topic == "/segmentation/mask"]
        found = [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages(links)]
    return [decode_label_image(message) for message in found]


def test_from_unknown_object_to_named_class(
    run, add, quick, tiny_bundle, street_bag, tiny_truth_map, tmp_path, scene_of
):
    truth = ("--truth", LABELS, "--truth-map", tiny_truth_map)
    replay = ("replay", street_bag, "--model", tiny_bundle, *truth)
    assert run(*replay, "--out", tmp_path / "before")[0] == 0
    code, out, err = add(
        "thing", "--replay", tmp_path / "before", "--cluster", "0:1", "--cluster", "2:1"
    )
    assert (code, err) == (0, "")
    (item,) = stored(quick).classes
    assert [s.source for s in item.shots] == [
        "before frame 0 cluster 1",
        "before frame 2 cluster 1",
    ]
    code, out, _ = run(*replay, "--out", tmp_path / "after", "--prototypes", quick / "c.db")
    assert code == 0
    figures = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert figures["learnt"] == "thing IoU 100.0 %, old 100.0 %, harmonic 100.0 %"
    for index, (before, after) in enumerate(
        zip(masks_in(tmp_path / "before"), masks_in(tmp_path / "after"), strict=True)
    ):
        thing = scene_of(index)[1] == 7
        np.testing.assert_array_equal(after == 3, thing)
        np.testing.assert_array_equal(after[~thing], before[~thing])
        assert (before[thing] == 255).all()
    metrics = json.loads((tmp_path / "after" / "metrics.json").read_text())
    assert metrics["prototypes"]["classes"][0]["shots"] == 2
    assert metrics["incremental"]["harmonic"] == 1


def test_a_bar_on_the_learnt_class(
    run, add, shots, quick, tiny_bundle, street_bag, tiny_truth_map, tmp_path
):
    add("thing", *shots)
    replay = ("replay", street_bag, "--model", tiny_bundle, "--out", tmp_path / "o", "--truth")
    more = (LABELS, "--truth-map", tiny_truth_map, "--prototypes", quick / "c.db", "--require")
    assert run(*replay, *more, "incremental.harmonic>=0.9")[0] == 0
    assert run(*replay, *more, "iou.thing>=0.99", "--max-frames", "2")[0] == 0
    assert run(*replay, *more, "incremental.harmonic<=0.9")[0] == 1


def test_eval_names_novel_classes_too(run, quick, tmp_path):
    """Cars are green and blue here; the fake engine knows the ten other classes of CamVid."""
    rng = np.random.default_rng(0)
    root = tmp_path / "camvid"
    for folder in ("images", "labels", "splits"):
        (root / folder).mkdir(parents=True)
    for index in range(3):
        labels = np.zeros((96, 128), np.uint8)
        labels[20:60, 12 + 4 * index : 72] = 8
        image = rng.integers(0, 6, (96, 128, 3), dtype=np.uint8)
        image[labels == 8] += np.array([0, 200, 250], np.uint8)
        cv2.imwrite(str(root / "images" / f"{index}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "labels" / f"{index}.png"), labels)
    (root / "splits" / "val.txt").write_text("0\n1\n2\n")
    shot = ("--shot", root / "images" / "0.png", root / "labels" / "0.png")
    code, _, err = run("prototypes", "add", quick / "c.db", "Car", "--engine", "fake", *shot)
    assert (code, err) == (0, "")
    figures = tmp_path / "f.json"
    evaluate = ("eval", "--engine", "fake", "--data", "camvid", "--root", root, "--json", figures)
    assert run(*evaluate)[0] == 0
    assert "prototypes" not in json.loads(figures.read_text())
    assert run(*evaluate, "--prototypes", quick / "c.db")[0] == 0
    metrics = json.loads(figures.read_text())
    assert metrics["iou"]["car"] == 1
    assert metrics["prototypes"]["classes"][0]["name"] == "Car"
    share = (40 * (60 + 56 + 52)) / (3 * 96 * 128)
    assert metrics["prototypes"]["classes"][0]["share"] == pytest.approx(share)
    assert metrics["incremental"]["novel"] == 1


def test_a_store_that_does_not_fit(fails, add, shots, quick, street_bag, tmp_path):
    replay = ("replay", street_bag, "--out", tmp_path / "o", "--prototypes")
    fails("none.db", *replay, tmp_path / "none.db")
    add("thing", *shots)
    fails("belongs to model", *replay, quick / "c.db", "--engine", "fake")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("command", [("replay",), ("eval",), ("demo",)])
def test_help_shows_the_option(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "--prototypes STORE" in out


def test_help_of_add(run):
    code, out, _ = run("prototypes", "add", "--help")
    assert code == 0
    for option in ("--shot", "--shots", "--cluster", "--label", "--radius", "--share", "example:"):
        assert option in out
