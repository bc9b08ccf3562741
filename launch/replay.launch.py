"""A recording through the whole system, and what comes out into another recording.

ros2 launch owseg_ros replay.launch.py bag:=drive image_topic:=/camera/image_raw
"""

import re

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, ThisLaunchFileDir

LAST_FRAMES_S = 3.0
"""How long the last images may take to get through the network and into the recording."""

OUTPUTS = (
    "segmentation/mask",
    "segmentation/confidence",
    "segmentation/label_info",
    "anomaly/probability",
    "clusters/mask",
    "clusters/detections",
    "overlay",
)
"""Topics of each camera to record, beside its images, the prototypes and /diagnostics."""

ARGUMENTS = {
    "bag": (None, "recording to play: a rosbag2 folder"),
    "output": ("replay_out", "folder of the new recording; must not exist"),
    "storage": ("mcap", "storage of the new recording: mcap or sqlite3"),
    "rate": ("1.0", "speed, 1.0 = as recorded"),
    "delay": ("5.0", "seconds before it plays, in which the model is loaded"),
    "namespace": ("", "namespace of all nodes"),
    "image_topic": ("image", "topic of the images in the recording"),
    "image_transport": ("", "compressed for images on <image_topic>/compressed"),
    "cameras": ("", "several cameras, e.g. front,rear"),
}
"""Defaults and descriptions; those of perception.launch.py may be given, too."""


def generate_launch_description():
    """Return what to launch."""
    arguments = [
        DeclareLaunchArgument(name, description=description)
        if default is None
        else DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([ThisLaunchFileDir(), "/perception.launch.py"]),
        launch_arguments={"use_sim_time": "true"}.items(),
    )
    return LaunchDescription([*arguments, perception, OpaqueFunction(function=bags)])


def bags(context):
    """Return player and recorder; everything ends after the player."""
    given = {name: LaunchConfiguration(name).perform(context).strip() for name in ARGUMENTS}
    player = ExecuteProcess(cmd=play(given), name="player", output="screen")
    recorder = ExecuteProcess(cmd=record(given), name="recorder", output="screen")
    end = TimerAction(
        period=LAST_FRAMES_S, actions=[Shutdown(reason="the recording has come to its end")]
    )
    return [
        recorder,
        player,
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[end])),
    ]


def play(given):
    """Return the command that plays the recording."""
    options = ["--clock", "100", "--rate", given["rate"], "--delay", given["delay"]]
    return ["ros2", "bag", "play", given["bag"], *options, "--disable-keyboard-controls"]


def record(given):
    """Return the command that records, by names: all ROS 2 distributions have --regex."""
    names = "|".join(re.escape(topic) for topic in topics(given))
    # By the clock of the machine: with --use-sim-time what is latched would be lost, because it
    # comes before the first message on /clock.
    options = ["--output", given["output"], "--storage", given["storage"]]
    return ["ros2", "bag", "record", *options, "--regex", f"^({names})$"]


def topics(given):
    """Return the full names of the topics to record."""
    base = "/".join(["", *filter(None, [given["namespace"].strip("/")])])
    names = [name.strip() for name in given["cameras"].split(",") if name.strip()]
    suffix = "/compressed" if given["image_transport"] == "compressed" else ""
    found = [f"{base}/prototypes", "/diagnostics"]
    for prefix in [f"{base}/{name}" for name in names] or [base]:
        image = "image" if names else given["image_topic"]
        full = image if image.startswith("/") else f"{prefix}/{image}"
        found.append(full + suffix)
        found += [f"{prefix}/{topic}" for topic in OUTPUTS]
    return found
