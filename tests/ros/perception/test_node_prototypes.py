"""Classes learnt elsewhere: swapped in between two frames, named before they are seen."""

from __future__ import annotations

import numpy as np
import pytest

from owseg.engines.fake import FAKE_SPACE
from owseg.errors import PrototypeError
from owseg.outputs import LABELS, MASK
from owseg_ros.hosts.qos import LATCHED
from owseg_ros.perception.prototype_sets import prototype_set_of
from owseg_ros.watchdog import RAW

LABEL_INFO = "vision_msgs/msg/LabelInfo"
SIZE = 10


def vector(red, green):
    """Give the embedding that the fake engine has for a colour."""
    return [red / 255, green / 255, *[0.0] * (SIZE - 2)]


@pytest.fixture
def gray():
    """Make an image that is known as class 0, unless somebody claims it."""
    return np.full((24, 32, 3), 10, np.uint8)


@pytest.fixture
def node(perception, friend, tricks):
    node = perception()
    friend.listen_to_all()
    return node


@pytest.fixture
def mask_of(friend, eventually):
    """Send an image and return the ids in its mask."""

    def send(image):
        count = len(friend.of(MASK))
        friend.send(image, friend.host.clock.now_ns())
        assert eventually(lambda: len(friend.of(MASK)) > count)
        return set(np.asarray(friend.of(MASK)[-1].data).tolist())

    return send


def names_in(message):
    return {item.class_id: item.class_name for item in message.class_map}


def teach(friend, node, eventually, *classes, version=1, space=FAKE_SPACE):
    friend.teach(classes, space, version)
    assert eventually(lambda: node._model.pipeline.prototypes.version == version)


def test_a_new_class_is_in_the_next_frame_and_was_named_before(
    node, friend, mask_of, gray, eventually
):
    assert mask_of(gray) == {0}
    assert eventually(lambda: len(friend.of(LABELS)) == 1)
    teach(friend, node, eventually, (12, "kangaroo", [vector(10, 10)], 0.01))
    assert mask_of(gray) == {12}
    assert eventually(lambda: len(friend.of(LABELS)) == 2)
    first, second = friend.of(LABELS)
    assert 12 not in names_in(first)
    assert names_in(second)[12] == "kangaroo"
    assert names_in(second)[255] == "unknown"
    teach(friend, node, eventually, version=2)
    assert mask_of(gray) == {0}
    assert eventually(lambda: len(friend.of(LABELS)) == 3)
    assert 12 not in names_in(friend.of(LABELS)[2])


def test_labels_come_before_the_mask_whoever_is_first(perception, friend, tricks, eventually, gray):
    node = perception()
    order = []
    outputs = node._cameras[0]._outputs
    for publisher in (outputs._labels, outputs._publishers[MASK]):
        send = publisher.publish

        def note(message, send=send, topic=publisher.topic):
            if topic.endswith(MASK):
                order.append(("mask", int(np.asarray(message.data)[0])))
            else:
                order.append(("labels", 12 in names_in(message)))
            return send(message)

        publisher.publish = note
    friend.listen(RAW, MASK)
    tricks.go.clear()
    tricks.running.clear()
    friend.send(gray, 10**9)
    assert tricks.running.wait(5)
    friend.send(gray, 2 * 10**9)
    assert eventually(lambda: node._cameras[0].tally().counts["received"] == 2)
    teach(friend, node, eventually, (12, "kangaroo", [vector(10, 10)], 0.01))
    tricks.go.set()
    assert eventually(lambda: len(order) == 3)
    assert order == [("mask", 0), ("labels", True), ("mask", 12)]


def test_without_images_the_labels_are_news_too(node, friend, eventually):
    assert eventually(lambda: len(friend.of(LABELS)) == 1)
    teach(friend, node, eventually, (12, "kangaroo", [vector(10, 10)], 0.01))
    assert eventually(lambda: len(friend.of(LABELS)) == 2)
    late = friend.host.subscription
    got = []
    late(LABEL_INFO, LABELS, got.append, friend.subscriptions[LABELS].qos)
    assert eventually(lambda: got)
    assert names_in(got[-1])[12] == "kangaroo"


def test_the_same_labels_are_not_repeated(node, friend, mask_of, gray, eventually):
    teach(friend, node, eventually, (12, "kangaroo", [vector(10, 10)], 0.01))
    teach(friend, node, eventually, (12, "kangaroo", [vector(99, 99)], 0.01), version=2)
    for _ in range(3):
        mask_of(gray)
    assert eventually(lambda: len(friend.of(LABELS)) == 2)


