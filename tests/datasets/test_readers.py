"""Every reader on a tiny tree in its published layout: names, images, ids, and what is refused."""

from __future__ import annotations

import itertools
import shutil
import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from owseg.datasets import READERS, load_truth_map, open_dataset
from owseg.datasets.bdd_anomaly import ANOMALIES
from owseg.datasets.check import check_dataset
from owseg.datasets.coco import CATEGORIES
from owseg.datasets.lost_and_found import EMPTY, TEST_IMAGES, without_known
from owseg.errors import DatasetError

PUBLIC = [
    (name, part.name) for name, reader in READERS.items() for part in reader.splits if part.labelled
]
HIDDEN = [
    (name, part.name)
    for name, reader in READERS.items()
    for part in reader.splits
    if not part.labelled
]


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def refuses(says, name, root, split):
    with pytest.raises(DatasetError, match=says) as caught:
        [sample.load() for sample in open_dataset(name, root, split)]
    assert "\n" not in str(caught.value)


# What all have in common -----------------------------------------------------------------------


def test_every_reader_has_a_tree(trees):
    assert set(trees) == set(READERS)
    assert all(name == reader.name for name, reader in READERS.items())


@pytest.mark.parametrize(("name", "split"), PUBLIC)
def test_samples_of_a_split(plant, trees, name, split):
    root, names = plant(name, split, 3)
    reader = open_dataset(name, str(root), split)
    assert [sample.name for sample in reader] == sorted(names)
    assert (len(reader), reader.name, reader.split) == (len(names), name, split)
    ids = trees[name][1]
    assert len({*reader, *open_dataset(name, root, split)}) == len(names)
    for sample in reader:
        image, labels = sample.load()
        assert image.shape == (*labels.shape, 3)
        assert image.flags.c_contiguous
        assert (image.dtype, labels.dtype) == (np.uint8, np.uint8)
        space = reader.label_space
        assert labels.max(where=labels != 255, initial=0) < len(space.names) + len(space.void_ids)
        if ids:
            stored = cv2.imread(str(sample.label_path), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(labels, np.vectorize(ids.get)(stored))


@pytest.mark.parametrize("name", [name for name in READERS if name != "fishyscapes_static"])
def test_images_are_those_of_their_label_maps(plant, name):
    split = READERS[name].splits[0].name
    root, _ = plant(name, split, 3)
    reds = [sample.load()[0][..., 0].mean() for sample in open_dataset(name, root, split)]
    np.testing.assert_allclose(reds, [10, 30, 50], atol=6)


@pytest.mark.parametrize(("name", "split"), HIDDEN)
def test_splits_without_public_labels(plant, name, split):
    root, _ = plant(name, READERS[name].splits[0].name)
    refuses(f"has the splits .*, not '{split}'; its label maps are not public", name, root, split)


@pytest.mark.parametrize(("name", "split"), PUBLIC)
def test_missing_files(plant, name, split):
    root, names = plant(name, split, 3)
    sample = list(open_dataset(name, root, split))[1]
    kept = sample.image_path.read_bytes()
    sample.image_path.unlink()
    refuses("is missing|has no image in", name, root, split)
    sample.image_path.write_bytes(kept)
    assert len(open_dataset(name, root, split)) == len(names)
    sample.label_path.unlink()
    if name.startswith("fishyscapes"):  # the label maps say which images there are
        assert len(open_dataset(name, root, split)) == len(names) - 1
    else:
        refuses("is missing", name, root, split)


@pytest.mark.parametrize("name", [name for name in READERS if name != "coco"])
@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.full((4, 6), 3, np.uint16), "8-bit grey label map: it has 16 bits a pixel"),
        (np.full((4, 6, 3), 3, np.uint8), "8-bit grey label map: it is a picture in colours"),
        (np.full((4, 5), 1, np.uint8), "is 5x4, its image 6x4"),
    ],
)
def test_label_maps_of_another_kind(plant, name, labels, says):
    split = READERS[name].splits[0].name
    root, _ = plant(name, split)
    save(next(iter(open_dataset(name, root, split))).label_path, labels)
    refuses(says, name, root, split)


