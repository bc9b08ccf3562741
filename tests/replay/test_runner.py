"""A replay from end to end: its three files, and what is left of them when it stops early."""

from __future__ import annotations

import gc
import json
import os
import shutil
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from owseg.datasets import load_truth_map
from owseg.engines import FakeEngine, OnnxRuntimeEngine, fake_manifest
from owseg.errors import BagError, ImageError, InputError, OutputError, TruthError
from owseg.evaluation import Evaluation
from owseg.images import decode_label_image
from owseg.outputs import confidence
from owseg.pipeline import Pipeline
from owseg.prototypes import NovelClass, PrototypeSet
from owseg.replay.messages import deserialize
from owseg.replay.runner import (
    METRICS,
    OUTPUT,
    REPORT,
    Progress,
    Replay,
    ReplayOptions,
    make_folder,
    write_json,
)
from owseg.replay.samples import Sample
from owseg.replay.sources import open_source
from owseg.types import Frame, Result

LABELS = "/ground_truth/labels"
SECOND = 10**9


@pytest.fixture(scope="module")
def engine(tiny_bundle):
    from owseg.bundle import load_bundle

    with OnnxRuntimeEngine(load_bundle(tiny_bundle), "cpu", threads=1) as engine:
        yield engine


class MadeSource:
    """Yields scenes; may stop with an error before one of them."""

    name = "made"
    description = "made"

    def __init__(self, scene_of, frames, *, stop_at=None, error=None, truth=True):
        self.count = frames
        self.taken = 0
        self._scene_of, self._truth = scene_of, truth
        self._stop_at, self._error = stop_at, error

    def __iter__(self):
        for index in range(self.count):
            if index == self._stop_at:
                raise self._error
            image, labels = self._scene_of(index % 12)
            stamp = (1 + index) * SECOND
            frame = Frame(image=image, stamp_ns=stamp, frame_id="cam", index=index)
            self.taken += 1
            yield Sample(
                frame=frame, truth=labels if self._truth else None, log_time_ns=stamp, decode_ms=1.5
            )


class CountingProgress(Progress):
    """Counts what passes and how often it is closed."""

    def __init__(self):
        self.seen = self.closed = 0

    def __call__(self, samples):
        for sample in samples:
            yield sample
            self.seen += 1

    def close(self):
        self.closed += 1


def replay_of(source, engine, out, truth_map=None, **options):
    evaluation = None
    if truth_map is not None:
        evaluation = Evaluation(engine.manifest, load_truth_map(truth_map))
    return Replay(source, Pipeline(engine), ReplayOptions(out=out, **options), evaluation)


def masks_in(out, topic="/segmentation/mask"):
    """Give stamp (s) and ids of each image in output.mcap."""
    with AnyReader([out / OUTPUT]) as reader:
        links = [c for c in reader.connections if c.topic == topic]
        found = [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages(links)]
    return [(m.header.stamp.sec, decode_label_image(m)) for m in found]


def metrics_in(out):
    return json.loads((out / METRICS).read_text())


# A whole replay --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory, engine, street_bag, tiny_truth_map):
    """Replay the street bag once, with truth."""
    out = tmp_path_factory.mktemp("whole") / "a" / "b"
    progress = CountingProgress()
    with open_source(street_bag, truth_topic=LABELS) as source:
        replay = replay_of(source, engine, out, tiny_truth_map, command="owseg replay x")
        metrics = replay.run(progress)
    return SimpleNamespace(out=out, metrics=metrics, progress=progress)


def test_metrics_are_returned_and_written(whole):
    assert metrics_in(whole.out) == whole.metrics
    assert sorted(p.name for p in whole.out.iterdir()) == sorted([METRICS, OUTPUT, REPORT])


