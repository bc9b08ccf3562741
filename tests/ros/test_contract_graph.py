"""What others see of a node: the graph, logs and time, whichever hosts they run on."""

from __future__ import annotations

import re

import pytest

from owseg.errors import UsageError
from owseg_ros.hosts.qos import LATCHED, SENSOR_DATA

COMPRESSED = "sensor_msgs/msg/CompressedImage"
CLOCK = "rosgraph_msgs/msg/Clock"
TIME = "builtin_interfaces/msg/Time"
SECOND = 10**9


# The graph ---------------------------------------------------------------------------------------


def test_a_node_is_seen_with_its_topics(start, peer, topic, eventually):
    host = start().node("seen", namespace="/front/left")
    host.publisher(COMPRESSED, topic, SENSOR_DATA)
    host.subscription(COMPRESSED, topic, print, LATCHED)
    node = "/front/left/seen"

    def seen():
        graph = peer.ask("graph", topic=topic)
        ends = graph["publishers"] + graph["subscriptions"]
        return graph if len(ends) == 2 and all(end[0] for end in ends) else None

    graph = eventually(seen)
    assert node in graph["nodes"]
    assert "/peer" in graph["nodes"]
    assert graph["topics"][topic] == [COMPRESSED]
    assert graph["publishers"] == [[node, topic, COMPRESSED, "best_effort"]]
    assert graph["subscriptions"] == [[node, topic, COMPRESSED, "transient_local"]]


def test_a_node_that_ends_is_gone_at_once(start, peer, eventually):
    runtime = start()
    runtime.node("leaving")
    assert eventually(lambda: "/leaving" in peer.ask("graph")["nodes"])
    runtime.stop()
    runtime.close()
    assert eventually(lambda: "/leaving" not in peer.ask("graph")["nodes"], 2.0)


def test_several_nodes_live_in_one_process(runtime, peer, topic, eventually):
    names = ["front", "left", "right"]
    hosts = [runtime.node("perception", namespace=name) for name in names]
    for host in hosts:
        host.publisher(COMPRESSED, "mask")
    expected = {f"/{name}/perception" for name in names}
    assert eventually(lambda: expected <= set(peer.ask("graph")["nodes"]))

    def owners():
        found = [peer.ask("graph", topic=f"/{name}/mask")["publishers"] for name in names]
        return [[end[0] for end in ends] for ends in found]

    assert eventually(lambda: owners() == [[f"/{name}/perception"] for name in names])
    hosts[0].destroy()
    assert eventually(lambda: "/front/perception" not in peer.ask("graph")["nodes"])
    assert "/left/perception" in peer.ask("graph")["nodes"]


def test_we_see_others(host, peer, topic, eventually):
    peer.ask("publisher", type=COMPRESSED, topic=topic)
    assert eventually(lambda: [end.node for end in host.graph.publishers(topic)] == ["/peer"])
    nodes = host.graph.nodes()
    assert [nodes.count(name) for name in ("/peer", "/tested")] == [1, 1]
    assert host.graph.topics()[topic] == (COMPRESSED,)
    assert host.graph.publishers("/nothing") == []


# Logs --------------------------------------------------------------------------------------------


def test_logs_go_to_rosout_even_for_late_listeners(start, peer, eventually, capfd):
    host = start("--ros-args", "--log-level", "warn").node("talking")
    host.log.info("not worth it")
    host.log.warning("look out")
    latched = {"durability": "transient_local", "depth": 1000}
    peer.ask("subscribe", type="rcl_interfaces/msg/Log", topic="/rosout", qos=latched)

    def mine():
        found = [
            item for item in peer.ask("received", topic="/rosout") if item["name"] == "talking"
        ]
        return found if any(item["msg"] == "look out" for item in found) else None

    lines = eventually(mine)
    assert [(item["level"], item["msg"]) for item in lines] == [(30, "look out")]
    text = capfd.readouterr().err
    assert "[WARN]" in text
    assert "look out" in text
    assert "not worth it" not in text


def test_a_line_can_be_said_only_now_and_then(host, capfd):
    for number in range(5):
        host.log.warning(f"dropped {number}", every_s=60, key="dropped")
    host.log.warning("another")
    text = capfd.readouterr().err
    assert text.count("dropped") == 1
    assert text.count("another") == 1


# Time --------------------------------------------------------------------------------------------


