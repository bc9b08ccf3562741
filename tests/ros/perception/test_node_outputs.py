"""Images in, outputs out: the same bytes as offline, the same header, only what is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from mcap.reader import make_reader

from owseg.engines import FakeEngine, fake_manifest
from owseg.images import decode_compressed, encode_jpeg, encode_png
from owseg.outputs import (
    CLUSTERS,
    CONFIDENCE,
    DETECTIONS,
    IMAGES,
    LABELS,
    MASK,
    OVERLAY,
    PROBABILITY,
)
from owseg.pipeline import Pipeline
from owseg.replay.messages import deserialize
from owseg.replay.runner import OUTPUT, Progress, Replay, ReplayOptions
from owseg.replay.samples import Sample
from owseg.types import Frame
from owseg_ros.perception.detections import DETECTION_ARRAY
from owseg_ros.perception.parameters import Settings
from owseg_ros.watchdog import RAW

LAZY = Settings(threshold=0.5, opacity=0.5, lazy=True, max_age_ms=0.0, image_timeout_s=5.0)
STAMPS = tuple(number * 10**9 + 7 for number in range(1, 6))


class Frames:
    """A source of images for a replay."""

    name = description = "frames"

    def __init__(self, images):
        self.images, self.count = images, len(images)

    def __iter__(self):
        for index, (image, stamp) in enumerate(zip(self.images, STAMPS, strict=False)):
            yield Sample(
                frame=Frame(image=image, stamp_ns=stamp, frame_id="optical", index=index),
                log_time_ns=stamp,
            )

    def close(self):
        pass


def recorded(images, folder, manifest):
    """Replay images offline; return what was recorded: (topic, CDR) in its order."""
    pipeline = Pipeline(FakeEngine(manifest))
    Replay(Frames(images), pipeline, ReplayOptions(out=folder)).run(Progress())
    with open(folder / OUTPUT, "rb") as file:
        return [
            (channel.topic[1:], schema.name, message.data)
            for schema, channel, message in make_reader(file).iter_messages()
        ]


def fields_of(message):
    stamp = message.header.stamp
    data = np.asarray(message.data, np.uint8).tobytes()
    return (
        (stamp.sec, stamp.nanosec, message.header.frame_id),
        (message.height, message.width, message.encoding, message.is_bigendian, message.step),
        data,
    )


def detections_of(message):
    """Give stamp and frame, and of each detection all that is not blank."""
    found = []
    for item in message.detections:
        (result,) = item.results
        center, pose = item.bbox.center, result.pose.pose
        assert item.header.stamp == message.header.stamp
        assert item.header.frame_id == message.header.frame_id
        assert (center.theta, pose.position.x, pose.orientation.w) == (0.0, 0.0, 1.0)
        assert not np.asarray(result.pose.covariance).any()
        found.append(
            (
                item.id,
                (result.hypothesis.class_id, result.hypothesis.score),
                (center.position.x, center.position.y, item.bbox.size_x, item.bbox.size_y),
            )
        )
    stamp = message.header.stamp
    return (stamp.sec, stamp.nanosec, message.header.frame_id), found


def labels_of(message):
    return [(item.class_id, item.class_name) for item in message.class_map], message.threshold


def block(left, top, width, height, shape=(96, 128)):
    """Give an image with one unknown object, which is certain."""
    image = np.zeros((*shape, 3), np.uint8)
    image[top : top + height, left : left + width, 2] = 255
    return image


def dots():
    """Give an image with 768 unknown objects."""
    image = np.zeros((96, 128, 3), np.uint8)
    image[0::4, 0::4, 2] = image[1::4, 0::4, 2] = 255
    image[0::4, 1::4, 2] = image[1::4, 1::4, 2] = 255
    return image


@pytest.fixture
def one_by_one(friend, eventually):
    """Send images and wait for all outputs of each; return the messages in their order."""

    def send(images, prefix="", send_one=friend.send, topic=None, outputs=IMAGES):
        friend.listen_to_all(prefix)

        def count():
            return sum(name.endswith(outputs) for name, _ in friend.got)

        for image, stamp in zip(images, STAMPS, strict=False):
            wanted = count() + len(outputs)
            send_one(image, stamp, topic or f"{prefix}image")
            assert eventually(lambda wanted=wanted: count() == wanted)
        return friend.got

    return send


def test_every_output_has_the_bytes_of_the_offline_replay(
    perception, friend, tricks, one_by_one, noise, tmp_path, kinds
):
    tricks.manifest = fake_manifest(96, 128)
    images = [noise(96, 128), noise(48, 64, 1), noise(100, 200, 2), dots(), dots() * 0]
    perception()
    friend.listen(DETECTION_ARRAY, DETECTIONS)
    got = one_by_one(images, outputs=(*IMAGES, DETECTIONS))
    expected = recorded(images, tmp_path, tricks.manifest)
    assert len(expected) == 1 + 5 * len((*IMAGES, DETECTIONS))
    for topic in IMAGES:
        mine = [fields_of(message) for name, message in got if name == topic]
        theirs = [fields_of(deserialize(data, kind)) for n, kind, data in expected if n == topic]
        assert mine == theirs, topic
    encodings = [fields_of(m)[1][2] for m in friend.of(CLUSTERS)]
    assert encodings == ["mono8", "mono8", "mono8", "16UC1", "mono8"]
    mine = [detections_of(message) for message in friend.of(DETECTIONS)]
    kept = [deserialize(data, kind) for name, kind, data in expected if name == DETECTIONS]
    assert mine == [detections_of(message) for message in kept]
    assert [len(found) for _, found in mine][3:] == [768, 0]
    if kinds[0] == "standalone":
        encode = friend.host.messages.encode
        for topic, kind in ((MASK, RAW), (DETECTIONS, DETECTION_ARRAY)):
            mine = [b"".join(map(bytes, encode(m, kind))) for name, m in got if name == topic]
            assert mine == [bytes(data) for name, _, data in expected if name == topic]


def test_the_labels_are_those_of_the_offline_replay(
    perception, friend, tricks, one_by_one, noise, tmp_path
):
    perception()
    one_by_one([noise()])
    expected = recorded([noise()], tmp_path, tricks.manifest)
    (theirs,) = [deserialize(data, kind) for name, kind, data in expected if name == LABELS]
    (mine,) = friend.of(LABELS)
    assert labels_of(mine) == labels_of(theirs)
    assert labels_of(mine)[0][-1] == (255, "unknown")
    assert labels_of(mine)[1] == 0.5


def test_two_cameras_share_one_engine(perception, friend, tricks, one_by_one, noise):
    perception(cameras="[front, left/wide]")
    assert tricks.opened == 1
    images = {"front/": noise(24, 32, 1), "left/wide/": noise(24, 32, 2)}
    for prefix, image in images.items():
        one_by_one([image], prefix)
        pipeline = Pipeline(FakeEngine(tricks.manifest))
        (mask,) = friend.of(prefix + MASK)
        expected = pipeline.process(Frame(image=image)).open_set
        assert np.asarray(mask.data).tobytes() == expected.tobytes()
        assert len(friend.of(prefix + LABELS)) == 1
    assert len(tricks.threads) == 1


def test_an_unknown_object_is_a_detection_with_its_box_and_keeps_its_id(
    perception, friend, tricks, eventually
):
    tricks.manifest = fake_manifest(96, 128)
    perception()
    friend.listen(DETECTION_ARRAY, DETECTIONS)
    places = ((40, 16), (44, 16), (44, 20))
    for count, (left, top) in enumerate(places, start=1):
        friend.send(block(left, top, 24, 32), STAMPS[count - 1])
        assert eventually(lambda count=count: len(friend.of(DETECTIONS)) == count)
    friend.send(block(0, 0, 0, 0), STAMPS[3])
    assert eventually(lambda: len(friend.of(DETECTIONS)) == 4)
    assert [detections_of(message) for message in friend.of(DETECTIONS)] == [
        ((1, 7, "optical"), [("1", ("unknown", 1.0), (52.0, 32.0, 24.0, 32.0))]),
        ((2, 7, "optical"), [("1", ("unknown", 1.0), (56.0, 32.0, 24.0, 32.0))]),
        ((3, 7, "optical"), [("1", ("unknown", 1.0), (56.0, 36.0, 24.0, 32.0))]),
        ((4, 7, "optical"), []),
    ]


def test_each_camera_has_detection_ids_of_its_own(perception, friend, tricks, eventually):
    tricks.manifest = fake_manifest(96, 128)
    perception(cameras="[front, rear]")
    places = {"front/": (8, 8), "rear/": (80, 40)}
    for prefix in places:
        friend.listen(DETECTION_ARRAY, prefix + DETECTIONS)
    for turn in range(2):
        for prefix, (left, top) in places.items():
            friend.send(block(left, top, 16, 16), STAMPS[turn], f"{prefix}image")
            topic = prefix + DETECTIONS
            assert eventually(lambda topic=topic, turn=turn: len(friend.of(topic)) == turn + 1)
    for prefix, (left, top) in places.items():
        for message in friend.of(prefix + DETECTIONS):
            ((number, _, box),) = detections_of(message)[1]
            assert (number, box) == ("1", (left + 8.0, top + 8.0, 16.0, 16.0))


@pytest.mark.parametrize("encode", [encode_jpeg, lambda image: encode_png(image[..., 0])])
def test_compressed_images(perception, friend, tricks, one_by_one, noise, encode):
    perception(image_transport="compressed")
    fields = encode(noise(24, 32, 3))
    one_by_one([fields.data], send_one=friend.send_compressed, topic="image/compressed")
    image = decode_compressed(fields)
    expected = Pipeline(FakeEngine(tricks.manifest)).process(Frame(image=image))
    assert np.asarray(friend.of(MASK)[0].data).tobytes() == expected.open_set.tobytes()
    assert fields_of(friend.of(MASK)[0])[0] == (1, 7, "optical")


def test_encodings_and_padded_rows(perception, friend, tricks, eventually, noise):
    perception()
    friend.listen(RAW, MASK)
    turns = {
        "bgr8": lambda image: image[..., ::-1],
        "rgba8": lambda image: np.dstack([image, image[..., :1]]),
        "bgra8": lambda image: np.dstack([image[..., ::-1], image[..., :1]]),
    }
    for seed, (encoding, turn) in enumerate(turns.items()):
        image = noise(seed=seed)
        pixels = np.ascontiguousarray(turn(image)).reshape(24, -1)
        rows = np.pad(pixels, ((0, 0), (0, 5)), constant_values=99)
        changes = {"encoding": encoding, "step": rows.shape[1], "data": rows.reshape(-1)}
        friend.send(image, **changes)
        assert eventually(lambda count=seed + 1: len(friend.of(MASK)) == count)
        expected = Pipeline(FakeEngine(tricks.manifest)).process(Frame(image=image)).open_set
        assert np.asarray(friend.of(MASK)[-1].data).tobytes() == expected.tobytes(), encoding


# Lazy --------------------------------------------------------------------------------------------


def test_nobody_listens_and_nothing_is_computed(perception, friend, tricks, eventually, noise):
    node = perception()
    warm_up = len(tricks.seen)
    for _ in range(3):
        friend.send(noise())
        assert eventually(lambda: friend.publishers["image"].subscribers)
    assert eventually(lambda: counts(node).get("idle"))
    assert len(tricks.seen) == warm_up
    friend.listen(RAW, MASK)

    def seen():
        friend.send(noise(), 5 * 10**9)
        return friend.of(MASK)

    assert eventually(seen)
    assert len(tricks.seen) > warm_up
    friend.subscriptions[MASK].destroy()

    def idle_again():
        before = counts(node)["idle"]
        friend.send(noise())
        return eventually(lambda: counts(node)["idle"] > before, 0.2)

    assert eventually(idle_again)


def counts(node):
    (camera,) = node._cameras
    return camera.tally().counts


def test_only_what_is_asked_for_is_computed(
    perception, friend, eventually, tricks, noise, monkeypatch
):
    asked = []

    def spy(name, result, opacity):
        asked.append((name, result.num_clusters > 0))
        return result.open_set

    def spy_on_objects(objects):
        asked.append((DETECTIONS, len(objects) > 0))
        return []

    monkeypatch.setattr("owseg_ros.perception.outputs.array_of", spy)
    monkeypatch.setattr("owseg_ros.perception.outputs.detections", spy_on_objects)
    node = perception()
    for topic in (*IMAGES, DETECTIONS):
        friend.listen(DETECTION_ARRAY if topic == DETECTIONS else RAW, topic)
        assert eventually(lambda topic=topic: node._cameras[0]._outputs.wanted(LAZY) == (topic,))
        friend.send(noise())
        assert eventually(lambda topic=topic: friend.of(topic))
        friend.subscriptions[topic].destroy()
    grouped = (CLUSTERS, DETECTIONS, OVERLAY)
    assert asked == [(topic, topic in grouped) for topic in (*IMAGES, DETECTIONS)]


def test_everything_is_sent_on_request(perception, friend, eventually, tricks, noise):
    node = perception(lazy=False)
    friend.send(noise())
    assert eventually(lambda: counts(node).get("processed"))
    assert not counts(node).get("idle")


def test_a_late_subscriber_gets_labels_at_once_and_then_images(
    perception, friend, eventually, tricks, noise
):
    perception()
    friend.listen(RAW, CONFIDENCE)
    friend.send(noise())
    assert eventually(lambda: friend.of(CONFIDENCE))
    friend.listen_to_all("")
    assert eventually(lambda: friend.of(LABELS))
    assert labels_of(friend.of(LABELS)[0])[0][0] == (0, "sky")
    assert friend.of(MASK) == []
    friend.send(noise())
    assert eventually(lambda: friend.of(MASK) and friend.of(PROBABILITY))