def test_keys_of_metrics_json(whole):
    metrics = whole.metrics
    keys = {"frames", "drops", "latency_ms", "miou", "iou", "anomaly", "anomaly_per_image"}
    assert keys | {"components", "ece"} <= metrics.keys()
    stages = metrics["latency_ms"]
    assert {"decode", "inference", "grouping", "evaluate", "encode", "total"} <= stages.keys()
    for figures in stages.values():
        assert set(figures) == {"mean", "p50", "p95"}
        assert 0 <= figures["p50"] <= figures["p95"]
    assert stages["total"]["mean"] >= stages["inference"]["mean"]
    assert {"auroc", "aupr", "fpr95"} <= metrics["anomaly"].keys()
    assert {"siou", "ppv", "f1"} <= metrics["components"].keys()
    assert set(metrics["iou"]) == {"road", "tree", "sky"}


def test_figures_of_the_street(whole):
    metrics = whole.metrics
    assert (metrics["frames"], metrics["drops"], metrics["interrupted"]) == (4, 0, False)
    assert (metrics["model"], metrics["engine"]) == ("tiny", "onnxruntime")
    assert metrics["source"] == "street"
    assert metrics["threshold"] == 0.5
    assert metrics["fps"] > 0
    assert metrics["frames_with_truth"] == 4
    assert metrics["iou"] == {"road": 1.0, "tree": 1.0, "sky": 1.0}
    assert metrics["anomaly"] == {"auroc": 1.0, "aupr": 1.0, "fpr95": 0.0}
    # scores: road 10, tree 30, sky 100, thing 255, all / 255; pixels without the void row
    tree, thing = 12 * 6, 6 * 6
    sky, road = 12 * 32 - 8 * 6, 11 * 32 - 4 * 6 - thing
    gaps = (10 * road + 30 * tree + 100 * sky) / 255
    assert metrics["ece"] == pytest.approx(gaps / (road + tree + sky + thing), abs=1e-6)


def test_the_recording_holds_what_the_pipeline_said(whole, scene_of):
    masks, clusters = masks_in(whole.out), masks_in(whole.out, "/clusters/mask")
    certain = masks_in(whole.out, "/segmentation/confidence")
    assert [stamp for stamp, _ in masks] == [1, 2, 3, 4]
    for index in range(4):
        truth = scene_of(index)[1]
        counts = truth != 11
        want = np.where(truth == 7, 255, truth)
        np.testing.assert_array_equal(masks[index][1][counts], want[counts])
        np.testing.assert_array_equal(clusters[index][1], truth == 7)
        assert set(certain[index][1][truth == 7]) == {0}
        assert set(certain[index][1][truth == 2]) == {155}


def test_the_recording_is_a_source_again(whole, street_bag):
    with (
        open_source(street_bag, topic="/camera/image_raw") as before,
        open_source(whole.out / OUTPUT, topic="/camera/image_raw") as after,
    ):
        for old, new in zip(before, after, strict=True):
            assert (old.message.data, old.log_time_ns) == (new.message.data, new.log_time_ns)


def test_the_report_names_what_was_replayed(whole):
    text = (whole.out / REPORT).read_text(encoding="utf-8")
    for part in ("street", "tiny", "owseg replay x", "thing"):
        assert part in text


def test_progress_sees_each_frame_and_is_closed_once(whole):
    assert (whole.progress.seen, whole.progress.closed) == (4, 1)


# Novel classes ---------------------------------------------------------------------------------


BLUE = np.array([[0, 0, 1]], np.float32)
"""The thing of the street in the embedding of the tiny bundle."""


def learnt_set(engine, *names):
    classes = tuple(
        NovelClass(id=9 + i, name=name, color=(7, 8, 9 + i), radius=0.01, vectors=BLUE + 2 * i)
        for i, name in enumerate(names)
    )
    return PrototypeSet(space=engine.space, version=4, classes=classes)


