"""Parameters as another process sees and sets them, whichever hosts they run on."""

from __future__ import annotations

import re
import threading

import pytest

from owseg.errors import UsageError
from owseg_ros.hosts.parameters import ParameterSpec, ParameterType

TYPES = {"bool": 1, "integer": 2, "double": 3, "string": 4}
RCL = "rcl_interfaces/srv"


@pytest.fixture
def tuned(host):
    """Open a node with parameters of several kinds."""
    declare = host.parameters.declare
    threshold = {"description": "0..1", "minimum": 0.0, "maximum": 1.0}
    declare(ParameterSpec(name="anomaly.threshold", default=0.5, **threshold))
    declare(ParameterSpec(name="anomaly.method", default="entropy", choices=("entropy", "msp")))
    declare(ParameterSpec(name="model", default="street.onnx", read_only=True))
    declare(ParameterSpec(name="cameras", default=("front", "left")))
    declare(ParameterSpec(name="every", default=3, minimum=1, description="frames"))
    declare(ParameterSpec(name="overlay", default=True))
    return host


@pytest.fixture
def ask(peer, tuned):
    """Call a parameter service of the node from the other process."""

    def call(kind, **fields):
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind)[1:]
        return peer.ask(
            "call", type=f"{RCL}/{kind}", name=f"{tuned.full_name}/{name}", fields=fields
        )

    return call


def parameter(name, kind, value):
    content = {"__type": "rcl_interfaces/msg/ParameterValue", "type": TYPES[kind]}
    content[f"{kind}_value"] = value
    return {"__type": "rcl_interfaces/msg/Parameter", "name": name, "value": content}


def test_get(ask):
    names = ["anomaly.threshold", "model", "cameras", "every", "overlay", "use_sim_time"]
    values = ask("GetParameters", names=names)["values"]
    assert [value["type"] for value in values] == [3, 4, 9, 2, 1, 1]
    assert values[0]["double_value"] == 0.5
    assert values[1]["string_value"] == "street.onnx"
    assert values[2]["string_array_value"] == ["front", "left"]
    assert values[3]["integer_value"] == 3
    assert values[4]["bool_value"] is True
    assert values[5]["bool_value"] is False
    assert ask("GetParameters", names=["every", "nothing"])["values"] == []


def test_types(ask):
    types = ask("GetParameterTypes", names=["cameras", "every"])["types"]
    assert types == [ParameterType.STRING_ARRAY, ParameterType.INTEGER]


def test_list(ask):
    result = ask("ListParameters", prefixes=[], depth=0)["result"]
    mine = {"anomaly.method", "anomaly.threshold", "cameras", "every", "model", "overlay"}
    assert mine | {"use_sim_time"} <= set(result["names"])
    assert "anomaly" in result["prefixes"]
    below = ask("ListParameters", prefixes=["anomaly"], depth=0)["result"]["names"]
    assert set(below) == {"anomaly.method", "anomaly.threshold"}
    top = ask("ListParameters", prefixes=[], depth=1)["result"]["names"]
    assert set(top) & mine == {"cameras", "every", "model", "overlay"}


def test_describe(ask):
    names = ["anomaly.threshold", "anomaly.method", "model", "every"]
    threshold, method, model, every = ask("DescribeParameters", names=names)["descriptors"]
    assert (threshold["name"], threshold["type"]) == ("anomaly.threshold", 3)
    assert threshold["description"] == "0..1"
    (bounds,) = threshold["floating_point_range"]
    assert (bounds["from_value"], bounds["to_value"]) == (0.0, 1.0)
    assert "entropy" in method["additional_constraints"]
    assert "msp" in method["additional_constraints"]
    assert (model["read_only"], every["read_only"]) == (True, False)
    assert every["integer_range"][0]["from_value"] == 1
    assert every["integer_range"][0]["to_value"] == 2**63 - 1


def test_set(ask, tuned, eventually):
    told = []
    tuned.parameters.on_change(told.append)
    results = ask(
        "SetParameters",
        parameters=[
            parameter("anomaly.threshold", "double", 0.75),
            parameter("overlay", "bool", False),
        ],
    )["results"]
    assert [result["successful"] for result in results] == [True, True]
    assert tuned.parameters.get("anomaly.threshold") == 0.75
    assert tuned.parameters.get("overlay") is False
    assert eventually(lambda: len(told) == 2)
    assert told == [{"anomaly.threshold": 0.75}, {"overlay": False}]


@pytest.mark.parametrize(
    ("name", "kind", "value", "reason"),
    [
        ("anomaly.threshold", "double", 1.5, "anomaly.threshold"),
        ("anomaly.threshold", "integer", 1, "anomaly.threshold|expected 'Type.DOUBLE'"),
        ("anomaly.method", "string", "energy", "entropy or msp"),
        ("model", "string", "other.onnx", "read.?only"),
        ("every", "integer", 0, "every"),
        ("nothing", "integer", 1, "nothing|undeclared parameter"),
    ],
)
def test_what_does_not_fit_is_refused(ask, tuned, name, kind, value, reason):
    before = {known: tuned.parameters.get(known) for known in ("every", "anomaly.method", "model")}
    (result,) = ask("SetParameters", parameters=[parameter(name, kind, value)])["results"]
    assert result["successful"] is False
    assert re.search(reason, result["reason"])
    assert {known: tuned.parameters.get(known) for known in before} == before


