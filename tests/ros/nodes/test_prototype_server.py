"""The prototype server as a process: its services and its latched set, over the network."""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from owseg.engines import FakeEngine
from owseg.engines.fake import FAKE_SPACE
from owseg.images import encode_image, encode_jpeg, encode_png
from owseg.prototypes import PrototypeSet, PrototypeStore
from owseg.prototypes.examples import Example
from owseg.prototypes.learn import LearnOptions, learn_class
from owseg_ros.hosts.qos import LATCHED

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
PROTOTYPE_SET = "owseg_msgs/msg/PrototypeSet"
SERVER = "/prototype_server"
SIZE = 10
HEIGHT, WIDTH = 96, 128


def start_server(owseg, kind, store, *arguments, env=None):
    server = owseg(
        "node",
        "prototype_server",
        *("--host", kind, "--store", store, "--ros-args", "-p", "engine:=fake"),
        *("-p", "poll_period:=0.02", *arguments),
        env=env,
    )
    server.says("are kept in")
    return server


@pytest.fixture(scope="module")
def store(kinds):
    folder = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    yield Path(folder) / "made" / "classes.owseg"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(module_start, kinds, store):
    """Start a server that the tests of this module share; none counts on its classes."""
    return start_server(module_start, kinds[1], store)


@pytest.fixture(scope="module")
def module_client(module_runtime, server, new_client):
    return new_client(module_runtime)


@pytest.fixture
def ask(module_client):
    """Call a service of the shared server."""
    return lambda kind, name, /, **fields: module_client.call(kind, f"{SERVER}/{name}", **fields)


@pytest.fixture
def clean(ask):
    """Begin without classes."""
    for item in ask("ListClasses", "list_classes").classes:
        assert ask("RemoveClass", "remove_class", name=item.name).success


@pytest.fixture
def make(module_client):
    """Make messages of pictures."""

    class Make:
        def raw(self, array, **changes):
            fields = {**encode_image(array)._asdict(), **changes}
            return module_client.host.messages.make(IMAGE, **fields)

        def packed(self, fields):
            return module_client.host.messages.make(COMPRESSED, **fields._asdict())

    return Make()