@pytest.fixture(scope="module")
def named(tmp_path_factory, engine, street_bag, tiny_truth_map):
    """Replay the street bag with the thing as a novel class, and one that is never seen."""
    out = tmp_path_factory.mktemp("named")
    pipeline = Pipeline(engine)
    pipeline.set_prototypes(learnt_set(engine, "thing", "ghost"))
    truth_map = load_truth_map(tiny_truth_map)
    evaluation = Evaluation(engine.manifest, truth_map, pipeline.prototypes.classes)
    with open_source(street_bag, truth_topic=LABELS) as source:
        metrics = Replay(source, pipeline, ReplayOptions(out=out), evaluation).run(Progress())
    return SimpleNamespace(out=out, metrics=metrics)


def test_novel_classes_are_in_the_masks(named, scene_of):
    masks, clusters = masks_in(named.out), masks_in(named.out, "/clusters/mask")
    for index in range(4):
        truth = scene_of(index)[1]
        np.testing.assert_array_equal(masks[index][1] == 9, truth == 7)
        assert not clusters[index][1].any()


def test_novel_classes_are_in_the_legend_of_the_recording(named):
    with AnyReader([named.out / OUTPUT]) as reader:
        links = [c for c in reader.connections if c.topic == "/segmentation/label_info"]
        infos = [deserialize(raw, c.msgtype) for c, _, raw in reader.messages(links)]
    names = {entry.class_id: entry.class_name for info in infos for entry in info.class_map}
    want = {0: "road", 1: "tree", 2: "sky", 9: "thing", 10: "ghost", 255: "unknown"}
    assert names == want


def test_novel_classes_are_in_the_metrics(named, whole):
    prototypes = named.metrics["prototypes"]
    assert prototypes["version"] == 4
    thing, ghost = prototypes["classes"]
    assert (thing["id"], thing["name"], thing["shots"], thing["prototypes"]) == (9, "thing", 0, 1)
    assert thing["share"] == pytest.approx(36 / (24 * 32))
    assert (ghost["name"], ghost["share"]) == ("ghost", 0)
    want = {"road": 1.0, "tree": 1.0, "sky": 1.0, "thing": 1.0}
    assert named.metrics["iou"] == want
    assert named.metrics["incremental"] == {"old": 1, "novel": 1, "all": 1, "harmonic": 1}
    assert named.metrics["anomaly"] == whole.metrics["anomaly"]
    assert metrics_in(named.out) == named.metrics
    assert "prototypes" not in whole.metrics


def test_novel_classes_are_in_the_report(named, whole):
    text = (named.out / REPORT).read_text(encoding="utf-8")
    for part in ("Learnt classes", "ghost", "#070809", "#07080a", "store at version 4"):
        assert part in text, part
    assert "Learnt classes" not in (whole.out / REPORT).read_text(encoding="utf-8")


def test_a_store_whose_classes_were_all_removed(tmp_path, engine, scene_of):
    replay = replay_of(MadeSource(scene_of, 1), engine, tmp_path)
    replay.pipeline.set_prototypes(PrototypeSet(space=engine.space, version=8))
    replay = Replay(replay.source, replay.pipeline, replay.options)
    assert replay.run(Progress())["prototypes"] == {"version": 8, "classes": []}


# Without truth, and in part ---------------------------------------------------------------------


def test_without_truth_there_are_no_figures_against_it(tmp_path, engine, scene_of):
    metrics = replay_of(MadeSource(scene_of, 3), engine, tmp_path).run(Progress())
    assert metrics["frames"] == 3
    assert "miou" not in metrics
    assert "evaluate" not in metrics["latency_ms"]
    assert metrics["latency_ms"]["decode"]["mean"] == pytest.approx(1.5)


def test_frames_without_truth_are_replayed_all_the_same(tmp_path, engine, scene_of, tiny_truth_map):
    source = MadeSource(scene_of, 3, truth=False)
    metrics = replay_of(source, engine, tmp_path, tiny_truth_map).run(Progress())
    assert (metrics["frames"], metrics["frames_with_truth"]) == (3, 0)
    assert metrics["miou"] is None


