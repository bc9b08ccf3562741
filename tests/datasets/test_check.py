"""The check of a data set: fine trees, and each thing that can be wrong, one at a time."""

from __future__ import annotations

import json
import re
import shutil

import cv2
import numpy as np
import pytest

from owseg.datasets import READERS
from owseg.datasets.check import check_dataset
from owseg.errors import DatasetError


def check(name, root, **options):
    return check_dataset(READERS[name], root, lambda samples, total, title: samples, **options)


def findings(report, split=None):
    return [
        (finding.kind, finding.count)
        for part in report.splits
        if split in (None, part.name)
        for finding in part.findings
        if finding.kind != "number"
    ]


def texts(report):
    return "\n".join(finding.text for part in report.splits for finding in part.findings)


def first_maps(name, root, split):
    return [sample.label_path for sample in READERS[name].pairing(root, split).samples]


@pytest.fixture
def cityscapes(plant):
    root, _ = plant("cityscapes", "train", 3)
    return root


# Fine ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READERS)
def test_only_the_numbers_of_a_tiny_tree_are_wrong(plant, name):
    split = READERS[name].splits[0].name
    root, names = plant(name, split, 3)
    report = check(name, root, split=split)
    assert findings(report) == []
    (part,) = report.splits
    assert (part.there, part.images, part.pairs) == (True, len(names), len(names))
    published = READERS[name].part(split).published
    assert report.findings == (published is not None)
    if published:
        assert texts(report) == f"{len(names)} images, but {published} were published"


def test_a_whole_data_set_is_fine(plant, monkeypatch):
    root, _ = plant("road_anomaly", "test", 60)
    report = check("road_anomaly", root)
    assert report.findings == 0
    assert report.as_dict()["fine"] is True
    json.dumps(report.as_dict())


def test_splits_that_are_not_there_are_no_findings(cityscapes):
    report = check("cityscapes", cityscapes)
    assert [(part.name, part.there) for part in report.splits] == [
        ("train", True),
        ("val", False),
        ("test", False),
    ]


def test_a_split_without_public_labels_needs_none(cityscapes, plant):
    shutil.copytree(cityscapes / "leftImg8bit" / "train", cityscapes / "leftImg8bit" / "test")
    report = check("cityscapes", cityscapes, split="test")
    assert findings(report) == []
    assert (report.splits[0].images, report.splits[0].pairs) == (3, 0)
    assert report.splits[0].notes == ("its label maps are not public",)


def test_files_of_file_managers_are_a_note(cityscapes):
    (cityscapes / "leftImg8bit" / "train" / "ulm" / "._f0_leftImg8bit.png").write_bytes(b"x")
    (cityscapes / "Thumbs.db").write_bytes(b"x")
    report = check("cityscapes", cityscapes)
    assert findings(report) == []
    assert report.notes[0].startswith("2 files of file managers")


def test_classes_that_never_occur_are_a_note(cityscapes):
    notes = check("cityscapes", cityscapes).splits[0].notes
    assert notes == ("no label map shows building, wall, fence, pole, traffic light and 10 more",)


# Wrong -----------------------------------------------------------------------------------------


def test_pairs_that_are_missing(cityscapes):
    maps = first_maps("cityscapes", cityscapes, "train")
    maps[0].unlink()
    maps[2].unlink()
    image = cityscapes / "leftImg8bit" / "train" / "ulm" / "f1_leftImg8bit.png"
    image.unlink()
    report = check("cityscapes", cityscapes, split="train")
    assert findings(report) == [("label map", 2), ("image", 1)]
    assert "2 images without a label map, e.g. " in texts(report)
    assert re.search(r"f0_leftImg8bit\.png: no .*f0_gtFine_labelIds\.png \(or ", texts(report))
    assert re.search(r"1 label map without an image, e\.g\. .*f1_gtFine_labelIds", texts(report))
    (part,) = report.splits
    assert (part.images, part.pairs) == (2, 0)


def test_an_archive_that_was_not_unpacked(cityscapes):
    shutil.rmtree(cityscapes / "gtFine")
    report = check("cityscapes", cityscapes, split="train")
    assert findings(report) == [("folder", 1)]
    assert texts(report).startswith(f"{cityscapes / 'gtFine' / 'train'} is missing")
    assert (report.splits[0].images, report.splits[0].pairs) == (3, 0)


