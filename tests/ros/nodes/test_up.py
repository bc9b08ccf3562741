"""`owseg up`: what it starts, and that it keeps it running."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from owseg.cli.main import main
from owseg.errors import UsageError
from owseg_ros.camera.options import PARAMETERS as CAMERA
from owseg_ros.commands import up
from owseg_ros.commands.node import COMMANDS
from owseg_ros.commands.options import as_yaml
from owseg_ros.commands.supervisor import WhenDone
from owseg_ros.hosts.parameter_files import parse_value
from owseg_ros.hosts.qos import LATCHED, SENSOR_DATA
from owseg_ros.hosts.ros_args import parse_ros_args
from owseg_ros.perception import parameters
from owseg_ros.prototype_server.node import PARAMETERS as SERVER

IMAGE = "sensor_msgs/msg/Image"
NAMES = {
    "prototype_server": {spec.name for spec in SERVER},
    "perception": {spec.name for spec in parameters.table()},
    "camera": {spec.name for spec in CAMERA},
}
WHEN_DONE = {
    "prototype_server": WhenDone.START_AGAIN,
    "perception": WhenDone.END_ALL,
    "camera": WhenDone.LEAVE,
}


def programs(monkeypatch, *words):
    """Return what a command line starts: node and its parsed arguments by the name for people."""
    started = []

    class Stub:
        def __init__(self, found, say):
            started.extend(found)

        def run(self):
            return 0

    monkeypatch.setattr(up, "Supervisor", Stub)
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    assert up.run(parser.parse_args(words)) == 0
    found = {}
    for program in started:
        *_, options = program.command, program.command[3:]
        at = options.index("--ros-args")
        assert options[1:4] == ("--host", "auto", "--until-eof")
        found[program.name] = (options[0], options[4:at], parse_ros_args(options[at:]), program)
    return found


def values(args):
    return {item.name: item.value for item in args.overrides}


def test_server_and_perception_are_started(monkeypatch):
    found = programs(monkeypatch)
    assert list(found) == ["prototype_server", "perception"]
    for node, options, args, program in found.values():
        assert (options, values(args), program.when_done) == ((), {}, WHEN_DONE[node])
        assert [(rule.source, rule.target) for rule in args.remaps] == [("__ns", "/")]
        assert node in COMMANDS


def test_options_reach_the_nodes_that_have_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b.yaml").write_text("")
    found = programs(
        monkeypatch,
        *("--namespace", "robot", "--params-file", "a b.yaml", "--model", "it's.onnx"),
        *("--device", "cpu", "--store", "c.db", "--image-topic", "/cam", "--use-sim-time"),
        *("--image-transport", "compressed", "--log-level", "WARN"),
        *("--source", "drive.mcap", "--loop", "--rate", "12.5"),
    )
    assert list(found) == ["prototype_server", "perception", "camera"]
    model = {"model": "it's.onnx", "device": "cpu", "use_sim_time": True}
    assert values(found["prototype_server"][2]) == {**model, "store": "c.db"}
    assert values(found["perception"][2]) == {**model, "image_transport": "compressed"}
    assert values(found["camera"][2]) == {
        "source": "drive.mcap",
        "rate": 12.5,
        "loop": True,
        "clock": True,
        "wait_for": 1,
        "use_sim_time": True,
    }
    for node, options, args, program in found.values():
        assert options == ("--params-file", "a b.yaml")
        assert args.remaps[0].target == "/robot"
        assert args.log_level == "WARN"
        assert program.when_done == WHEN_DONE[node]
        assert set(values(args)) <= NAMES[node] | {"use_sim_time"}
    images = {name: [r.target for r in found[name][2].remaps[1:]] for name in found}
    assert images == {"prototype_server": [], "perception": ["/cam"], "camera": ["/cam"]}


def test_each_camera_gets_its_source_and_its_namespace(monkeypatch):
    found = programs(
        monkeypatch,
        *("--cameras", "front, rear", "--source", "a", "--source", "b", "--use-sim-time"),
        *("--namespace", "/r"),
    )
    assert values(found["perception"][2])["cameras"] == ("front", "rear")
    front, rear = found["camera front"][2], found["camera rear"][2]
    assert [front.remaps[0].target, rear.remaps[0].target] == ["/r/front", "/r/rear"]
    assert (values(front)["source"], values(rear)["source"]) == ("a", "b")
    assert (values(front)["clock"], "clock" in values(rear)) == (True, False)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--cameras", "a,a b"], "valid node name"),
        (["--cameras", "a,b", "--source", "x"], "1 times --source for 2 cameras"),
        (["--source", "x", "--source", "y"], "2 times --source for 1 cameras"),
        (["--cameras", "a", "--image-topic", "/x"], "--image-topic names one topic"),
        (["--loop"], "--loop belong to --source"),
        (["--rate", "0"], "--loop belong to --source"),
        (["--cameras", "a, a"], "--cameras takes different names, as in front,rear; got 'a, a'"),
        (["--cameras", "a,"], "--cameras takes different names"),
        (["--cameras", ""], "--cameras takes different names"),
        (["--params-file", "nowhere.yaml"], "cannot read parameter file nowhere.yaml: No such"),
        (["--namespace", "a b"], "no valid namespace"),
    ],
)
def test_options_that_contradict_each_other_are_refused(monkeypatch, words, reason):
    with pytest.raises(UsageError, match=reason):
        programs(monkeypatch, *words)


@pytest.mark.parametrize(
    "value", [True, False, 3, -2.5, 1e-7, 1e22, "yes", "1", "it's: [a]", "", ("on", "b'c"), "a\\n"]
)
def test_values_are_read_back_as_they_were(value):
    found = parse_value(as_yaml(value))
    assert (found, type(found)) == (value, type(value))


# The whole system --------------------------------------------------------------------------------

FAKE_TENSORRT = Path(__file__).parents[2] / "engines" / "fakes"

FAKE = """
/**:
  ros__parameters: {engine: fake}
"""


def children(pid):
    """Return the processes that a process started, by the name of their node."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (folder / "cmdline").read_text().split("\0")
            if parent == pid and "--until-eof" in words:
                found[words[3]] = int(folder.name)
    return found


def test_a_recording_runs_through_the_system_whatever_is_killed(
    owseg, kinds, client, quick, street_bag, eventually
):
    (quick / "fake.yaml").write_text(FAKE)
    masks = client.listen(IMAGE, "/r/segmentation/mask", SENSOR_DATA)
    sets = client.listen("owseg_msgs/msg/PrototypeSet", "/r/prototypes", LATCHED)
    system = owseg(
        *("up", "--host", kinds[1], "--namespace", "r", "--params-file", quick / "fake.yaml"),
        *("--store", quick / "classes", "--source", street_bag, "--loop", "--rate", "20"),
    )
    assert eventually(lambda: masks and sets, 30), system.output
    nodes = children(system.process.pid)
    assert set(nodes) == {"prototype_server", "perception", "camera"}
    add = {"vectors": np.ones(10, np.float32), "size": 10, "radius": 0.5, "name": "sofa"}
    assert client.call("AddClass", "/r/prototype_server/add_class", **add).success
    for pid in nodes.values():
        os.kill(pid, signal.SIGKILL)
    system.says("was killed by SIGKILL; starting it again", times=3)
    masks.clear()
    sets.clear()
    assert eventually(lambda: masks and sets, 30), system.output
    assert [item.name for item in sets[-1].classes] == ["sofa"]
    pids = children(system.process.pid).values()
    assert system.end() == 0
    assert not [pid for pid in (*pids, *nodes.values()) if os.path.exists(f"/proc/{pid}")]
    assert "[perception]       [INFO]" in system.output
    assert "Traceback" not in system.output


def test_a_model_that_is_missing_ends_it_with_one_line(owseg, kinds, quick):
    system = owseg("up", "--host", kinds[1], "--model", quick / "no.onnx", "--store", quick / "s")
    assert system.wait() == 2
    assert "no.onnx" in system.output
    assert "cannot start, see above" in system.output
    assert "Traceback" not in system.output


def test_perception_that_only_builds_an_engine_ends_it_all(owseg, kinds, quick, tiny_bundle):
    (quick / "build.yaml").write_text("perception: {ros__parameters: {build_only: true}}")
    env = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(FAKE_TENSORRT), os.getenv("PYTHONPATH")])),
        "OWSEG_FAKE_NVIDIA": "{}",
        "XDG_CACHE_HOME": str(quick / "cache"),
    }
    system = owseg(
        *("up", "--host", kinds[1], "--params-file", quick / "build.yaml"),
        *("--model", tiny_bundle, "--store", quick / "classes"),
        env=env,
    )
    assert system.wait() == 0, system.output
    assert "the TensorRT engine is in the cache" in system.output
    assert "is done; ending the others" in system.output
    assert "starting it again" not in system.output
    assert len(list((quick / "cache" / "owseg" / "engines").glob("*.plan"))) == 1


def test_it_goes_on_when_nobody_reads_what_it_says(monkeypatch):
    said = []

    class Stub:
        def __init__(self, found, say):
            self.say = say

        def run(self):
            self.say("a", "line")
            said.append("survived")
            return 0

    class Closed:
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(up, "Supervisor", Stub)
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    monkeypatch.setattr(up.sys, "stderr", Closed())
    assert up.run(parser.parse_args([])) == 0
    assert said == ["survived"]


# Without DDS -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["prototype_server", "perception", "camera"])
def test_without_a_middleware_a_node_says_how_to_get_one(command, tmp_path):
    for name in ("cyclonedds", "rclpy"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')\n")
    source = ["--source", "x"] if command == "camera" else []
    for host, remedy in (
        ("standalone", 'pip install "owseg_ros[dds]"'),
        ("rclpy", "source /opt/ros"),
    ):
        code = "from owseg.cli import main; raise SystemExit(main())"
        done = subprocess.run(
            [sys.executable, "-c", code, "node", command, *source, "--host", host],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert remedy in line


def test_the_nodes_are_listed_with_a_line_each(capsys):
    assert main(["node", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(
        name in text and summary.split()[0] in text for name, (_, summary) in COMMANDS.items()
    )