@pytest.mark.parametrize(("limit", "frames"), [(1, 1), (2, 2), (9, 5), (None, 5)])
def test_max_frames(tmp_path, engine, scene_of, limit, frames):
    source = MadeSource(scene_of, 5)
    metrics = replay_of(source, engine, tmp_path, max_frames=limit).run(Progress())
    assert metrics["frames"] == len(masks_in(tmp_path)) == frames
    assert source.taken == frames


def test_an_older_result_is_replaced(tmp_path, engine, scene_of):
    replay_of(MadeSource(scene_of, 4), engine, tmp_path).run(Progress())
    replay_of(MadeSource(scene_of, 2), engine, tmp_path).run(Progress())
    assert metrics_in(tmp_path)["frames"] == len(masks_in(tmp_path)) == 2


def test_the_engine_is_warm_before_the_first_frame(tmp_path, engine, scene_of):
    replay = replay_of(MadeSource(scene_of, 1), engine, tmp_path)
    order = []
    replay.pipeline.warm_up = lambda: order.append("warm")
    process = replay.pipeline.process
    replay.pipeline.process = lambda frame, **more: (
        order.append(frame.index) or process(frame, **more)
    )
    replay.run(Progress())
    assert order == ["warm", 0]


def test_confidence_is_the_rest_of_the_anomaly():
    frame = Frame(image=np.zeros((1, 5, 3), np.uint8))
    anomaly = np.array([[0, 0.2, 0.5, 0.999, 1]], np.float32)
    ids = np.zeros((1, 5), np.uint8)
    result = Result(
        frame=frame, known=ids, anomaly=anomaly, open_set=ids, clusters=ids.astype(np.uint16)
    )
    found = confidence(result)
    assert found.dtype == np.uint8
    assert found.tolist() == [[255, 204, 128, 0, 0]]


# Early ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ImageError("message 3 is damaged")])
def test_what_was_written_before_the_end_is_readable(
    tmp_path, engine, scene_of, tiny_truth_map, error
):
    source = MadeSource(scene_of, 9, stop_at=3, error=error)
    progress = CountingProgress()
    with pytest.raises(type(error)):
        replay_of(source, engine, tmp_path, tiny_truth_map).run(progress)
    metrics = metrics_in(tmp_path)
    assert metrics["interrupted"] is True
    assert metrics["frames"] == metrics["frames_with_truth"] == 3
    assert metrics["anomaly"]["auroc"] == 1.0
    assert [stamp for stamp, _ in masks_in(tmp_path)] == [1, 2, 3]
    assert "</html>" in (tmp_path / REPORT).read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([METRICS, OUTPUT, REPORT])
    assert progress.closed == 1


@pytest.mark.parametrize("stage", ["process", "update"])
def test_ctrl_c_within_a_frame(tmp_path, engine, scene_of, tiny_truth_map, stage):
    replay = replay_of(MadeSource(scene_of, 9), engine, tmp_path, tiny_truth_map)
    owner = replay.pipeline if stage == "process" else replay.evaluation
    whole = getattr(owner, stage)
    calls = []

    def stop(*args, **more):
        calls.append(args)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return whole(*args, **more)

    replay.pipeline.warm_up = lambda: None
    setattr(owner, stage, stop)
    with pytest.raises(KeyboardInterrupt):
        replay.run(Progress())
    assert metrics_in(tmp_path)["frames"] == len(masks_in(tmp_path)) == 4


