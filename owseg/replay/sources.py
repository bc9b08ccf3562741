"""One door to all sources: the kind of the path decides which one opens."""

from __future__ import annotations

from pathlib import Path

from owseg.errors import InputError, UsageError
from owseg.replay.bag_files import looks_like_bag
from owseg.replay.bag_source import BagSource
from owseg.replay.folder_source import IMAGE_SUFFIXES, FolderSource, image_files
from owseg.replay.samples import Sample, Source
from owseg.replay.video_source import VIDEO_SUFFIXES, VideoSource

__all__ = ["BagSource", "FolderSource", "Sample", "Source", "VideoSource", "open_source"]


def open_source(
    path: Path | str, *, topic: str | None = None, truth_topic: str | None = None
) -> Source:
    """Open a recording, a folder of images, an image or a video.

    Args:
        path: rosbag2 folder, .mcap, .db3, folder of images, image or video.
        topic: the image topic of a recording; else its only one.
        truth_topic: the topic of its label images.

    Raises:
        BagError: a recording that cannot be read, or a topic that it does not have.
        InputError: the path does not exist or is of no known kind.
        UsageError: topics are given for something that has none.
    """
    try:
        return _open(Path(path), topic, truth_topic)
    except OSError as err:
        raise InputError(f"{path} cannot be read: {err.strerror or err}") from err


def _open(path: Path, topic: str | None, truth_topic: str | None) -> Source:
    if not path.exists():
        raise InputError(
            f"{path} does not exist; give a rosbag2 folder, .mcap, .db3, a folder of images, "
            "an image or a video"
        )
    if looks_like_bag(path):
        return BagSource(path, topic=topic, truth_topic=truth_topic)
    if topic is not None or truth_topic is not None:
        raise UsageError(f"{path} is not a recording and has no topics; leave --topic/--truth out")
    return _open_pictures(path)


def _open_pictures(path: Path) -> Source:
    suffix = path.suffix.lower()
    if path.is_dir() and image_files(path):
        return FolderSource(path)
    if path.is_file() and suffix in IMAGE_SUFFIXES:
        return FolderSource(path)
    if path.is_file() and suffix in VIDEO_SUFFIXES:
        return VideoSource(path)
    kind = "folder holds neither" if path.is_dir() else "file is neither"
    raise InputError(
        f"{path}: this {kind} a ROS 2 recording (metadata.yaml, .mcap, .db3) nor images "
        f"({', '.join(IMAGE_SUFFIXES)}) nor a video ({', '.join(VIDEO_SUFFIXES)})"
    )
