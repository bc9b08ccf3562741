"""Unknown objects as messages of vision_msgs."""

from __future__ import annotations

from collections.abc import Sequence

from owseg.outputs import Detection
from owseg_ros.hosts.base import Message, Messages

DETECTION_ARRAY = "vision_msgs/msg/Detection2DArray"

_DETECTION = "vision_msgs/msg/Detection2D"
_HYPOTHESIS_WITH_POSE = "vision_msgs/msg/ObjectHypothesisWithPose"
_HYPOTHESIS = "vision_msgs/msg/ObjectHypothesis"
_BOX = "vision_msgs/msg/BoundingBox2D"
_POSE_2D = "vision_msgs/msg/Pose2D"
_POINT_2D = "vision_msgs/msg/Point2D"


def detection_array(messages: Messages, header: Message, found: Sequence[Detection]) -> Message:
    """Return the objects of a frame as `vision_msgs/msg/Detection2DArray`.

    Args:
        messages: of the host.
        header: of the frame; each detection has it, too.
        found: the objects; their poses in space are not known, and stay blank.
    """
    pose = messages.make(_HYPOTHESIS_WITH_POSE).pose
    pose.pose.orientation.w = 1.0  # the default of ROS 2, which not every host knows
    return messages.make(
        DETECTION_ARRAY,
        header=header,
        detections=[_detection(messages, header, pose, item) for item in found],
    )


def _detection(messages: Messages, header: Message, pose: Message, item: Detection) -> Message:
    make = messages.make
    hypothesis = make(_HYPOTHESIS, class_id=item.class_id, score=item.score)
    center = make(_POSE_2D, position=make(_POINT_2D, x=item.x, y=item.y))
    return make(
        _DETECTION,
        header=header,
        results=[make(_HYPOTHESIS_WITH_POSE, hypothesis=hypothesis, pose=pose)],
        bbox=make(_BOX, center=center, size_x=item.width, size_y=item.height),
        id=item.id,
    )