def test_ctrl_c_before_the_first_frame(tmp_path, engine, scene_of):
    source = MadeSource(scene_of, 9, stop_at=0, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        replay_of(source, engine, tmp_path).run(Progress())
    assert masks_in(tmp_path) == []


def test_a_source_without_images(tmp_path, engine, scene_of):
    with pytest.raises(BagError, match="made has no image; nothing was replayed"):
        replay_of(MadeSource(scene_of, 0), engine, tmp_path).run(Progress())


def test_truth_of_another_size(tmp_path, engine, write_bag, scene_of, tiny_truth_map):
    image, truth = scene_of(0)
    frames = [("/camera/image_raw", SECOND, image), (LABELS, SECOND, truth[:-1])]
    bag = write_bag(tmp_path / "bag", frames)
    with (
        open_source(bag, truth_topic=LABELS) as source,
        pytest.raises(TruthError, match="frame 0 is 32x24, its ground truth 32x23"),
    ):
        replay_of(source, engine, tmp_path / "out", tiny_truth_map).run(Progress())


def test_truth_with_unknown_ids(tmp_path, engine, write_bag, scene_of, tiny_truth_map):
    frames = []
    for index in range(3):
        image, truth = scene_of(index)
        truth[0, 0] = 99 if index == 2 else 0
        stamp = (1 + index) * SECOND
        frames += [("/camera/image_raw", stamp, image), (LABELS, stamp, truth)]
    bag, out = write_bag(tmp_path / "bag", frames), tmp_path / "out"
    with (
        open_source(bag, truth_topic=LABELS) as source,
        pytest.raises(TruthError, match="does not list: 99"),
    ):
        replay_of(source, engine, out, tiny_truth_map).run(Progress())
    assert metrics_in(out)["frames"] == len(masks_in(out)) == 2


# Places that cannot be written -----------------------------------------------------------------


def test_a_file_where_the_folder_should_be(tmp_path, engine, scene_of):
    (tmp_path / "file").write_text("keep me")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=r"cannot create the folder .*file"):
            replay_of(MadeSource(scene_of, 1), engine, out).run(Progress())
    assert (tmp_path / "file").read_text() == "keep me"


def test_a_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match=f"cannot write into {tmp_path}; choose another"):
        make_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot write into"):
        make_folder(folder)
    with pytest.raises(OutputError, match=r"cannot create the folder .*: Permission denied"):
        make_folder(folder / "below")


@pytest.mark.parametrize("name", [OUTPUT, REPORT, METRICS])
def test_a_folder_where_a_file_should_be(tmp_path, engine, scene_of, name):
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match=name):
        replay_of(MadeSource(scene_of, 1), engine, tmp_path).run(Progress())


def test_a_folder_that_goes_away(tmp_path, engine, scene_of):
    out = tmp_path / "out"
    source = MadeSource(scene_of, 2)

    def samples():
        yield from MadeSource(scene_of, 2)
        shutil.rmtree(out)

    source.__class__ = type("Leaving", (MadeSource,), {"__iter__": lambda self: samples()})
    with pytest.raises(OutputError, match=r"output\.mcap"):
        replay_of(source, engine, out).run(Progress())


def test_json_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "m.json"
    write_json(path, {"a": [1, None]})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]
    with pytest.raises(OutputError, match=r"cannot write .*none.m\.json: No such file"):
        write_json(tmp_path / "none" / "m.json", {})


# Memory ----------------------------------------------------------------------------------------


def test_memory_is_flat_over_a_long_drive(tmp_path, scene_of):
    """From 700 frames on, when all bounded buffers are full, nothing more is kept."""
    engine = FakeEngine(fake_manifest(24, 32, ("road", "tree", "sky"), slots=2))
    held = {}

    class Measured(MadeSource):
        def __iter__(self):
            for sample in super().__iter__():
                if sample.frame.index in (700, 1300):
                    gc.collect()
                    held[sample.frame.index] = tracemalloc.get_traced_memory()[0]
                yield sample

    tracemalloc.start()
    try:
        replay_of(Measured(scene_of, 1301), engine, tmp_path).run(Progress())
    finally:
        tracemalloc.stop()
    frame_bytes = 24 * 32 * (3 + 1 + 4 + 1 + 2)
    # One chunk of the recording, 1 MiB and its compressed copy, may be in the making.
    assert held[1300] - held[700] < 2.5e6 < 0.5 * 600 * frame_bytes


def test_no_error_of_the_source_is_swallowed(tmp_path, engine, scene_of):
    source = MadeSource(scene_of, 4, stop_at=2, error=InputError("gone"))
    with pytest.raises(InputError, match=r"^gone$"):
        replay_of(source, engine, tmp_path).run(Progress())
