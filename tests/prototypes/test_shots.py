"""Examples from masks, polygons, folders and replays, and one clear line for each bad one."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from owseg.engines import FakeEngine, fake_manifest
from owseg.errors import BagError, ShotError
from owseg.pipeline import Pipeline
from owseg.prototypes.cluster_shots import load_clusters
from owseg.prototypes.examples import (
    CLASS,
    IGNORE,
    OTHER,
    Example,
    mask_of_polygons,
    merge_examples,
)
from owseg.prototypes.shot_files import left_out, load_folder, load_shot, read_image
from owseg.replay.runner import Progress, Replay, ReplayOptions
from owseg.replay.sources import open_source

HEIGHT, WIDTH = 24, 32
RNG = np.random.default_rng(6)


def picture(height=HEIGHT, width=WIDTH):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def box_mask(value=255, size=(HEIGHT, WIDTH), dtype=np.uint8):
    mask = np.zeros(size, dtype)
    mask[4:12, 8:20] = value
    return mask


def write(path, pixels):
    assert cv2.imwrite(str(path), pixels if pixels.ndim == 2 else pixels[..., ::-1])
    return path


def is_one_line(error):
    assert "\n" not in str(error.value)
    assert str(error.value).strip()


WANTED = box_mask(CLASS)


# Example ---------------------------------------------------------------------------------------


def test_an_example_knows_its_size_and_origin():
    one = Example(image=picture(), mask=box_mask(CLASS), source="a.png")
    assert one.pixels == 96
    assert (one.shot.pixels, one.shot.source) == (96, "a.png")
    assert len(one.shot.image_sha256) == 64


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mask": box_mask(CLASS, (HEIGHT, 31))}, "the mask is 31x24, the image 32x24"),
        ({"mask": box_mask(0)}, "the mask is empty"),
        ({"mask": box_mask(IGNORE)}, "the mask is empty"),
        ({"mask": box_mask(7)}, "a mask holds 0, 1 and 255 only"),
        ({"mask": box_mask(1.0, dtype=np.float32)}, r"expected an \(H, W\) uint8 mask"),
        ({"mask": picture()}, r"expected an \(H, W\) uint8 mask"),
        ({"image": box_mask()}, r"expected an \(H, W, 3\) uint8 RGB image"),
    ],
)
def test_a_bad_example(change, says):
    parts = {"image": picture(), "mask": box_mask(CLASS), "source": "a.png"} | change
    with pytest.raises(ShotError, match=f"^a.png: {says}") as error:
        Example(**parts)
    is_one_line(error)


def test_joining_masks_of_one_image():
    image, other = picture(), picture()
    values = np.array([OTHER, CLASS, IGNORE], np.uint8)
    first, second = np.meshgrid(values, values)
    masks = [np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2)]
    masks[0][:3, :3], masks[1][:3, :3] = first, second
    joined, alone = merge_examples(
        [
            Example(image=image, mask=masks[0], source="a"),
            Example(image=other, mask=box_mask(CLASS), source="b"),
            Example(image=image.copy(), mask=masks[1], source="c"),
        ]
    )
    want = [[OTHER, CLASS, IGNORE], [CLASS, CLASS, CLASS], [IGNORE, CLASS, IGNORE]]
    np.testing.assert_array_equal(joined.mask[:3, :3], want)
    assert (joined.source, alone.source) == ("a, c", "b")


def test_images_of_the_same_bytes_but_another_shape_stay_apart():
    image = picture(24, 32)
    wide = image.reshape(12, 64, 3)
    mask = np.full((12, 64), CLASS, np.uint8)
    examples = [
        Example(image=image, mask=mask.reshape(24, 32)),
        Example(image=wide, mask=mask),
    ]
    assert len(merge_examples(examples)) == 2


# Masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [
        box_mask(255),
        box_mask(1),
        box_mask(40000, dtype=np.uint16),
        box_mask(255)[..., None] * np.array([0, 0, 1], np.uint8),
        np.dstack([box_mask(9)] * 3 + [np.full((HEIGHT, WIDTH), 255, np.uint8)]),
        np.dstack([np.full((HEIGHT, WIDTH), 255, np.uint8)] * 3 + [box_mask(200)]),
    ],
    ids=["binary", "ones", "16 bits", "coloured", "opaque", "transparent"],
)
def test_whatever_is_not_black_is_the_class(tmp_path, mask):
    image = picture()
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    one = load_shot(write(tmp_path / "a.png", image), tmp_path / "m.png")
    np.testing.assert_array_equal(one.image, image)
    np.testing.assert_array_equal(one.mask, WANTED)
    assert one.source == "a.png with m.png"


def test_soft_edges_belong_to_the_class(tmp_path):
    mask = box_mask(255)
    mask[4, 8:12] = (40, 80, 120, 160)
    write(tmp_path / "m.png", mask)
    one = load_shot(write(tmp_path / "a.png", picture()), tmp_path / "m.png")
    np.testing.assert_array_equal(one.mask, WANTED)


def test_a_mask_of_which_it_is_not_plain_what_it_means(tmp_path):
    labels = np.full((HEIGHT, WIDTH), 3, np.uint8)
    labels[4:12, 8:20] = 8
    for name, mask, values in (
        ("labels", labels, 2),
        ("colours", np.dstack([labels, 2 * labels, labels]), 2),
        ("ramp", np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8), 255),
        ("photo", picture(), r"7\d\d"),
    ):
        path = write(tmp_path / f"{name}.png", mask)
        says = rf"{name}\.png has {values} values besides black.*give --label ID if it is a label"
        with pytest.raises(ShotError, match=says) as error:
            load_shot(write(tmp_path / "a.png", picture()), path)
        is_one_line(error)


def test_a_label_image(tmp_path):
    labels = np.full((HEIGHT, WIDTH), 3, np.uint8)
    labels[4:12, 8:20] = 8
    labels[20:] = 255
    write(tmp_path / "m.png", labels)
    one = load_shot(write(tmp_path / "a.png", picture()), tmp_path / "m.png", label="8")
    np.testing.assert_array_equal(one.mask[:20], WANTED[:20])
    assert (one.mask[20:] == IGNORE).all()
    void = load_shot(tmp_path / "a.png", tmp_path / "m.png", label="255")
    assert (void.mask == CLASS).sum() == 4 * WIDTH


@pytest.mark.parametrize(
    ("label", "says"),
    [("9", "has no pixel with the label 9; it has 0, 8"), ("car", "the label 'car' is no id")],
)
def test_a_label_that_is_not_there(tmp_path, label, says):
    write(tmp_path / "m.png", box_mask(8))
    with pytest.raises(ShotError, match=says) as error:
        load_shot(write(tmp_path / "a.png", picture()), tmp_path / "m.png", label=label)
    is_one_line(error)


def test_a_coloured_label_image(tmp_path):
    write(tmp_path / "m.png", picture())
    with pytest.raises(ShotError, match="has colours; a label id needs a grey image"):
        load_shot(write(tmp_path / "a.png", picture()), tmp_path / "m.png", label="3")


def test_bad_files(tmp_path):
    image, mask = write(tmp_path / "a.png", picture()), write(tmp_path / "m.png", box_mask())
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(image.read_bytes()[:200])
    jpeg, huge = write(tmp_path / "m.jpg", box_mask()), tmp_path / "huge.png"
    data = mask.read_bytes()
    huge.write_bytes(data[:16] + b"\x00\x0f\xff\xff" * 2 + data[24:])
    cases = [
        (tmp_path / "none.png", mask, "none.png cannot be read: No such file"),
        (tmp_path, mask, "cannot be read: Is a directory"),
        (tmp_path / "text.png", mask, "text.png is not a readable image: "),
        (tmp_path / "cut.png", mask, "cut.png is not a readable image: png image is truncated"),
        (image, tmp_path / "none.png", "none.png cannot be read: No such file"),
        (image, tmp_path / "text.png", "text.png is not a readable mask image"),
        (image, tmp_path / "empty.png", "empty.png is not a readable mask image"),
        (image, huge, "huge.png is not a readable mask image"),
        (image, jpeg, "m.jpg: a mask in JPEG loses its values; store it as PNG"),
        (image, write(tmp_path / "s.png", box_mask(size=(48, 64))), "is 64x48, the image 32x24"),
        (image, write(tmp_path / "z.png", box_mask(0)), "a.png with z.png: the mask is empty"),
    ]
    for image_path, mask_path, says in cases:
        with pytest.raises(ShotError, match=says) as error:
            load_shot(image_path, mask_path)
        is_one_line(error)


def test_read_image(tmp_path):
    image = picture()
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.bmp", image)), image)


# Polygons --------------------------------------------------------------------------------------


def inside(polygon, height, width):
    """Even-odd rule at the middle of each pixel."""
    found = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            for (xa, ya), (xb, yb) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
                if (ya > y) != (yb > y) and x < xa + (y - ya) / (yb - ya) * (xb - xa):
                    found[row, column] ^= True
    return found


@pytest.mark.parametrize(
    "polygon",
    [
        [(8, 4), (20, 4), (20, 12), (8, 12)],
        [(2.3, 1.2), (30.1, 9.7), (11.4, 22.6)],
        [(0, 0), (32, 0), (32, 24), (0, 24)],
        [(4, 4), (28, 4), (16, 12), (28, 20), (4, 20)],
    ],
)
def test_polygons_are_filled(polygon):
    mask = mask_of_polygons([np.array(polygon, float)], HEIGHT, WIDTH)
    want = inside(polygon, HEIGHT, WIDTH)
    assert want.any()
    assert (mask[want] == CLASS).all()
    corners = np.array(polygon, np.float32)
    for row, column in np.argwhere((mask == CLASS) & ~want):  # touched by the outline
        gap = -cv2.pointPolygonTest(corners, (column + 0.5, row + 0.5), True)
        assert gap <= 1.0


SQUARE = [[8, 4], [20, 4], [20, 12], [8, 12]]
TRIANGLE = [[24, 14], [30, 14], [27, 22]]


@pytest.fixture
def polygons(tmp_path):
    """Give a function that writes JSON and loads it with an image."""
    image = write(tmp_path / "a.png", picture())

    def load(content, **options):
        path = tmp_path / "p.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return load_shot(image, path, **options)

    return load


def mask_of(*polygon):
    return mask_of_polygons([np.array(p, float) for p in polygon], HEIGHT, WIDTH)


def test_a_list_of_polygons(polygons):
    np.testing.assert_array_equal(polygons([SQUARE, TRIANGLE]).mask, mask_of(SQUARE, TRIANGLE))
    np.testing.assert_array_equal(polygons(SQUARE).mask, mask_of(SQUARE))


def labelme(*shapes, **more):
    keys = ("label", "points", "shape_type")
    return {"shapes": [dict(zip(keys, shape, strict=False)) for shape in shapes], **more}


def test_files_of_labelme(polygons):
    content = labelme(
        ("sofa", SQUARE, "polygon"), ("lamp", TRIANGLE), imageHeight=24, imageWidth=32
    )
    for options, want in (
        ({"name": "Sofa"}, mask_of(SQUARE)),
        ({"name": "x", "label": "lamp"}, mask_of(TRIANGLE)),
        ({"name": "sofa", "label": "lamp"}, mask_of(TRIANGLE)),
    ):
        np.testing.assert_array_equal(polygons(content, **options).mask, want)


def test_a_file_of_labelme_with_one_label_needs_no_name(polygons):
    content = labelme(("thing", SQUARE), ("thing", TRIANGLE))
    np.testing.assert_array_equal(polygons(content, name="x").mask, mask_of(SQUARE, TRIANGLE))


def test_a_rectangle_of_labelme(polygons):
    for corners in ([[8, 4], [20, 12]], SQUARE):
        content = labelme(("sofa", corners, "rectangle"), imageHeight="24", imageWidth=None)
        np.testing.assert_array_equal(polygons(content).mask, mask_of(SQUARE))


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("{", {}, "is not JSON"),
        ('"text"', {}, "holds no list of polygons"),
        ([], {}, "there is no polygon"),
        ([[]], {}, "polygon 1 has 0 corners; it needs at least 3"),
        ([SQUARE, SQUARE[:2]], {}, "polygon 2 has 2 corners; it needs at least 3"),
        ([[[1, 2, 3]] * 3], {}, r"a polygon is a list of corners \[x, y\]"),
        ([[["a", "b"]] * 3], {}, r"a polygon is a list of corners \[x, y\]"),
        ([7], {}, r"a polygon is a list of corners \[x, y\]"),
        ("[[[1, NaN], [2, 2], [3, 1]]]", {}, "polygon 1 is not a list of corners"),
        ([[[1, 1], [34, 1], [3, 9]]], {}, "a corner at 34, 1, outside of the 32x24 image"),
        ([[[1, 1], [9, -3], [3, 9]]], {}, "a corner at 9, -3, outside of the 32x24 image"),
        ([[[100, 100], [120, 100], [100, 120]]], {}, "outside of the 32x24 image"),
        ({"a": 1}, {}, "is no file of LabelMe: it has no list 'shapes'"),
        ({"shapes": [1]}, {}, "is no file of LabelMe"),
        (labelme(), {}, "there is no polygon"),
        (
            labelme(("a", SQUARE), ("b", SQUARE)),
            {"name": "c"},
            "no shape labelled 'c'; it has a, b",
        ),
        (labelme(("a", SQUARE)), {"label": "c"}, "no shape labelled 'c'; it has a"),
        (labelme(("a", SQUARE, "circle")), {}, "type 'circle' with 4 points cannot be used"),
        (labelme(("a", SQUARE[:3], "rectangle")), {}, "'rectangle' with 3 points cannot be used"),
        ([[[1, 1], [9, 9], [5, 5], [2, 2]]], {}, "polygon 1 has no area"),
        ([[[10**400, 1], [9, 9], [5, 6]]], {}, r"a polygon is a list of corners \[x, y\]"),
        ([[[True, False], [9, 9], [5, 6]]], {}, r"a polygon is a list of corners \[x, y\]"),
        (labelme(("a", SQUARE), imageHeight=48, imageWidth=64), {}, "drawn on an image of 64x48"),
        (labelme(("a", None)), {}, r"a polygon is a list of corners \[x, y\]"),
    ],
)
def test_bad_polygons(polygons, content, options, says):
    with pytest.raises(ShotError, match=says) as error:
        polygons(content, **options)
    is_one_line(error)


# Folders ---------------------------------------------------------------------------------------


def test_a_folder_of_images_with_masks(tmp_path):
    for name in ("b.png", "a.jpg", "c.png", "d.jpg", "lonely.png"):
        write(tmp_path / name, picture())
    (tmp_path / "a.json").write_text(json.dumps([SQUARE]))
    write(tmp_path / "b_mask.png", box_mask())
    (tmp_path / "masks").mkdir()
    write(tmp_path / "masks" / "c.png", box_mask())
    write(tmp_path / "d.png", box_mask())
    found = load_folder(tmp_path)
    assert [one.source for one in found] == [
        "a.jpg with a.json",
        "b.png with b_mask.png",
        "c.png with c.png",
        "d.jpg with d.png",
    ]
    np.testing.assert_array_equal(found[1].mask, WANTED)
    assert left_out(tmp_path) == ["lonely.png"]


def test_masks_without_an_image(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        write(tmp_path / name, picture())
    (tmp_path / "masks").mkdir()
    for name in ("a_mask.png", "c_mask.png", "masks/a.png", "masks/d.png"):
        write(tmp_path / name, box_mask())
    (tmp_path / "masks" / "e.json").write_text("[]")
    assert [one.source for one in load_folder(tmp_path)] == ["a.jpg with a.png"]
    left = ["a_mask.png", "b.jpg", "c_mask.png", "masks/d.png", "masks/e.json"]
    assert left_out(tmp_path) == left


def test_images_and_masks_in_two_folders(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(3):
        write(tmp_path / "images" / f"{number}.jpg", picture())
    write(tmp_path / "masks" / "0.png", box_mask(4))
    (tmp_path / "masks" / "2.json").write_text(json.dumps([SQUARE]))
    found = load_folder(tmp_path)
    assert [one.source for one in found] == ["0.jpg with 0.png", "2.jpg with 2.json"]
    with pytest.raises(ShotError, match="no pixel with the label 5"):
        load_folder(tmp_path, label="5")


def test_a_folder_without_shots(tmp_path):
    with pytest.raises(ShotError, match=r"no folder .*none"):
        load_folder(tmp_path / "none")
    write(tmp_path / "a.jpg", picture())
    with pytest.raises(ShotError, match=r"has no image with a mask; expected NAME\.jpg with"):
        load_folder(tmp_path)


# Replays ---------------------------------------------------------------------------------------


def thing(index):
    """Draw a known ground with two blue things, the second one from frame 2 on."""
    image = np.zeros((96, 128, 3), np.uint8)
    image[..., :2] = (90, 10 * index)
    image[10:30, 20:60, 2] = 255
    if index >= 2:
        image[50:80, 70:100, 2] = 255
    return image


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """Replay four images with the fake engine: blue is unknown."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "in").mkdir()
    for index in range(4):
        write(folder / "in" / f"{index}.png", thing(index))
    with open_source(folder / "in") as source:
        engine = FakeEngine(fake_manifest())
        Replay(source, Pipeline(engine), ReplayOptions(out=folder / "out")).run(Progress())
    return folder / "out"