def test_every_camera_names_the_class(perception, friend, tricks, eventually):
    node = perception(cameras="[a, b]")
    for prefix in ("a/", "b/"):
        friend.listen_to_all(prefix)
    teach(friend, node, eventually, (12, "kangaroo", [vector(10, 10)], 0.01))
    for prefix in ("a/", "b/"):
        assert eventually(lambda prefix=prefix: len(friend.of(prefix + LABELS)) == 2)
        assert names_in(friend.of(prefix + LABELS)[1])[12] == "kangaroo"


def test_a_set_that_was_published_before_the_node_started(perception, friend, tricks, eventually):
    friend.publishers["prototypes"] = friend.host.publisher(
        "owseg_msgs/msg/PrototypeSet", "prototypes", LATCHED
    )
    friend.publish("owseg_msgs/msg/PrototypeSet", "prototypes", set_message(friend), wait=False)
    node = perception()
    assert eventually(lambda: node._model.pipeline.prototypes.version == 5)


def test_a_set_of_another_network_is_refused(node, friend, mask_of, gray, eventually, capfd):
    teach(friend, node, eventually, (12, "kangaroo", [vector(10, 10)], 0.01))
    friend.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    friend.teach([(12, "sofa", [vector(10, 10)], 0.01)], "0" * 64, version=2)
    assert eventually(lambda: node._prototype_problem)
    assert mask_of(gray) == {12}
    assert names_in(friend.of(LABELS)[-1])[12] == "kangaroo"
    assert eventually(lambda: (found := status(friend)) and found.level == 2)
    assert "set 2 is not in use: the novel classes belong to model" in status(friend).message
    assert status(friend).values["version"] == "1"
    assert "not to 'fake'" in capfd.readouterr().err
    teach(friend, node, eventually, version=3)
    assert node._prototype_problem == ""


def status(friend):
    return friend.status("perception: prototypes")


# Reading a set -----------------------------------------------------------------------------------


def set_message(friend, classes=None, **changes):
    values = {
        "id": 12,
        "name": "kangaroo",
        "color": np.array([1, 2, 3], np.uint8),
        "radius": 0.5,
        "size": SIZE,
        "vectors": np.arange(2 * SIZE, dtype=np.float32),
    } | changes
    item = friend.make("owseg_msgs/msg/Prototype", **values)
    return friend.make(
        "owseg_msgs/msg/PrototypeSet", space=FAKE_SPACE, version=5, classes=[item] * (classes or 1)
    )


def test_a_set_is_read_whole(friend):
    message = set_message(friend)
    found = prototype_set_of(message)
    assert (found.space, found.version) == (FAKE_SPACE, 5)
    (item,) = found.classes
    assert (item.id, item.name, item.color, item.radius) == (12, "kangaroo", (1, 2, 3), 0.5)
    assert item.vectors.dtype == np.float32
    assert item.vectors.tolist() == np.arange(2.0 * SIZE).reshape(2, SIZE).tolist()
    assert not np.shares_memory(item.vectors, np.asarray(message.classes[0].vectors))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": 0}, "no whole vectors of length 0"),
        ({"size": 7}, "20 numbers, which are no whole vectors of length 7"),
        ({"vectors": np.zeros(0, np.float32)}, r"shape \(M, D\) with M of at least 1"),
        ({"vectors": np.full(SIZE, np.nan, np.float32)}, "NaN"),
        ({"radius": 0.0}, "radius"),
        ({"radius": float("nan")}, "radius"),
        ({"name": ""}, "name"),
        ({"classes": 2}, r"same id: \[12, 12\]"),
    ],
)
def test_bad_sets(friend, changes, reason):
    with pytest.raises(PrototypeError, match=reason):
        prototype_set_of(set_message(friend, **changes))


def test_two_classes_with_one_name_are_refused(friend):
    message, other = set_message(friend), set_message(friend, id=13)
    message.classes = [*message.classes, *other.classes]
    with pytest.raises(PrototypeError, match="the same name: "):
        prototype_set_of(message)


def test_a_bad_set_leaves_the_node_as_it_was(node, friend, mask_of, gray, eventually):
    teach(friend, node, eventually, (12, "kangaroo", [vector(10, 10)], 0.01))
    friend.teach([(3, "road", [vector(10, 10)], 0.01)], FAKE_SPACE, version=2)
    assert eventually(lambda: "has the id 3" in node._prototype_problem)
    friend.teach([(13, "x", [[1.0] * (SIZE + 1)], 0.01)], FAKE_SPACE, version=3)
    assert eventually(lambda: "set 3 is not in use" in node._prototype_problem)
    assert mask_of(gray) == {12}
