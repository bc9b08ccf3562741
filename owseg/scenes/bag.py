"""Recording: a drive as a ROS 2 bag (mcap), with camera, calibration and ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from owseg.errors import OutputError
from owseg.scenes.config import SceneConfig
from owseg.scenes.render import render_drive
from owseg.scenes.scene import Scene

FRAME_ID = "camera_optical"
START_NS = 1_700_000_000_000_000_000
"""Time stamp of the first frame, nanoseconds since the epoch."""
TOPICS = {
    "image": ("/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage"),
    "info": ("/camera/camera_info", "sensor_msgs/msg/CameraInfo"),
    "labels": ("/ground_truth/labels", "sensor_msgs/msg/Image"),
}


def write_drive(
    path: str | Path,
    config: SceneConfig,
    num_frames: int,
    fps: float = 10.0,
    *,
    quality: int = 95,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Render a drive and record it.

    Args:
        path: folder to be created; it must not exist.
        config: world and camera.
        num_frames: number of frames, at least 1.
        fps: frames per second.
        quality: JPEG quality of the images, 1..100.
        progress: called with the number of frames written so far.

    Returns:
        The folder; `FRAME_ID` is the frame of all messages, stamps start at `START_NS`.

    Raises:
        UsageError: the number of frames or the frame rate makes no sense.
        OutputError: the folder exists or cannot be written.
    """
    folder = Path(path)
    scenes = render_drive(config, num_frames, fps)
    if folder.exists():
        raise OutputError(f"{folder} exists; give a new folder for the drive")
    try:
        _record(folder, config, scenes, quality, progress)
    except OSError as error:
        raise OutputError(f"cannot write the drive to {folder}: {error}") from error
    return folder


def _record(
    folder: Path,
    config: SceneConfig,
    scenes: Iterator[Scene],
    quality: int,
    progress: Callable[[int], None] | None,
) -> None:
    """Write all frames."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP))
        links = {
            name: writer.add_connection(topic, msgtype, typestore=store)
            for name, (topic, msgtype) in TOPICS.items()
        }
        for count, scene in enumerate(scenes, start=1):
            stamp = START_NS + scene.stamp_ns
            for name, message in _messages(store.types, config, scene, stamp, quality).items():
                data = store.serialize_cdr(message, TOPICS[name][1])
                writer.write(links[name], stamp, data)
            if progress:
                progress(count)


def _messages(
    types: Any, config: SceneConfig, scene: Scene, stamp: int, quality: int
) -> dict[str, Any]:
    """Return the messages of one frame by their name in `TOPICS`."""
    time = types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    header = types["std_msgs/msg/Header"](stamp=time, frame_id=FRAME_ID)
    bgr = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    image = types[TOPICS["image"][1]](header=header, format="jpeg", data=data.reshape(-1))
    labels = types[TOPICS["labels"][1]](
        header=header,
        height=config.height,
        width=config.width,
        encoding="mono8",
        is_bigendian=0,
        step=config.width,
        data=scene.labels.reshape(-1),
    )
    return {"image": image, "info": _camera_info(types, config, header), "labels": labels}


def _camera_info(types: Any, config: SceneConfig, header: Any) -> Any:
    """Return the calibration: a pinhole without distortion, principal point on the horizon."""
    f, cx, cy = config.focal_px, config.width / 2, config.horizon * config.height
    region = types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    return types[TOPICS["info"][1]](
        header=header,
        height=config.height,
        width=config.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=np.array([f, 0, cx, 0, f, cy, 0, 0, 1]),
        r=np.eye(3).reshape(-1),
        p=np.array([f, 0, cx, 0, 0, f, cy, 0, 0, 0, 1, 0]),
        binning_x=0,
        binning_y=0,
        roi=region,
    )