@pytest.mark.parametrize("name", [n for n in READERS if n not in ("coco", "camvid")])
def test_ids_that_mean_nothing(plant, name):
    split = READERS[name].splits[0].name
    root, _ = plant(name, split)
    save(next(iter(open_dataset(name, root, split))).label_path, np.full((4, 6), 200, np.uint8))
    refuses("has the id 200, expected ", name, root, split)


@pytest.mark.parametrize(("name", "split"), PUBLIC)
def test_what_file_managers_leave_is_passed_over(plant, name, split):
    root, names = plant(name, split)
    for sample in list(open_dataset(name, root, split)):
        for path in (sample.image_path, sample.label_path):
            (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
            (path.parent / "Thumbs.db").write_bytes(b"thumbs")
            (path.parent / ".DS_Store").write_bytes(b"store")
    assert [sample.name for sample in open_dataset(name, root, split)] == sorted(names)


@pytest.mark.parametrize("name", [n for n in READERS if n != "coco"])
def test_upper_case_suffixes(plant, name):
    split = READERS[name].splits[0].name
    root, names = plant(name, split)
    for sample in list(open_dataset(name, root, split)):
        for path in (sample.image_path, sample.label_path):
            path.rename(path.with_suffix(path.suffix.upper()))
    reader = open_dataset(name, root, split)
    assert [sample.name for sample in reader] == sorted(names)
    for sample in reader:
        sample.load()


@pytest.mark.parametrize("name", READERS)
def test_a_root_one_level_too_high_or_too_low(plant, name):
    split = next(part.name for part in READERS[name].splits if part.labelled)
    root, _ = plant(name, split)
    hint = f"is no {READERS[name].title} folder: .*; the data set seems to be at {root}, give that"
    refuses(hint, name, root.parent, split)
    inner = next(path for path in sorted(root.iterdir()) if path.is_dir())
    refuses(hint, name, inner, split)
    refuses(f"no {READERS[name].title} folder at", name, root / "none", split)


@pytest.mark.parametrize("inner", ["leftImg8bit", "leftImg8bit/train", "gtFine/train/ulm"])
def test_a_root_some_levels_too_low(plant, inner):
    root, _ = plant("cityscapes", "train")
    refuses(f"seems to be at {root}, give that", "cityscapes", root / inner, "train")


def test_a_root_two_levels_too_high(plant, tmp_path):
    root, _ = plant("cityscapes", "train", root=tmp_path / "data" / "street" / "cityscapes")
    refuses(f"seems to be at {root}, give that", "cityscapes", tmp_path / "data", "train")


def test_files_on_other_levels_are_no_part(plant):
    root, names = plant("cityscapes", "train")
    image = next(iter(open_dataset("cityscapes", root, "train"))).image_path
    for place in (image.parent.parent, image.parent / "more"):
        place.mkdir(exist_ok=True)
        shutil.copy(image, place / "other_leftImg8bit.png")
    assert [sample.name for sample in open_dataset("cityscapes", root, "train")] == names


def test_an_image_in_two_formats_counts_once(plant):
    root, names = plant("road_anomaly", "test")
    for name in names:
        save(root / "frames" / f"{name}.png", np.zeros((4, 6, 3), np.uint8))
    samples = list(open_dataset("road_anomaly", root, "test"))
    assert [sample.image_path.suffix for sample in samples] == [".jpg", ".jpg"]


def test_no_hint_without_a_data_set_near(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    refuses("leftImg8bit.train is missing$", "cityscapes", tmp_path / "a", "train")


def test_no_hint_for_a_tree_that_is_partly_there(plant):
    root, _ = plant("cityscapes", "train")
    shutil.rmtree(root / "gtFine")
    refuses("gtFine.train is missing$", "cityscapes", root, "train")


def test_palette_maps_say_what_they_are(plant):
    root, _ = plant("bdd100k", "train")
    path = next(iter(open_dataset("bdd100k", root, "train"))).label_path
    signature = path.read_bytes()[:8]

    def chunk(kind, body):
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", 6, 4, 8, 3, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes([0, 1, 2, 0, 1, 2]) for _ in range(4)))
    palette = bytes(range(9))
    path.write_bytes(
        signature
        + chunk(b"IHDR", head)
        + chunk(b"PLTE", palette)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )
    refuses("it is a palette PNG; save the indices", "bdd100k", root, "train")


@pytest.mark.parametrize("name", READERS)
def test_linked_folders_and_links_in_a_circle(plant, tmp_path, name):
    split = READERS[name].splits[0].name
    root, names = plant(name, split)
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in root.iterdir():
        (linked / path.name).symlink_to(path)
    for folder in [path for path in root.rglob("*") if path.is_dir()]:
        (folder / "again").symlink_to(root)
    assert [sample.name for sample in open_dataset(name, linked, split)] == sorted(names)


# Other layouts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "ids"),
    [("labels", [[0, 18, 255]]), ("train_labels", [[2, 20, 1]])],
)
def test_the_older_archive_of_bdd100k(tmp_path, labels, ids):
    save(tmp_path / "seg/images/val/a-1.jpg", np.zeros((1, 3, 3), np.uint8))
    save(tmp_path / f"seg/{labels}/val/a-1_train_id.png", np.array(ids, np.uint8))
    (sample,) = open_dataset("bdd100k", tmp_path, "val")
    assert sample.name == "a-1"
    assert sample.load()[1].tolist() == [[0, 18, 255]]


def test_bdd_anomaly_divides_by_what_the_maps_show(plant, tmp_path):
    root, odd = plant("bdd_anomaly", "test")
    names = {s: [x.name for x in open_dataset("bdd_anomaly", root, s)] for s in ("train", "val")}
    assert names == {"train": ["f0", "f1"], "val": ["f0", "f1"]}
    assert sorted(odd) == ["train_bike0", "train_bike1", "val_bike0", "val_bike1"]
    truth_map = load_truth_map("bdd_anomaly")
    assert truth_map.held_out == ANOMALIES
    labels = next(iter(open_dataset("bdd_anomaly", root, "test"))).load()[1]
    assert truth_map.apply(labels, truth_map.known_names).anomaly.sum() == (labels == 18).sum() > 0


@pytest.mark.parametrize(
    ("gone", "more"),
    [
        ("images/10k/val", ["labels/sem_seg/masks/val"]),
        ("images/10k/val", []),
        ("labels/sem_seg/masks/val", []),
        ("images/10k/train", []),
    ],
)
def test_bdd_anomaly_needs_both_parts_for_its_test(plant, gone, more):
    root, _ = plant("bdd_anomaly", "test")
    for folder in (gone, *more):
        shutil.rmtree(root / folder)
    refuses(f"no BDD-Anomaly folder: .*{gone} is missing", "bdd_anomaly", root, "test")
    report = check_dataset(READERS["bdd_anomaly"], root, lambda samples, *_: samples, split="test")
    assert [f.text for f in report.splits[0].findings if f.kind == "folder"] == [
        f"{root / gone} is missing"
    ]


def test_idd_reads_both_kinds_of_image(plant):
    root, _ = plant("idd", "train", 1)
    save(root / "leftImg8bit/train/7/b_leftImg8bit.jpg", np.zeros((4, 6, 3), np.uint8))
    save(root / "gtFine/train/7/b_gtFine_labellevel3Ids.png", np.zeros((4, 6), np.uint8))
    assert [sample.name for sample in open_dataset("idd", root, "train")] == ["201/f0", "7/b"]


def test_lost_and_found_with_train_ids(tmp_path):
    scene = "02_Hanns_Klemm_Str_44"
    save(tmp_path / f"leftImg8bit/test/{scene}/{scene}_1_leftImg8bit.png", np.zeros((1, 4, 3)))
    save(
        tmp_path / f"gtCoarse/test/{scene}/{scene}_1_gtCoarse_labelTrainIds.png",
        np.array([[0, 1, 2, 255]], np.uint8),
    )
    (sample,) = open_dataset("lost_and_found", tmp_path, "test")
    assert sample.load()[1].tolist() == [[255, 0, 1, 255]]


def test_no_known_leaves_out_children_bicycles_and_empty_frames():
    kept = [f"s/02_Street_{i:06d}_000010" for i in range(TEST_IMAGES - 4)]
    known = [
        "15_Rechbergstr_Deckenpfronn/15_Rechbergstr_Deckenpfronn_000001_000100",
        "01_Hanns_Klemm_Str_45/01_Hanns_Klemm_Str_45_000006_000070",
        "01_Hanns_Klemm_Str_45/01_Hanns_Klemm_Str_45_000007_000070",
        "10_Schlossberg_9/10_Schlossberg_9_000004_000010",
    ]
    names = sorted([*kept, *known], key=lambda name: name.rpartition("/")[2])
    wanted = [n for place, n in enumerate(names) if place not in EMPTY and n not in known]
    assert without_known(names) == wanted
    # in a part of the data set the places mean nothing
    part = [*kept[:50], *known]
    assert sorted(without_known(part)) == sorted(kept[:50])


def test_no_known_reads_the_part(plant):
    root, names = plant("lost_and_found", "test", 3)
    scene = "15_Rechbergstr_Deckenpfronn"
    stem = f"{scene}_000000_000010"
    save(root / f"leftImg8bit/test/{scene}/{stem}_leftImg8bit.png", np.zeros((4, 6, 3)))
    save(root / f"gtCoarse/test/{scene}/{stem}_gtCoarse_labelIds.png", np.ones((4, 6)))
    assert len(open_dataset("lost_and_found", root, "test")) == 4
    reader = open_dataset("lost_and_found", root, "test_noknown")
    assert [sample.name for sample in reader] == names


@pytest.mark.parametrize(
    "images", ["lostandfound/leftImg8bit/test/04_Maurener_Weg_8", "laf_images"]
)
def test_other_places_of_the_images_of_fishyscapes(plant, images):
    root, names = plant("fishyscapes_lost_and_found", "val")
    (root / images).mkdir(parents=True)
    for path in (root / "leftImg8bit/train/04_Maurener_Weg_8").iterdir():
        path.rename(root / images / path.name)
    shutil.rmtree(root / "leftImg8bit")
    assert [s.name for s in open_dataset("fishyscapes_lost_and_found", root, "val")] == names


@pytest.mark.parametrize(
    ("name", "split", "top"),
    [
        ("fishyscapes_lost_and_found", "val", 1),
        ("fishyscapes_static", "val", 1),
        ("road_anomaly", "test", 2),
    ],
)
def test_repacked_benchmarks(tmp_path, name, split, top):
    for number in (0, 1):
        save(tmp_path / f"images/{number}.jpg", np.zeros((1, 3, 3), np.uint8))
        save(tmp_path / f"labels_masks/{number}.png", np.array([[0, top, 255]], np.uint8))
    reader = open_dataset(name, tmp_path, split)
    assert [sample.name for sample in reader] == ["0", "1"]
    assert next(iter(reader)).load()[1].tolist() == [[0, 1, 255]]


def test_overlays_of_fishyscapes_are_added_and_clipped(plant):
    root, _ = plant("fishyscapes_static", "val")
    first, second = (sample.load()[0] for sample in open_dataset("fishyscapes_static", root, "val"))
    assert first[0, 0].tolist() == [250, 0, 57]  # (10, 100, 50) + (240, -150, 7)
    assert second[0, 0].tolist() == [255, 0, 57]  # (30, 100, 50) + (240, -150, 7)
    assert first[1, 0].tolist() == [10, 100, 50]


def test_overlays_that_cannot_be_read(plant):
    root, names = plant("fishyscapes_static", "val")
    file = root / "fs_val_v3" / f"{names[0]}_rgb.npz"
    file.write_bytes(file.read_bytes()[:60])
    refuses("is no readable overlay", "fishyscapes_static", root, "val")
    np.savez(file, other=np.zeros(3))
    refuses("is no readable overlay", "fishyscapes_static", root, "val")
    np.savez(file, rgb=np.zeros((2, 2, 3), np.int16))
    refuses(r"rgb\.npz is \(2, 2, 3\), its image", "fishyscapes_static", root, "val")
    file.unlink()
    refuses("is no readable overlay", "fishyscapes_static", root, "val")


def test_overlays_that_are_damaged_anywhere(plant):
    root, names = plant("fishyscapes_static", "val", 1)
    file = root / "fs_val_v3" / f"{names[0]}_rgb.npz"
    np.savez_compressed(file, rgb=np.arange(4 * 6 * 3, dtype=np.int16).reshape(4, 6, 3))
    whole = file.read_bytes()
    (sample,) = open_dataset("fishyscapes_static", root, "val")
    said = []
    for place, mask in itertools.product(range(len(whole)), (0xFF, 0x01)):
        broken = bytearray(whole)
        broken[place] ^= mask
        file.write_bytes(broken)
        try:
            sample.load_image()
        except DatasetError as error:
            said.append(str(error))
    assert len(said) > len(whole)
    assert all("is no readable overlay" in text for text in said)


def test_the_benchmarks_of_segment_me_read_the_validation_part_only(plant):
    for name in ("road_anomaly21", "road_obstacle21"):
        root, names = plant(name, "val", 2)
        reader = READERS[name]
        suffix = "jpg" if name == "road_anomaly21" else "webp"
        for other in ("cow0001", "gravel_axe_2"):
            shutil.copy(root / "images" / f"{names[0]}.{suffix}", root / f"images/{other}.{suffix}")
        colors = root / "labels_masks" / f"{names[0]}_labels_semantic_color.png"
        save(colors, np.zeros((4, 6, 3), np.uint8))
        assert [sample.name for sample in reader(root, "val")] == names
        assert reader.pairing(root, "test").images == 2


# COCO ------------------------------------------------------------------------------------------


def test_coco_draws_small_objects_over_large_ones(plant):
    root, _ = plant("coco", "val", 1)
    (sample,) = open_dataset("coco", root, "val")
    person, bus = 0, 5
    assert (READERS["coco"].label_space.names[person], CATEGORIES[1]) == ("person", person)
    assert (READERS["coco"].label_space.names[bus], CATEGORIES[6]) == ("bus", bus)
    want = np.full((4, 6), 255)
    want[0:4, 0:4] = bus
    want[1:3, 1:3] = person
    np.testing.assert_array_equal(sample.load()[1], want)


def test_coco_objects_of_several_parts_have_no_hole_where_they_overlap(plant):
    root, _ = plant("coco", "val", 1)
    left, right = [0, 0, 4, 0, 4, 3, 0, 3], [1, 0, 5, 0, 5, 3, 1, 3]
    (sample,) = open_dataset("coco", root, "val")
    bus = {"category_id": 6, "area": 9.0, "segmentation": [left, right]}
    labels = replace(sample, objects=(bus,)).load_labels()
    np.testing.assert_array_equal(labels, np.full((4, 6), CATEGORIES[6]))


@pytest.mark.parametrize("outline", [[[]], [[1]], [1], [["a", "b"]], None, {"size": [4, 6]}])
def test_coco_outlines_that_are_none(plant, outline):
    root, _ = plant("coco", "val", 1)
    (sample,) = open_dataset("coco", root, "val")
    bus = {"category_id": 6, "area": 9.0, "segmentation": outline}
    with pytest.raises(DatasetError, match="an annotation of image 000000000000 is not as expect"):
        replace(sample, objects=(bus,)).load_labels()


def test_coco_categories_are_the_official_ones():
    names = READERS["coco"].label_space.names
    assert len(names) == len(CATEGORIES) == 80
    official = {1: "person", 13: "stop sign", 44: "bottle", 62: "chair", 90: "toothbrush"}
    assert {number: names[CATEGORIES[number]] for number in official} == official
    assert {12, 26, 29, 30, 45, 66, 68, 69, 71, 83} & set(CATEGORIES) == set()


def test_coco_with_other_files(plant):
    root, _ = plant("coco", "val", 2)
    file = root / "annotations" / "instances_val2017.json"
    text = file.read_text()
    file.write_text(text.replace('"category_id": 6', '"category_id": 12'))
    refuses("an annotation of image 000000000000 is not as expected", "coco", root, "val")
    wider = text.replace('"width": 6', '"width": 7')
    file.write_text(wider)
    refuses("an annotation of image .*runs of 6x4", "coco", root, "val")
    file.write_text(wider.replace('"size": [4, 6]', '"size": [4, 7]').replace("[20, 4]", "[24, 4]"))
    refuses(r"json is 7x4, its image 6x4", "coco", root, "val")
    file.write_text('{"images": 3}')
    refuses("is no file of COCO instances", "coco", root, "val")
    file.write_text(text)
    save(root / "val2017" / "9.jpg", np.zeros((4, 6, 3), np.uint8))
    refuses(
        r"label map entry in .*instances_val2017\.json of image .*9\.jpg is", "coco", root, "val"
    )
