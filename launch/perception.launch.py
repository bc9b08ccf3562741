"""The whole system: prototype server and perception, and RViz if it is asked for.

ros2 launch owseg_ros perception.launch.py image_topic:=/camera/image_raw
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import EventHandler, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ShutdownProcess, SignalProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "owseg_ros"
RESPAWN_DELAY_S = 2.0
BAD_INPUT = 2
"""Exit code of a node that was given something unusable: to start it again is no use."""
DONE = 0
"""Exit code of perception when there is nothing more to do, as with `build_only`."""
ASKED = "asked"
"""Stands among exit codes where launch itself has told a node to end."""

SHOWN = ("overlay", "anomaly/probability", "clusters/mask", "image")
"""Topics of the RViz configuration."""

ARGUMENTS = {
    "namespace": ("", "namespace of all nodes, e.g. robot1"),
    "params_file": ("", "parameters of both nodes; empty = those in share/owseg_ros/config"),
    "model": ("", "model bundle; empty = as in the parameter file"),
    "device": ("", "where the model runs: auto, cpu, cuda; empty = as in the parameter file"),
    "store": ("", "prototype store; empty = as in the parameter file"),
    "image_topic": ("image", "topic of the images of the only camera"),
    "image_transport": ("", "raw, or compressed for images on <image_topic>/compressed"),
    "cameras": ("", "several cameras, e.g. front,rear: each has <name>/image in"),
    "use_sim_time": ("false", "follow /clock"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "respawn": ("true", "start a node again when it dies"),
    "autostart": ("true", "false = perception waits until something configures it"),
    "rviz": ("false", "also start RViz"),
}
"""Defaults and descriptions."""


def generate_launch_description():
    """Return what to launch."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=nodes)])


def nodes(context):
    """Return the nodes that the arguments ask for."""
    given = {name: LaunchConfiguration(name).perform(context).strip() for name in ARGUMENTS}
    given["namespace"] = given["namespace"].rstrip("/")
    both = {"model": given["model"], "device": given["device"]}
    both = {name: value for name, value in both.items() if value}
    if is_true(given["use_sim_time"]):
        both["use_sim_time"] = True
    server = {**both, "store": given["store"]} if given["store"] else both
    perception = dict(both)
    if given["image_transport"]:
        perception["image_transport"] = given["image_transport"]
    if names := cameras(given):
        perception["cameras"] = names
    if not is_true(given["autostart"]):
        perception["autostart"] = False
    remappings = [] if names else [("image", given["image_topic"])]
    found = [
        node("prototype_server", given, server, []),
        node("perception", given, perception, remappings),
    ]
    found += [*map(end_where_useless, found), *end_where_done(found[1])]
    return [*found, rviz(given)] if is_true(given["rviz"]) else found


def end_where_useless(action):
    """Return what ends everything where a node finds its input unusable at its first start."""
    codes = []

    def on_exit(event, context):
        codes.append(event.returncode)
        if codes != [BAD_INPUT]:
            return None
        return Shutdown(reason=f"{event.process_name} cannot start, see above")

    return RegisterEventHandler(OnProcessExit(target_action=action, on_exit=on_exit))


def end_where_done(action):
    """Return what ends everything where a node comes to its end by itself in its first run."""
    codes = []

    def is_asked(event):
        return isinstance(event, (ShutdownProcess, SignalProcess)) and event.process_matcher(action)

    def on_asked(context):
        codes.append(ASKED)

    def on_exit(event, context):
        codes.append(event.returncode)
        if codes != [DONE] or context.is_shutdown:
            return None
        return Shutdown(reason=f"{event.process_name} is done")

    return [
        RegisterEventHandler(
            EventHandler(matcher=is_asked, entities=OpaqueFunction(function=on_asked))
        ),
        RegisterEventHandler(OnProcessExit(target_action=action, on_exit=on_exit)),
    ]


def cameras(given):
    """Return the names of the cameras; [] = one without a name."""
    return [name.strip() for name in given["cameras"].split(",") if name.strip()]


def is_true(text):
    """Whether an argument is meant as true."""
    return text.lower() in ("true", "1", "yes", "on")


def node(name, given, parameters, remappings):
    """Return one of our nodes."""
    share = Path(get_package_share_directory(PACKAGE))
    file = given["params_file"] or str(share / "config" / f"{name}.yaml")
    return Node(
        package=PACKAGE,
        executable=name,
        name=name,
        namespace=given["namespace"],
        parameters=[file, parameters] if parameters else [file],
        remappings=remappings,
        arguments=["--ros-args", "--log-level", given["log_level"]],
        respawn=is_true(given["respawn"]),
        respawn_delay=RESPAWN_DELAY_S,
        output="screen",
    )


def rviz(given):
    """Return RViz, with its topics where they are: those of the first camera if there are more."""
    share = Path(get_package_share_directory(PACKAGE))
    parts = [given["namespace"].strip("/"), *cameras(given)[:1]]
    prefix = "/".join(["", *filter(None, parts)])
    topics = {f"/{topic}": f"{prefix}/{topic}" for topic in SHOWN}
    if not cameras(given):
        topics["/image"] = absolute(given["image_topic"], prefix)
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        namespace=given["namespace"],
        arguments=["-d", str(share / "rviz" / "perception.rviz")],
        parameters=[{"use_sim_time": is_true(given["use_sim_time"])}],
        remappings=[(old, new) for old, new in topics.items() if old != new],
        output="screen",
    )


def absolute(topic, prefix):
    """Return the full name of a topic."""
    return topic if topic.startswith("/") else f"{prefix}/{topic}"
