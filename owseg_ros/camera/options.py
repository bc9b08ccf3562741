"""The parameters of the camera, and what they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from owseg.errors import UsageError
from owseg.places import expanded
from owseg_ros.hosts.base import Parameters
from owseg_ros.hosts.parameters import ParameterSpec

RAW, COMPRESSED, BOTH = TRANSPORTS = ("raw", "compressed", "both")

PARAMETERS = (
    ParameterSpec(
        name="source",
        default="",
        description="rosbag2 folder, .mcap, .db3, image folder, image, video or /dev/video0",
        read_only=True,
    ),
    ParameterSpec(
        name="topic",
        default="",
        description="image topic of a recording; empty = its only one",
        read_only=True,
    ),
    ParameterSpec(
        name="rate",
        default=0.0,
        minimum=0.0,
        maximum=1000.0,
        description="images per second; 0 = as they were recorded",
        read_only=True,
    ),
    ParameterSpec(
        name="loop",
        default=False,
        description="begin again at the end of the source",
        read_only=True,
    ),
    ParameterSpec(
        name="frame_id",
        default="",
        description="optical frame in the headers; empty = that of the source",
        read_only=True,
    ),
    ParameterSpec(
        name="image_transport",
        default=BOTH,
        choices=TRANSPORTS,
        description="topics: image, image/compressed or both; only what has subscribers is sent",
        read_only=True,
    ),
    ParameterSpec(
        name="jpeg_quality",
        default=90,
        minimum=1,
        maximum=100,
        description="quality of images that are compressed here",
        read_only=True,
    ),
    ParameterSpec(
        name="camera_info",
        default="",
        description="calibration of the camera, a YAML file; empty = published as not calibrated",
        read_only=True,
    ),
    ParameterSpec(
        name="clock",
        default=False,
        description="keep the stamps of the source and publish its time on /clock",
        read_only=True,
    ),
    ParameterSpec(
        name="wait_for",
        default=0,
        minimum=0,
        maximum=100,
        description="subscriptions to wait for before the first image",
        read_only=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class CameraOptions:
    """What the camera publishes, and how; see the descriptions in `PARAMETERS`."""

    source: Path
    topic: str
    rate: float
    loop: bool
    frame_id: str
    image_transport: str
    jpeg_quality: int
    camera_info: Path | None
    clock: bool
    wait_for: int


def declare_options(parameters: Parameters) -> CameraOptions:
    """Declare the parameters, and read them.

    Raises:
        UsageError: a value does not fit, there is no source, or no home directory for a ~.
    """
    values: dict[str, Any] = {spec.name: parameters.declare(spec) for spec in PARAMETERS}
    if not values["source"]:
        raise UsageError("a camera needs a source; give --source FILE, or set 'source'")
    values["source"] = expanded(values["source"])
    info = values["camera_info"]
    values["camera_info"] = expanded(info) if info else None
    return CameraOptions(**values)