def test_files_that_cannot_be_read(cityscapes):
    images = sorted((cityscapes / "leftImg8bit").rglob("*.png"))
    images[0].write_bytes(b"")
    images[1].write_bytes(images[1].read_bytes()[:30])
    first_maps("cityscapes", cityscapes, "train")[2].write_bytes(b"no map")
    report = check("cityscapes", cityscapes, split="train")
    assert findings(report) == [("file", 2), ("file", 1)]
    assert f"{images[0]} is not a readable image (and 1 more)" in texts(report)
    assert check("cityscapes", cityscapes, open_files=False).findings == 1  # only the number


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.full((4, 6), 3, np.uint16), "it has 16 bits a pixel"),
        (np.full((4, 6, 3), 3, np.uint8), "it is a picture in colours"),
        (np.full((4, 6), 34, np.uint8), r"has the id 34, expected 0\.\.33 or 255"),
        (np.full((5, 6), 7, np.uint8), "has another size than its image"),
    ],
)
def test_maps_of_another_kind(cityscapes, labels, says):
    for path in first_maps("cityscapes", cityscapes, "train")[:2]:
        assert cv2.imwrite(str(path), labels)
    report = check("cityscapes", cityscapes, split="train")
    assert findings(report) == [("file", 2)]
    assert re.search(rf"{says}.* \(and 1 more\)", texts(report))


def test_ids_that_are_no_class(plant):
    root, _ = plant("camvid", "train", 2, np.full((4, 6), 12, np.uint8))
    report = check("camvid", root, split="train")
    assert ("file", 2) in findings(report)
    assert "has the id 12, which is no class of CamVid (and 1 more)" in texts(report)


def test_maps_lowered_by_one(plant):
    root, _ = plant("street_hazards", "test", 2, np.full((4, 6), 0, np.uint8))
    report = check("street_hazards", root, split="test")
    assert "has the id 0, expected 1..14 (0 means that the ids were lowered" in texts(report)


def test_maps_that_are_void_throughout(plant):
    root, _ = plant("cityscapes", "val", 2, np.full((4, 6), 255, np.uint8))
    report = check("cityscapes", root, split="val")
    assert findings(report) == [("void", 2)]
    assert "all 2 label maps are void throughout" in texts(report)
    plant("cityscapes", "val", 1, root=root)
    report = check("cityscapes", root, split="val")
    assert findings(report) == []
    assert "1 label map void throughout" in report.splits[0].notes


def test_more_void_maps_than_were_published(plant):
    root, _ = plant("lost_and_found", "train", 8)
    for number, path in enumerate(first_maps("lost_and_found", root, "train")[:7], start=1):
        assert cv2.imwrite(str(path), np.zeros((4, 6), np.uint8))
        found = findings(check("lost_and_found", root, split="train"))
        assert found == ([("void", 7)] if number == 7 else [])


def test_masks_of_0_and_255_show_no_anomaly(plant):
    root, _ = plant("road_anomaly21", "val", 2, np.array([[0, 255] * 3] * 4, np.uint8))
    report = check("road_anomaly21", root, split="val")
    assert findings(report) == [("anomaly", 2)]
    assert "if these are masks of 0 and 255" in texts(report)


def test_listed_images_that_are_missing(plant):
    root, names = plant("coco", "val", 3)
    (root / "val2017" / f"{names[1]}.jpg").unlink()
    report = check("coco", root, split="val")
    assert findings(report) == [("image", 1)]
    assert re.search(rf"1 listed image missing, e\.g\. .*val2017.{names[1]}", texts(report))


def test_annotations_that_are_missing(plant):
    root, _ = plant("coco", "val", 1)
    (root / "annotations" / "instances_val2017.json").unlink()
    report = check("coco", root)
    assert findings(report) == [("listing", 1)]
    assert "unpack annotations_trainval2017.zip" in texts(report)


# Refused ---------------------------------------------------------------------------------------


def test_other_folders(cityscapes, tmp_path):
    for root in (cityscapes / "leftImg8bit", cityscapes.parent):
        with pytest.raises(DatasetError, match=f"seems to be at {cityscapes}, give that"):
            check("cityscapes", root)
    with pytest.raises(DatasetError, match="no Cityscapes folder at"):
        check("cityscapes", tmp_path / "none")
    with pytest.raises(DatasetError, match="has the splits train, val, test, not 'all'"):
        check("cityscapes", cityscapes, split="all")
    with pytest.raises(DatasetError, match=r"val.* is missing"):
        check("cityscapes", cityscapes, split="val")


