"""Recording: a drive written as a bag reads back as it was rendered."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from owseg.errors import OutputError, UsageError
from owseg.scenes import SceneConfig, render_drive, write_drive

CONFIG = SceneConfig(width=160, height=120, seed=21)


def test_round_trip(tmp_path: Path) -> None:
    done: list[int] = []
    folder = write_drive(tmp_path / "drive", CONFIG, 3, fps=4.0, progress=done.append)
    assert done == [1, 2, 3]
    with AnyReader([folder]) as reader:
        messages: dict[str, list[tuple[int, object]]] = {}
        for link, stamp, raw in reader.messages():
            message = reader.deserialize(raw, link.msgtype)
            messages.setdefault(link.topic, []).append((stamp, message))
    assert {topic: len(found) for topic, found in messages.items()} == {
        "/camera/image_raw/compressed": 3,
        "/camera/camera_info": 3,
        "/ground_truth/labels": 3,
    }
    stamps = [1_700_000_000_000_000_000 + i * 250_000_000 for i in range(3)]
    for found in messages.values():
        assert [stamp for stamp, _ in found] == stamps
        headers = [message.header for _, message in found]  # type: ignore[attr-defined]
        assert [h.stamp.sec * 10**9 + h.stamp.nanosec for h in headers] == stamps
        assert {h.frame_id for h in headers} == {"camera_optical"}
    for i, scene in enumerate(render_drive(CONFIG, 3, fps=4.0)):
        labels = messages["/ground_truth/labels"][i][1]
        assert (labels.encoding, labels.step) == ("mono8", 160)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(labels.data.reshape(120, 160), scene.labels)  # type: ignore[attr-defined]
        data = messages["/camera/image_raw/compressed"][i][1].data  # type: ignore[attr-defined]
        image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert np.abs(image.astype(int) - scene.image).mean() < 4
    info = messages["/camera/camera_info"][0][1]
    assert info.k[0] == pytest.approx(CONFIG.focal_px)  # type: ignore[attr-defined]
    assert info.k[5] == pytest.approx(CONFIG.horizon * CONFIG.height)  # type: ignore[attr-defined]


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists"):
        write_drive(tmp_path, CONFIG, 1)


def test_no_folder_is_left_behind_by_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_drive(tmp_path / "drive", CONFIG, 0)
    assert not (tmp_path / "drive").exists()