def test_they_are_answered_while_a_handler_is_busy(ask, tuned):
    begun, go = threading.Event(), threading.Event()
    tuned.timer(0.001, lambda: begun.set() or go.wait(5))
    assert begun.wait(5)
    (value,) = ask("GetParameters", names=["every"])["values"]
    assert value["integer_value"] == 3
    go.set()


def test_a_parameter_cannot_be_deleted(ask, tuned):
    gone = {"__type": "rcl_interfaces/msg/ParameterValue", "type": 0}
    item = {"__type": "rcl_interfaces/msg/Parameter", "name": "every", "value": gone}
    (result,) = ask("SetParameters", parameters=[item])["results"]
    assert result["successful"] is False
    assert tuned.parameters.get("every") == 3


def test_atomically_means_all_or_none(ask, tuned):
    good, bad = parameter("every", "integer", 5), parameter("anomaly.threshold", "double", 2.0)
    result = ask("SetParametersAtomically", parameters=[good, bad])["result"]
    assert result["successful"] is False
    assert tuned.parameters.get("every") == 3
    assert ask("SetParametersAtomically", parameters=[good])["result"]["successful"] is True
    assert tuned.parameters.get("every") == 5


def test_the_node_has_the_last_word(ask, tuned):
    def no_odd_numbers(changes):
        return "every must be even" if changes.get("every", 0) % 2 else None

    tuned.parameters.validate_with(no_odd_numbers)
    (odd,) = ask("SetParameters", parameters=[parameter("every", "integer", 7)])["results"]
    assert (odd["successful"], odd["reason"]) == (False, "every must be even")
    (even,) = ask("SetParameters", parameters=[parameter("every", "integer", 8)])["results"]
    assert even["successful"] is True
    assert tuned.parameters.get("every") == 8


def test_the_node_sets_its_own(tuned, eventually):
    told = []
    tuned.parameters.on_change(told.append)
    tuned.parameters.set({"every": 4, "anomaly.method": "msp"})
    assert eventually(lambda: told)
    assert told == [{"every": 4, "anomaly.method": "msp"}]
    with pytest.raises(UsageError, match="every"):
        tuned.parameters.set({"every": -1})
    with pytest.raises(UsageError, match="no parameter 'typo'"):
        tuned.parameters.get("typo")


def test_changes_are_announced(ask, tuned, peer, eventually):
    event = "rcl_interfaces/msg/ParameterEvent"
    peer.ask("subscribe", type=event, topic="/parameter_events")
    assert eventually(lambda: tuned.graph.subscriptions("/parameter_events"))

    def announced():
        ask("SetParameters", parameters=[parameter("every", "integer", 9)])
        got = peer.ask("received", topic="/parameter_events")
        mine = [item for item in got if item["node"] == tuned.full_name]
        return [item["name"] for message in mine for item in message["changed_parameters"]]

    assert "every" in eventually(announced)


def test_files_and_arguments_give_values(start, tmp_path, topic):
    file = tmp_path / "parameters.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    every: 7\n    overlay: no\n    spelt_wrongly: 1\n"
        "front:\n  tuned:\n    ros__parameters:\n      anomaly: {threshold: 0.25}\n"
        "other:\n  ros__parameters:\n    every: 1\n"
    )
    arguments = ("--params-file", str(file), "-p", "model:=mine.onnx", "-p", "cameras:=[a, b, c]")
    host = start("--ros-args", *arguments).node(
        "tuned", namespace="front", parameters={"every": 99, "fps": 30}
    )
    specs = {
        "every": 3,
        "overlay": True,
        "anomaly.threshold": 0.5,
        "model": "",
        "cameras": ("x",),
        "fps": 10,
    }
    values = {
        name: host.parameters.declare(ParameterSpec(name=name, default=default))
        for name, default in specs.items()
    }
    assert values == {
        "every": 7,
        "overlay": False,
        "anomaly.threshold": 0.25,
        "model": "mine.onnx",
        "cameras": ("a", "b", "c"),
        "fps": 30,
    }
    assert host.parameters.unused() == ["spelt_wrongly"]


def test_a_wrong_value_stops_the_start(start):
    host = start("--ros-args", "-p", "threshold:=2").node("strict")
    with pytest.raises(UsageError, match=r"'threshold' takes a double, got 2.*2\.0"):
        host.parameters.declare(ParameterSpec(name="threshold", default=0.5))
    host = start("--ros-args", "-p", "method:=magic").node("strict")
    with pytest.raises(UsageError, match="must be a or b, got 'magic'"):
        host.parameters.declare(ParameterSpec(name="method", default="a", choices=("a", "b")))