def picture(red, green, seed=0):
    """Two halves: a colour with some noise, and something else."""
    image = np.random.default_rng(seed).integers(0, 20, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:, : WIDTH // 2, 0] += red
    image[:, : WIDTH // 2, 1] += green
    return image


def left_half():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 255
    return mask


def learned(images, prototypes=1, radius=None, present=None):
    """Learn from the same examples as the core does."""
    examples = [Example(image=image, mask=(left_half() > 0).astype(np.uint8)) for image in images]
    options = LearnOptions(prototypes=prototypes, radius=radius)
    return learn_class(FakeEngine(), examples, options, present or PrototypeSet())


def vectors_of(item):
    return np.asarray(item.vectors).reshape(-1, item.size)


# Learning ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed_images", [False, True])
@pytest.mark.parametrize("packed_masks", [False, True])
def test_images_and_masks_become_a_class_as_the_core_learns_it(
    ask, clean, make, module_client, eventually, packed_images, packed_masks
):
    images = [picture(200, 10, seed) for seed in range(2)]
    inbox = module_client.listen(PROTOTYPE_SET, "/prototypes", LATCHED)
    assert eventually(lambda: inbox)
    before = inbox[-1].version
    fields = {
        "compressed_images" if packed_images else "images": [
            make.packed(encode_png_rgb(image)) if packed_images else make.raw(image)
            for image in images
        ],
        "compressed_masks" if packed_masks else "masks": [
            make.packed(encode_png(left_half())) if packed_masks else make.raw(left_half())
            for _ in images
        ],
    }
    response = ask("AddClass", "add_class", name="  sofa ", **fields)
    assert (response.success, response.version) == (True, before + 1), response.message
    assert eventually(lambda: inbox[-1].version == before + 1)
    (item,) = inbox[-1].classes
    expected = learned(images)
    assert (item.id, item.name, item.shots) == (response.class_id, "sofa", 2)
    assert np.array_equal(vectors_of(item), expected.vectors)
    assert np.allclose(vectors_of(item)[0, :2], [209.5 / 255, 19.5 / 255], atol=0.01)
    assert item.radius == expected.radius > 0
    assert inbox[-1].space == FAKE_SPACE
    assert inbox[-1].header.stamp.sec > 1.6e9
    assert "sofa" in response.message
    assert "2 images" in response.message


def encode_png_rgb(image):
    import cv2

    from owseg.images import CompressedFields

    data = cv2.imencode(".png", image[..., ::-1])[1]
    return CompressedFields("rgb8; png compressed bgr8", data.reshape(-1))


def test_radius_prototypes_and_colour_are_taken_as_given(ask, clean, make):
    images = [picture(200, 10, seed) for seed in range(2)]
    response = ask(
        "AddClass",
        "add_class",
        name="sofa",
        color=np.array([1, 2, 3], np.uint8),
        radius=0.25,
        prototypes=2,
        images=[make.raw(image) for image in images],
        masks=[make.raw(left_half()) for _ in images],
    )
    assert response.success, response.message
    (item,) = ask("ListClasses", "list_classes", with_vectors=True).classes
    assert item.radius == 0.25
    assert list(item.color) == [1, 2, 3]
    assert np.array_equal(vectors_of(item), learned(images, prototypes=2, radius=0.25).vectors)
    assert len(vectors_of(item)) == 2


def test_vectors_become_a_class_as_they_are(ask, clean):
    vectors = np.arange(2 * SIZE, dtype=np.float32) / 7
    response = ask(
        "AddClass", "add_class", name="v", vectors=vectors, size=SIZE, radius=0.5, space=FAKE_SPACE
    )
    assert response.success, response.message
    assert "2 vectors" in response.message
    (item,) = ask("ListClasses", "list_classes", with_vectors=True).classes
    assert (item.name, item.radius, item.shots, item.size) == ("v", 0.5, 0, SIZE)
    assert np.array_equal(np.asarray(item.vectors), vectors)


def test_where_an_image_came_from_is_kept(ask, clean, make, module_client, store):
    header = module_client.host.messages.make(
        "std_msgs/msg/Header",
        frame_id="front",
        stamp=module_client.host.messages.make("builtin_interfaces/msg/Time", sec=12, nanosec=5),
    )
    image = make.raw(picture(150, 60), header=header)
    assert ask("AddClass", "add_class", name="s", images=[image], masks=[make.raw(left_half())])
    with PrototypeStore(store, read_only=True) as found:
        (shot,) = found.read().classes[0].shots
    assert shot.source == "image 1 (front at 12.000000005)"
    assert shot.pixels == HEIGHT * WIDTH // 2


# What is refused ---------------------------------------------------------------------------------


def refusals(make):
    """List requests, and what the answer says."""
    image, mask = make.raw(picture(200, 10)), make.raw(left_half())
    jpeg = encode_jpeg(picture(200, 10))
    vectors = {"vectors": np.ones(SIZE, np.float32), "size": SIZE, "radius": 1.0}
    good = {"images": [image], "masks": [mask]}
    return {
        "no name": ({"name": " ", **good}, "empty"),
        "long name": ({"name": "x" * 65, **good}, "at most 64"),
        "nothing": ({}, "nothing to learn from"),
        "masks alone": ({"masks": [mask]}, "nothing to learn from"),
        "no mask": ({"images": [image]}, "1 images need as many masks, got 0"),
        "one mask too few": ({"images": [image] * 2, "masks": [mask]}, "2 images"),
        "other size": (
            {"images": [image], "masks": [make.raw(left_half()[:50])]},
            "image 1: the mask is 128x50, the image 128x96",
        ),
        "empty mask": ({"images": [image], "masks": [make.raw(0 * left_half())]}, "mask is empty"),
        "mask in colour": ({"images": [image], "masks": [image]}, "mask 1 is rgb8"),
        "jpeg mask": (
            {"images": [image], "compressed_masks": [make.packed(jpeg)]},
            "mask 1: a label image in jpeg",
        ),
        "unknown encoding": (
            {"images": [image, make.raw(picture(9, 9), encoding="weird")], "masks": [mask] * 2},
            "image 2: image encoding 'weird'",
        ),
        "wrong step": ({"images": [make.raw(picture(9, 9), step=7)], "masks": [mask]}, "step 7"),
        "cut image": (
            {"images": [make.raw(picture(9, 9), data=np.zeros(9, np.uint8))], "masks": [mask]},
            "cut short",
        ),
        "no pixels": ({"images": [make.raw(picture(9, 9), height=0)], "masks": [mask]}, "empty"),
        "cut jpeg": (
            {
                "compressed_images": [make.packed(jpeg._replace(data=jpeg.data[:-500]))],
                "masks": [mask],
            },
            "image 1: jpeg image is truncated",
        ),
        "both kinds": (
            {**good, "compressed_images": [make.packed(jpeg)]},
            "raw and compressed images",
        ),
        "both ways": ({**good, **vectors}, "images and vectors are given"),
        "vectors with masks": ({**vectors, "masks": [mask]}, "masks belong to images"),
        "other length": ({**vectors, "size": 4}, "embeddings of length 10"),
        "odd length": (
            {**vectors, "vectors": np.ones(SIZE + 1, np.float32)},
            "embeddings of length 10",
        ),
        "no radius": ({**vectors, "radius": 0.0}, "vectors need a radius"),
        "NaN radius": ({**vectors, "radius": float("nan")}, "vectors need a radius"),
        "NaN": ({**vectors, "vectors": np.full(SIZE, np.nan, np.float32)}, "NaN"),
        "other space": ({**vectors, "space": "ab" * 32}, "belong to model abab"),
        "two colours": ({**good, "color": np.array([1, 2], np.uint8)}, "a colour is three"),
        "negative radius": ({**good, "radius": -1.0}, "above 0, got -1"),
        "known class": ({"name": "Sky", **good}, "one of the model's own classes"),
        "double name": ({"name": "TAKEN", **good}, "there is a class 'taken' already"),
        "no slot": ({**good, "prototypes": 8}, "slots of model 'fake' are in use"),
    }


def test_what_does_not_fit_is_answered_in_one_line_and_changes_nothing(
    ask, clean, make, server, store
):
    one = {"vectors": np.ones(SIZE, np.float32), "size": SIZE, "radius": 1.0}
    assert ask("AddClass", "add_class", name="taken", **one).success
    version = ask("ListClasses", "list_classes").version
    for case, (fields, reason) in refusals(make).items():
        response = ask("AddClass", "add_class", **{"name": "sofa", **fields})
        told = (response.success, response.class_id, response.version)
        assert told == (False, 255, version), f"{case}: {response.message}"
        assert reason in response.message, f"{case}: {response.message}"
        assert "\n" not in response.message
        assert "internal" not in response.message
    for kind, name, fields in (
        ("RenameClass", "rename_class", {"name": "nobody", "new_name": "x"}),
        ("RenameClass", "rename_class", {"name": "taken", "new_name": "sky"}),
        ("RemoveClass", "remove_class", {"name": "nobody"}),
    ):
        response = ask(kind, name, **fields)
        assert (response.success, response.class_id, response.version) == (False, 255, version)
        assert response.message
    assert [item.name for item in ask("ListClasses", "list_classes").classes] == ["taken"]
    assert "Traceback" not in server.output


# Looking after classes ---------------------------------------------------------------------------


def test_a_class_is_renamed_removed_and_brought_back(ask, clean, module_client, eventually):
    inbox = module_client.listen(PROTOTYPE_SET, "/prototypes", LATCHED)
    vectors = {"vectors": np.ones(SIZE, np.float32), "size": SIZE, "radius": 1.0}
    added = ask("AddClass", "add_class", name="sofa", **vectors)
    renamed = ask("RenameClass", "rename_class", name="Sofa", new_name="couch")
    removed = ask("RemoveClass", "remove_class", name="couch")
    undone = ask("Undo", "undo")
    assert [r.success for r in (added, renamed, removed, undone)] == [True] * 4
    assert {r.class_id for r in (added, renamed, removed, undone)} == {added.class_id}
    first = added.version
    assert [renamed.version, removed.version, undone.version] == [first + 1, first + 2, first + 3]
    assert "removed" in undone.message
    found = ask("ListClasses", "list_classes")
    assert (found.success, found.version, found.space) == (True, first + 3, FAKE_SPACE)
    (item,) = found.classes
    assert (item.name, item.size, len(item.vectors)) == ("couch", SIZE, 0)
    assert item.changed.sec >= item.created.sec > 0
    assert eventually(lambda: inbox and inbox[-1].version == first + 3)
    told = {message.version: [item.name for item in message.classes] for message in inbox}
    assert told[first + 3] == ["couch"]
    other = ask("AddClass", "add_class", name="other", **vectors)
    assert other.class_id == added.class_id + 1


def test_changes_of_another_process_are_noticed(ask, clean, store, module_client, eventually):
    inbox = module_client.listen(PROTOTYPE_SET, "/prototypes", LATCHED)
    with PrototypeStore(store) as found:
        manifest = FakeEngine().manifest
        found.add(
            "by hand",
            np.ones((1, SIZE), np.float32),
            0.5,
            space=FAKE_SPACE,
            known=manifest.classes,
            slots=manifest.slots,
        )
        version = found.version
    assert eventually(lambda: inbox and inbox[-1].version == version)
    assert [item.name for item in inbox[-1].classes] == ["by hand"]


def test_diagnostics_tell_the_version_and_the_slots(ask, clean, module_client, eventually):
    vectors = {"vectors": np.ones(3 * SIZE, np.float32), "size": SIZE, "radius": 1.0}
    version = ask("AddClass", "add_class", name="sofa", **vectors).version
    inbox = module_client.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")

    def values():
        found = [s for m in inbox for s in m.status if s.name == "prototype_server: store"]
        return {pair.key: pair.value for pair in found[-1].values} if found else {}

    assert eventually(lambda: values().get("prototype version") == str(version))
    assert values()["slots in use"] == "3 of 8"
    assert values()["classes"] == "1"


def test_two_clients_at_once_both_get_their_class(ask, clean, make, module_runtime, new_client):
    others = [new_client(module_runtime), new_client(module_runtime)]

    def add(number):
        image = make.raw(picture(60 * number + 20, 200 - 60 * number, number))
        name = f"class {number}"
        return others[number % 2].call(
            "AddClass",
            f"{SERVER}/add_class",
            name=name,
            images=[image],
            masks=[make.raw(left_half())],
        )

    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(add, range(4)))
    assert [r.success for r in responses] == [True] * 4, [r.message for r in responses]
    assert len({r.class_id for r in responses}) == len({r.version for r in responses}) == 4
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(lambda c: add_vector(c, "wanted by both"), others))
    assert sorted(r.success for r in again) == [False, True]
    assert len(ask("ListClasses", "list_classes").classes) == 5


def add_vector(client, name):
    return client.call(
        "AddClass",
        f"{SERVER}/add_class",
        name=name,
        vectors=np.ones(SIZE, np.float32),
        size=SIZE,
        radius=1.0,
    )
