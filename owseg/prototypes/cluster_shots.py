"""Examples from a replay: unknown objects of replayed frames, as found by the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from owseg.errors import ShotError
from owseg.images import LabelMap
from owseg.outputs import CLUSTERS, CONFIDENCE, MASK, OVERLAY, PROBABILITY
from owseg.prototypes.examples import CLASS, IGNORE, OTHER, Example
from owseg.replay.bag_source import BagSource
from owseg.replay.messages import COMPRESSED_IMAGE, IMAGE
from owseg.replay.runner import OUTPUT
from owseg.replay.samples import Sample
from owseg.types import NO_CLUSTER, UInt8Array

_CLUSTERS = f"/{CLUSTERS}"
_OUTPUTS = {f"/{name}" for name in (MASK, CONFIDENCE, PROBABILITY, CLUSTERS, OVERLAY)}
_LISTED = 12


def load_clusters(folder: Path, wanted: Mapping[int, Sequence[int]]) -> list[Example]:
    """Read unknown objects of a replay.

    The pixels of other unknown objects say nothing, for they may be of the same class.

    Args:
        folder: output folder of `owseg replay`, or the recording in it.
        wanted: cluster ids by frame; frames count from 0.

    Returns:
        One example for each frame.

    Raises:
        ShotError: no such recording, frame or cluster, or no camera images in it.
        BagError: the recording is damaged.
    """
    path = folder / OUTPUT if folder.is_dir() else folder
    if not path.is_file():
        raise ShotError(f"no {path}; give the folder that 'owseg replay' wrote its results to")
    topic = _camera_topic(path)
    found: list[Example] = []
    with BagSource(path, topic=topic, truth_topic=_CLUSTERS) as source:
        _check_frames(path, wanted, source.count or 0)
        for sample in source:
            index = sample.frame.index
            if index in wanted:
                found.append(_example(path, sample, wanted[index]))
            if len(found) == len(wanted):
                break
    return found


def _camera_topic(path: Path) -> str:
    """Find the images that were replayed: the only image topic that is no output."""
    with BagSource(path, topic=_CLUSTERS) as source:
        topics = source.topics
    images = [
        name
        for name, info in topics.items()
        if info.msgtype in (IMAGE, COMPRESSED_IMAGE) and info.messages and name not in _OUTPUTS
    ]
    if len(images) != 1:
        raise ShotError(
            f"{path} has {len(images) or 'no'} topics with camera images beside the results (the "
            "replay of a video stores none); give the image and a mask instead"
        )
    return images[0]


def _example(path: Path, sample: Sample, ids: Sequence[int]) -> Example:
    frame = sample.frame.index
    if sample.truth is None:
        raise ShotError(f"{path}: frame {frame} has no clusters with its stamp")
    missing = [number for number in ids if number == NO_CLUSTER or number not in sample.truth]
    if missing or not ids:
        raise ShotError(
            f"{path}: frame {frame} has no unknown object {missing[0] if missing else ''}; "
            f"{_listing(sample.truth)}"
        )
    return Example(
        image=sample.frame.image,
        mask=_mask(sample.truth, ids),
        source=f"{path.parent.name} frame {frame} cluster {','.join(map(str, ids))}",
    )


def _mask(clusters: LabelMap, ids: Sequence[int]) -> UInt8Array:
    mask = np.full(clusters.shape, OTHER, np.uint8)
    mask[clusters != NO_CLUSTER] = IGNORE
    mask[np.isin(clusters, ids)] = CLASS
    return mask


def _listing(clusters: LabelMap) -> str:
    """Describe the largest objects: id, size, and the middle of their pixels."""
    ids, sizes = np.unique(clusters[clusters != NO_CLUSTER], return_counts=True)
    if not ids.size:
        return "it has none at all"
    parts = []
    for number in ids[np.argsort(-sizes, kind="stable")][:_LISTED]:
        rows, columns = np.nonzero(clusters == number)
        parts.append(f"{number} ({len(rows)} pixels around {columns.mean():.0f},{rows.mean():.0f})")
    return f"it has {', '.join(parts)}"


def _check_frames(path: Path, wanted: Mapping[int, Sequence[int]], count: int) -> None:
    beyond = [frame for frame in sorted(wanted) if not 0 <= frame < count]
    if beyond:
        raise ShotError(f"{path} has no frame {beyond[0]}; its frames are 0..{count - 1}")
