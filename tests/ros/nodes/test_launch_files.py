"""What is installed beside the code: launch files, parameters, RViz and Foxglove, package.xml.

ROS 2's launch is replaced by classes that take just the arguments of the real ones.
"""

from __future__ import annotations

import importlib.util
import json
import pkgutil
import re
import subprocess
import sys
import types
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

import owseg_ros
from owseg.outputs import DETECTIONS, IMAGES, LABELS
from owseg_ros.camera.options import PARAMETERS as CAMERA
from owseg_ros.hosts.parameter_files import read_parameter_file
from owseg_ros.perception import parameters
from owseg_ros.prototype_server.node import PARAMETERS as SERVER

ROOT = Path(__file__).resolve().parents[3]
SPECS = {"prototype_server": SERVER, "perception": parameters.table(), "camera": CAMERA}
NAMES = {node: {spec.name for spec in specs} for node, specs in SPECS.items()}
PERCEPTION_ARGUMENTS = {
    *("namespace", "params_file", "model", "device", "store", "image_topic", "image_transport"),
    *("cameras", "use_sim_time", "log_level", "respawn", "autostart", "rviz"),
}


class LaunchDescription:
    def __init__(self, entities):
        self.entities = entities


class DeclareLaunchArgument:
    def __init__(self, name, *, default_value=None, description=None):
        self.name, self.default_value, self.description = name, default_value, description


class OpaqueFunction:
    def __init__(self, *, function):
        self.function = function


class LaunchConfiguration:
    def __init__(self, name):
        self.name = name

    def perform(self, context):
        return context[self.name]


class Node:
    def __init__(
        self,
        *,
        package,
        executable,
        name,
        namespace,
        parameters,
        arguments,
        remappings,
        output,
        respawn=False,
        respawn_delay=None,
    ):
        self.package, self.executable, self.name, self.namespace = (
            package,
            executable,
            name,
            namespace,
        )
        self.files = [item for item in parameters if not isinstance(item, dict)]
        self.given = {
            k: v for item in parameters if isinstance(item, dict) for k, v in item.items()
        }
        self.arguments, self.remappings = arguments, dict(remappings)
        self.respawn, self.respawn_delay, self.output = respawn, respawn_delay, output


class ExecuteProcess:
    def __init__(self, *, cmd, name, output):
        self.cmd, self.name = cmd, name


class IncludeLaunchDescription:
    def __init__(self, source, *, launch_arguments):
        self.source, self.launch_arguments = source, dict(launch_arguments)


class RegisterEventHandler:
    def __init__(self, event_handler):
        self.event_handler = event_handler


class OnProcessExit:
    def __init__(self, *, target_action, on_exit):
        self.target_action, self.on_exit = target_action, on_exit


class EventHandler:
    def __init__(self, *, matcher, entities):
        self.matches, self.entities = matcher, entities


class ProcessEvent:
    def __init__(self, wanted):
        self.process_matcher = lambda action: action is wanted


class ShutdownProcess(ProcessEvent):
    pass


class SignalProcess(ProcessEvent):
    pass


class ProcessStdin(ProcessEvent):
    pass


class TimerAction:
    def __init__(self, *, period, actions):
        self.period, self.actions = period, actions


class Shutdown:
    def __init__(self, *, reason):
        self.reason = reason


class PythonLaunchDescriptionSource:
    def __init__(self, parts):
        self.parts = parts


class ThisLaunchFileDir:
    pass


MODULES = {
    "launch": [EventHandler, LaunchDescription],
    "launch.actions": [
        *(DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription, OpaqueFunction),
        *(RegisterEventHandler, Shutdown, TimerAction),
    ],
    "launch.event_handlers": [OnProcessExit],
    "launch.events": [],
    "launch.events.process": [ShutdownProcess, SignalProcess],
    "launch.launch_description_sources": [PythonLaunchDescriptionSource],
    "launch.substitutions": [LaunchConfiguration, ThisLaunchFileDir],
    "launch_ros": [],
    "launch_ros.actions": [Node],
    "ament_index_python": [],
    "ament_index_python.packages": [],
}