def tell_time(host, peer, eventually, seconds):
    """Send a time until it arrives: the clock is best effort, a message may be lost."""
    clock = {"__type": TIME, "sec": seconds, "nanosec": 500_000_000}

    def told():
        peer.ask("publish", topic="/clock", fields={"clock": clock}, wait_for=1)
        return host.clock.now_ns() == seconds * SECOND + SECOND // 2

    assert eventually(told)


def test_time_is_that_of_the_machine(host):
    import time

    assert not host.clock.simulated
    assert abs(host.clock.now_ns() - time.time_ns()) < SECOND


def test_time_can_be_simulated(start, peer, eventually):
    host = start("--ros-args", "-p", "use_sim_time:=true").node("replayed")
    assert host.clock.simulated
    assert host.clock.now_ns() == 0
    peer.ask("publisher", type=CLOCK, topic="/clock")
    tell_time(host, peer, eventually, 100)
    calls = []
    host.timer(10.0, lambda: calls.append(host.clock.now_ns() // SECOND))
    for seconds in (105, 111, 112, 121):
        tell_time(host, peer, eventually, seconds)
        assert eventually(lambda: len(calls) >= sum(seconds >= t for t in (111, 121)))  # noqa: B023
    assert calls == [111, 121]


def test_simulated_time_is_switched_on_while_running(host, peer, eventually):
    host.parameters.set({"use_sim_time": True})
    assert eventually(lambda: host.clock.simulated)
    peer.ask("publisher", type=CLOCK, topic="/clock")
    tell_time(host, peer, eventually, 42)
    host.parameters.set({"use_sim_time": False})
    assert eventually(lambda: host.clock.now_ns() > 1000 * SECOND)


def test_a_timer_keeps_its_period(host, eventually):
    calls = []
    timer = host.timer(0.01, lambda: calls.append(1))
    assert eventually(lambda: len(calls) >= 5)
    timer.cancel()
    host.group("wait").flush()
    count = len(calls)
    assert not eventually(lambda: len(calls) > count + 1, 0.1)


def test_a_steady_timer_goes_on_while_a_simulated_clock_stands_still(start, eventually):
    host = start("--ros-args", "-p", "use_sim_time:=true").node("replayed")
    steady, simulated = [], []
    host.timer(0.01, lambda: simulated.append(1))
    timer = host.timer(0.01, lambda: steady.append(1), steady=True)
    assert eventually(lambda: len(steady) >= 5)
    assert not simulated
    timer.cancel()


@pytest.mark.parametrize("period", [0, -1.0, float("nan"), float("inf")])
def test_a_timer_needs_a_period(host, period):
    with pytest.raises(UsageError, match="period of a timer"):
        host.timer(period, print)


def test_what_was_destroyed_is_forgotten(host, topic):
    """A node that makes and destroys things for days must not grow."""
    kind = "std_srvs/srv/Trigger"
    makers = (
        lambda: host.publisher(CLOCK, topic),
        lambda: host.subscription(CLOCK, topic, print),
        lambda: host.service(kind, topic, print),
        lambda: host.client(kind, topic),
        lambda: host.timer(60.0, print),
    )
    before = len(host._belongings._items)
    for make in makers * 3:
        thing = make()
        assert not thing.destroyed
        thing.destroy()
        thing.destroy()
        assert thing.destroyed
    assert len(host._belongings._items) <= before + 1


# Arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["robot", "/robot/", "robot/", "/robot"])
def test_a_namespace_needs_no_slashes(start, given):
    host = start("--ros-args", "-r", f"__ns:={given}").node("tested")
    assert (host.namespace, host.full_name) == ("/robot", "/robot/tested")
    assert host.resolve("image") == "/robot/image"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-r", "__ns:=/rob ot"), "'/rob ot' is no valid namespace; write for example"),
        (("-r", "image"), "-r takes from:=to, got 'image'"),
        (("-p", "x"), "-p takes name:=value, got 'x'"),
        (("--log-level", "loud"), "--log-level takes debug, info, warn, error, fatal, got 'loud'"),
        (("--params-file", "/nowhere.yaml"), "cannot read parameter file /nowhere.yaml"),
        (("--wat",), "unknown ROS argument '--wat'"),
    ],
)
def test_bad_arguments_are_refused_in_the_same_words(start, words, reason):
    with pytest.raises(UsageError, match=re.escape(reason)):
        start("--ros-args", *words).node("tested")