def test_clusters_of_a_replay(replayed):
    first, second = load_clusters(replayed, {2: [2], 0: [1]})
    np.testing.assert_array_equal(first.image, thing(0))
    np.testing.assert_array_equal(second.image, thing(2))
    want = np.zeros((96, 128), np.uint8)
    want[10:30, 20:60] = CLASS
    np.testing.assert_array_equal(first.mask, want)
    want[want == CLASS] = IGNORE
    want[50:80, 70:100] = CLASS
    np.testing.assert_array_equal(second.mask, want)
    assert (first.source, second.source) == ("out frame 0 cluster 1", "out frame 2 cluster 2")


def test_several_clusters_of_a_frame(replayed):
    (one,) = load_clusters(replayed / "output.mcap", {3: [2, 1]})
    assert one.pixels == 20 * 40 + 30 * 30
    assert not (one.mask == IGNORE).any()
    assert one.source == "out frame 3 cluster 2,1"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({4: [1]}, r"has no frame 4; its frames are 0\.\.3"),
        ({0: [1], 99: [1]}, r"has no frame 99; its frames are 0\.\.3"),
        (
            {3: [7]},
            r"frame 3 has no unknown object 7; it has 2 \(900 pixels around 84,64\), 1 \(80",
        ),
        ({1: [0]}, "frame 1 has no unknown object 0; it has 1 "),
    ],
)
def test_clusters_that_are_not_there(replayed, wanted, says):
    with pytest.raises(ShotError, match=says) as error:
        load_clusters(replayed, wanted)
    is_one_line(error)


def test_folders_that_are_no_replay(tmp_path, street_bag):
    with pytest.raises(ShotError, match="give the folder that 'owseg replay' wrote"):
        load_clusters(tmp_path, {0: [1]})
    with pytest.raises(BagError, match="has no topic /clusters/mask"):
        load_clusters(street_bag / "street.mcap", {0: [1]})


def test_the_replay_of_a_video_has_no_images(tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (128, 96)
    )
    for index in range(2):
        writer.write(thing(index)[..., ::-1])
    writer.release()
    with open_source(tmp_path / "v.avi") as source:
        engine = FakeEngine(fake_manifest())
        Replay(source, Pipeline(engine), ReplayOptions(out=tmp_path / "out")).run(Progress())
    with pytest.raises(ShotError, match="has no topics with camera images beside the results"):
        load_clusters(tmp_path / "out", {0: [1]})