@pytest.fixture
def load(monkeypatch):
    """Load a launch file: its module and what it declares."""
    for name, classes in MODULES.items():
        module = types.ModuleType(name)
        for cls in classes:
            setattr(module, cls.__name__, cls)
        monkeypatch.setitem(sys.modules, name, module)
    packages = sys.modules["ament_index_python.packages"]
    packages.get_package_share_directory = lambda name: str(ROOT) if name == "owseg_ros" else None

    def load_one(name):
        path = ROOT / "launch" / f"{name}.launch.py"
        spec = importlib.util.spec_from_file_location(f"{name}_launch", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        spec.loader.exec_module(module)
        return module.generate_launch_description().entities

    return load_one


def run(entities, **given):
    """Return what a launch file starts, given some arguments."""
    declared = [item for item in entities if isinstance(item, DeclareLaunchArgument)]
    context = {item.name: item.default_value for item in declared}
    assert given.keys() <= context.keys()
    (function,) = [item.function for item in entities if isinstance(item, OpaqueFunction)]
    return function({**context, **given})


def nodes_of(entities, **given):
    """Return the nodes that a launch file starts, given some arguments."""
    return [item for item in run(entities, **given) if isinstance(item, Node)]


# perception.launch.py ----------------------------------------------------------------------------


def test_perception_has_the_arguments_that_are_promised(load):
    declared = [e for e in load("perception") if isinstance(e, DeclareLaunchArgument)]
    assert {item.name for item in declared} == PERCEPTION_ARGUMENTS
    assert all(item.description and item.default_value is not None for item in declared)


def test_server_and_perception_are_started_from_executables_that_exist(load):
    lines = setup_says("entry_points", "install")["console_scripts"]
    scripts = {line.partition(" = ")[0]: line.partition(" = ")[2] for line in lines}
    nodes = nodes_of(load("perception"))
    assert [node.executable for node in nodes] == ["prototype_server", "perception"]
    for node in nodes:
        assert callable(pkgutil.resolve_name(scripts[node.executable]))
        assert (node.package, node.name, node.namespace) == ("owseg_ros", node.executable, "")
        assert all(Path(file).is_file() for file in node.files)
        assert Path(node.files[0]).stem == node.executable
        assert (node.given, node.respawn, node.respawn_delay) == ({}, True, 2.0)
        assert node.arguments == ["--ros-args", "--log-level", "info"]
    assert nodes[1].remappings == {"image": "image"}


def test_arguments_reach_the_nodes(load):
    server, perception = nodes_of(
        load("perception"),
        namespace="r1",
        params_file="mine.yaml",
        model="m.onnx",
        device="cpu",
        store="c.db",
        image_topic="/cam/image_raw",
        image_transport="compressed",
        use_sim_time="True",
        log_level="debug",
        respawn="false",
        autostart="false",
    )
    both = {"model": "m.onnx", "device": "cpu", "use_sim_time": True}
    assert server.given == both | {"store": "c.db"}
    more = {"image_transport": "compressed", "autostart": False}
    assert perception.given == both | more
    assert perception.remappings == {"image": "/cam/image_raw"}
    for node in (server, perception):
        assert (node.namespace, node.files, node.respawn) == ("r1", ["mine.yaml"], False)
        assert node.arguments[-1] == "debug"
        assert node.given.keys() <= NAMES[node.name] | {"use_sim_time"}


@pytest.mark.parametrize(
    ("codes", "ends"), [([2], [True]), ([-9, 2], [False, False]), ([1, 0], [False, False])]
)
def test_a_node_that_cannot_start_ends_everything(load, codes, ends):
    """Once it has run, it is started again whatever happens."""
    nodes, handlers = watched(load("perception"))
    for node in nodes:
        found = exits(handlers, node, codes)
        assert [bool(actions) for actions in found] == ends
        reasons = {action.reason for actions in found for action in actions}
        assert reasons <= {"x-1 cannot start, see above"}


def watched(entities):
    """Return the nodes of perception.launch.py, and the handlers of events."""
    found = run(entities)
    nodes = [item for item in found if isinstance(item, Node)]
    return nodes, [e.event_handler for e in found if isinstance(e, RegisterEventHandler)]


def exits(handlers, node, codes, is_shutdown=False):
    """Let a node end with each of the codes in turn; return what that starts."""
    context = types.SimpleNamespace(is_shutdown=is_shutdown)
    own = [h for h in handlers if isinstance(h, OnProcessExit) and h.target_action is node]
    found = []
    for code in codes:
        event = types.SimpleNamespace(returncode=code, process_name="x-1")
        answers = [handler.on_exit(event, context) for handler in own]
        found.append([action for action in answers if action is not None])
        assert all(isinstance(action, Shutdown) for action in found[-1])
    return found


@pytest.mark.parametrize(
    ("codes", "ends"), [([0], [1]), ([0, 0], [1, 0]), ([1, 0], [0, 0]), ([-9, 0], [0, 0])]
)
def test_perception_that_is_done_ends_everything(load, codes, ends):
    """As with `build_only`; once it has failed, it is started again whatever happens."""
    (server, perception), handlers = watched(load("perception"))
    assert [len(actions) for actions in exits(handlers, perception, codes)] == ends
    assert not any(exits(handlers, server, codes))


def test_perception_that_ends_with_the_rest_ends_nothing(load):
    (_, perception), handlers = watched(load("perception"))
    assert exits(handlers, perception, [0], is_shutdown=True) == [[]]


@pytest.mark.parametrize(
    ("event", "whom", "ends"),
    [
        (ShutdownProcess, "perception", 0),
        (SignalProcess, "perception", 0),
        (ShutdownProcess, "prototype_server", 1),
        (ProcessStdin, "perception", 1),
    ],
)
def test_perception_that_launch_told_to_end_ends_nothing_else(load, event, whom, ends):
    nodes, handlers = watched(load("perception"))
    sent = event(next(node for node in nodes if node.name == whom))
    for handler in handlers:
        if isinstance(handler, EventHandler) and handler.matches(sent):
            assert handler.entities.function(None) is None
    (found,) = exits(handlers, nodes[1], [0])
    assert len(found) == ends


def test_cameras_are_a_list_and_are_not_remapped(load):
    _, perception = nodes_of(load("perception"), cameras=" front, rear ,")
    assert perception.given["cameras"] == ["front", "rear"]
    assert perception.remappings == {}


@pytest.mark.parametrize(
    ("given", "remappings"),
    [
        ({}, {}),
        ({"image_topic": "/cam"}, {"/image": "/cam"}),
        (
            {"namespace": "/r1"},
            {f"/{t}": f"/r1/{t}" for t in ("overlay", "anomaly/probability", "clusters/mask")}
            | {"/image": "/r1/image"},
        ),
        (
            {"cameras": "front,rear", "namespace": "r1"},
            {
                f"/{t}": f"/r1/front/{t}"
                for t in ("overlay", "anomaly/probability", "clusters/mask", "image")
            },
        ),
    ],
)
def test_rviz_shows_the_topics_where_they_are(load, given, remappings):
    rviz = run(load("perception"), rviz="true", **given)[-1]
    assert (rviz.package, rviz.executable) == ("rviz2", "rviz2")
    assert Path(rviz.arguments[1]).is_file()
    assert rviz.remappings == remappings


# replay.launch.py --------------------------------------------------------------------------------


def test_replay_plays_records_and_ends(load):
    entities = load("replay")
    (included,) = [e for e in entities if isinstance(e, IncludeLaunchDescription)]
    assert isinstance(included.source.parts[0], ThisLaunchFileDir)
    assert (ROOT / "launch" / included.source.parts[1].strip("/")).is_file()
    assert included.launch_arguments == {"use_sim_time": "true"}
    recorder, player, handler = run(entities, bag="drive", image_topic="/cam", rate="2.0")
    assert player.cmd[:4] == ["ros2", "bag", "play", "drive"]
    assert {"--clock", "--disable-keyboard-controls"} < set(player.cmd)
    assert player.cmd[player.cmd.index("--rate") + 1] == "2.0"
    assert recorder.cmd[:3] == ["ros2", "bag", "record"]
    assert handler.event_handler.target_action is player
    (timer,) = handler.event_handler.on_exit
    assert isinstance(timer.actions[0], Shutdown)


def test_replay_shares_its_arguments_with_perception(load):
    declared = {e.name for e in load("replay") if isinstance(e, DeclareLaunchArgument)}
    own = {"bag", "output", "storage", "rate", "delay"}
    assert declared - own <= PERCEPTION_ARGUMENTS
    assert own <= declared


@pytest.mark.parametrize(
    ("given", "image", "prefixes"),
    [
        ({"image_topic": "/cam"}, "/cam", ["/"]),
        (
            {"image_topic": "cam", "image_transport": "compressed", "namespace": "/r"},
            "/r/cam/compressed",
            ["/r/"],
        ),
        ({"cameras": "front, rear"}, "/rear/image", ["/front/", "/rear/"]),
    ],
)
def test_replay_records_images_outputs_and_classes(load, given, image, prefixes):
    recorder = run(load("replay"), bag="drive", **given)[0]
    pattern = re.compile(recorder.cmd[recorder.cmd.index("--regex") + 1])
    outputs = [f"{prefix}{topic}" for prefix in prefixes for topic in (*IMAGES, DETECTIONS, LABELS)]
    base = f"/{given['namespace'].strip('/')}" if "namespace" in given else ""
    for topic in (image, *outputs, f"{base}/prototypes", "/diagnostics"):
        assert pattern.match(topic), topic
    for topic in ("/other", f"{image}x", f"/x{outputs[0]}", "/rosout"):
        assert not pattern.match(topic), topic


# Parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", SPECS)
def test_the_parameter_file_holds_all_parameters_at_their_defaults(node):
    found = read_parameter_file(ROOT / "config" / f"{node}.yaml")
    assert {item.node for item in found} == {f"/**/{node}"}
    defaults = {spec.name: spec.default for spec in SPECS[node]}
    defaults.pop("cameras", None)  # ROS 2 cannot read an empty list
    assert {item.name: item.value for item in found} == defaults
    types_of = {item.name: type(item.value) for item in found}
    assert types_of == {name: type(value) for name, value in defaults.items()}


# Views -------------------------------------------------------------------------------------------

SHOWN = {f"/{topic}" for topic in IMAGES} | {"/image"}


def test_rviz_shows_topics_that_exist():
    config = YAML(typ="safe", pure=True).load(ROOT / "rviz" / "perception.rviz")
    displays = config["Visualization Manager"]["Displays"]
    assert {display["Class"] for display in displays} == {"rviz_default_plugins/Image"}
    topics = [display["Topic"]["Value"] for display in displays]
    assert set(topics) <= SHOWN
    assert {"/overlay", "/anomaly/probability", "/clusters/mask"} <= set(topics)
    names = {display["Name"] for display in displays}
    assert names <= config["Window Geometry"].keys()


def panels_of(layout):
    if isinstance(layout, str):
        return [layout]
    assert layout["direction"] in ("row", "column")
    return [*panels_of(layout["first"]), *panels_of(layout["second"])]


def test_the_foxglove_layout_shows_topics_that_exist():
    layout = json.loads((ROOT / "rviz" / "foxglove.json").read_text(encoding="utf-8"))
    panels = panels_of(layout["layout"])
    assert sorted(panels) == sorted(layout["configById"])
    images = {
        config["imageMode"]["imageTopic"]
        for panel, config in layout["configById"].items()
        if panel.startswith("Image!")
    }
    assert {"/overlay", "/image"} < images <= SHOWN


@pytest.mark.parametrize(("given", "wanted"), [("/r1/", "/r1"), ("r1/", "r1"), ("/", ""), ("", "")])
def test_a_namespace_may_end_in_a_slash(load, given, wanted):
    """ROS 2 itself refuses such a name, and the node would die at its start."""
    nodes = nodes_of(load("perception"), namespace=given, rviz="true")
    assert [node.namespace for node in nodes] == [wanted] * 3


# The package -------------------------------------------------------------------------------------


def setup_says(what, *commands):
    """Return a keyword of setup(), as setup.py sets it for some commands."""
    code = (
        "import setuptools, json, sys; from distutils.core import run_setup; "
        f"d = run_setup('setup.py', {[*commands]}, stop_after='init'); print(json.dumps(d.{what}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_only_colcon_installs_an_executable_for_each_node():
    """In the bin of a virtual environment a name like "camera" would be in the way."""

    def names(*commands):
        return [s.split()[0] for s in setup_says("entry_points", *commands)["console_scripts"]]

    nodes = {"owseg", "perception", "prototype_server", "camera"}
    assert {*names("egg_info", "build", "install")} == {*names("develop", "--editable")} == nodes
    assert names("bdist_wheel") == names("editable_wheel") == names("dist_info") == ["owseg"]


def test_everything_is_installed_into_the_share_folder():
    installed = {
        f"{folder}/{Path(file).name}"
        for folder, files in setup_says("data_files")
        for file in files
    }
    for folder in ("launch", "config", "rviz"):
        files = [path.name for path in (ROOT / folder).iterdir() if path.is_file()]
        assert files
        assert {f"share/owseg_ros/{folder}/{name}" for name in files} <= installed


def test_every_package_of_messages_is_a_dependency():
    manifest = ElementTree.parse(ROOT / "package.xml")
    needed = {item.text for item in manifest.findall("exec_depend")}
    used = set()
    for file in Path(owseg_ros.__file__).parent.rglob("*.py"):
        if "standalone" not in file.parts:
            used |= set(re.findall(r'"(\w+)/(?:msg|srv)/\w', file.read_text(encoding="utf-8")))
    assert {"owseg_msgs", "sensor_msgs", "vision_msgs"} <= used
    assert used - {"package"} <= needed
    assert {"rclpy", "launch", "launch_ros", "ament_index_python"} <= needed