def test_a_listing_for_no_split(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    with pytest.raises(DatasetError, match=r"has images/ but no splits.train\.txt"):
        check("camvid", tmp_path)


# The command -----------------------------------------------------------------------------------


def test_command_exit_codes(command, plant, cityscapes):
    root, _ = plant("road_anomaly", "test", 60)
    code, out, err = command("data", "check", "road_anomaly", root)
    assert (code, err) == (0, [])
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "test 60 images (published: 60), 60 with a label map",
        "verdict fine",
    ]
    first_maps("cityscapes", cityscapes, "train")[0].unlink()
    code, out, err = command("data", "check", "cityscapes", cityscapes)
    assert (code, err) == (1, [])
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "train 3 images (published: 2975), 2 with a label map"
    assert lines[1].startswith("wrong: 1 image without a label map, e.g. ")
    assert lines[2] == "wrong: 3 images, but 2975 were published"
    assert lines[-3:] == ["val not there", "test not there", "verdict 2 findings"]
    code, out, err = command("data", "check", "cityscapes", cityscapes.parent)
    assert (code, out) == (2, "")
    assert len(err) == 1
    assert err[0].startswith("owseg: ")
    code, out, err = command("data", "check", "kitti", cityscapes)
    assert (code, out, len(err)) == (2, "", 1)


def test_command_json(command, cityscapes):
    code, out, _ = command(
        *("data", "check", "cityscapes", cityscapes, "--split", "train", "--names-only", "--json")
    )
    assert code == 1
    report = json.loads(out)
    assert (report["fine"], report["opened"], report["dataset"]) == (False, False, "cityscapes")
    (split,) = report["splits"]
    assert split["findings"] == [
        {"kind": "number", "text": "3 images, but 2975 were published", "count": 2972}
    ]


# Evaluation ------------------------------------------------------------------------------------

BINARY = (
    ("fishyscapes_lost_and_found", "val"),
    ("fishyscapes_static", "val"),
    ("lost_and_found", "test_noknown"),
    ("road_anomaly", "test"),
    ("road_anomaly21", "val"),
    ("road_obstacle21", "val"),
)


@pytest.fixture
def evaluate(command, plant, tiny_bundle, tmp_path):
    """Give a function that evaluates the tiny model: (name, split) -> output, figures."""

    def call(name, split, *more):
        root, _ = plant(name, split, 2)
        file = tmp_path / "figures.json"
        code, out, err = command(
            *("eval", "--data", name, "--root", root, "--split", split),
            *("--model", tiny_bundle, "--json", file, *more),
        )
        assert (code, err) == (0, [])
        return out, json.loads(file.read_text())

    return call


@pytest.mark.parametrize("options", [(), ("--truth-map", "anomaly")])
@pytest.mark.parametrize(("name", "split"), BINARY)
def test_benchmarks_without_classes_have_anomaly_figures_only(evaluate, name, split, options):
    out, figures = evaluate(name, split, *options)
    assert figures["frames_with_truth"] == 2
    assert figures["miou"] is None
    assert figures["held_out"] == ["anomaly"]
    assert 0 <= figures["anomaly"]["auroc"] <= 1
    assert figures["goss"]["gq"] is figures["goss"]["gq_cluster"] is None
    assert "no mIoU" in figures["note"]
    lines = out.splitlines()
    assert sum("no mIoU" in line for line in lines) == 1
    assert not any(line.startswith(("mIoU", "GOSS")) for line in lines)


@pytest.mark.parametrize("name", [n for n in READERS if n not in dict(BINARY)])
def test_data_sets_with_classes(evaluate, name):
    split = "test" if name in ("bdd_anomaly", "street_hazards") else READERS[name].splits[0].name
    out, figures = evaluate(name, split)
    assert figures["frames_with_truth"] > 0
    shared = {"road", "tree", "sky"} & set(READERS[name].label_space.names)
    assert ("note" in figures) == (not shared)
    # the tiny maps of COCO-Stuff show none of them
    assert (figures["miou"] is not None) == (bool(shared) and name != "coco_stuff")
    starts = [line.split()[0] for line in out.splitlines()]
    assert ("mIoU" in starts, "note" in starts) == (bool(shared), not shared)


def test_street_hazards_has_its_own_anomalies(evaluate):
    _, figures = evaluate("street_hazards", "test")
    assert figures["held_out"] == ["anomaly"]
    assert figures["iou"]["road"] is not None
    assert figures["goss"]["gq"] is None  # classes that the model lacks have no segments


def test_truth_maps_from_files(evaluate, tmp_path):
    names = READERS["cityscapes"].label_space.names
    content = {
        "schema": 1,
        "name": "mine",
        "labels": dict(enumerate(names)),
        "held_out": ["car"],
        "normal": [name for name in names if name not in ("road", "sky", "car")],
    }
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    _, figures = evaluate("cityscapes", "val", "--truth-map", path)
    assert (figures["truth_map"], figures["held_out"]) == ("mine", ["car"])
    assert figures["miou"] is not None
    assert "note" not in figures
