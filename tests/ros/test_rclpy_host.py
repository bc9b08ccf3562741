"""The rclpy host, on a stand-in for rclpy: what it passes on, and that groups rule.

The contract tests run on the real rclpy where ROS 2 is sourced.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path

import pytest

from owseg.errors import HostError, ImageError, UsageError
from owseg_ros.hosts.lifecycle import LifecycleHooks, State
from owseg_ros.hosts.parameters import ParameterSpec, ParameterType
from owseg_ros.hosts.qos import LATCHED, LATEST, SENSOR_DATA

TEXT, OTHER, TRIGGER = "fake_msgs/msg/Text", "fake_msgs/msg/Other", "fake_msgs/srv/Trigger"
HOST = "owseg_ros.hosts.rclpy_host"


@pytest.fixture
def fake(monkeypatch):
    """Put the stand-in where rclpy would be; forget the host that was imported with it."""
    path = Path(__file__).with_name("fake_rclpy.py")
    spec = importlib.util.spec_from_file_location("fake_rclpy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in [name for name in sys.modules if name.startswith(HOST)]:
        monkeypatch.delitem(sys.modules, name)
    for name, content in module.modules().items():
        monkeypatch.setitem(sys.modules, name, content)
    yield module
    for name in [name for name in sys.modules if name.startswith(HOST)]:
        del sys.modules[name]


@pytest.fixture
def open_runtime(fake):
    opened = []

    def open_one(*argv):
        from owseg_ros.hosts import open_runtime

        runtime = open_runtime("rclpy", argv)
        thread = threading.Thread(target=runtime.spin)
        thread.start()
        opened.append((runtime, thread))
        return runtime

    yield open_one
    for runtime, thread in opened:
        runtime.stop()
        thread.join(5)
        runtime.close()
    assert fake.world.nodes == []
    assert fake.world.publishers == []
    assert fake.world.subscriptions == []
    assert fake.world.services == {}


@pytest.fixture
def host(open_runtime):
    return open_runtime().node("tested", namespace="front")


def test_names_and_arguments(open_runtime):
    runtime = open_runtime("in.bag", "--ros-args", "-r", "/front/a:=/b", "-r", "/b:=/c")
    host = runtime.node("tested", namespace="front")
    assert (runtime.kind, runtime.rest, host.kind) == ("rclpy", ("in.bag",), "rclpy")
    assert (host.name, host.namespace, host.full_name) == ("tested", "/front", "/front/tested")
    assert host.resolve("a") == "/b"
    assert host.publisher(TEXT, "a").topic == "/b"
    assert [end.topic for end in host.graph.publishers("/b")] == ["/b"]
    with pytest.raises(UsageError, match="no valid topic"):
        host.resolve("2d")


def test_bad_arguments_are_an_error(open_runtime):
    with pytest.raises(HostError, match="rclpy does not start: unknown ROS argument"):
        open_runtime("--bad")


def test_messages_arrive_in_the_main_group(host, eventually):
    got = []
    host.subscription(TEXT, "a", lambda m: got.append((m.text, threading.get_ident())))
    publisher = host.publisher(TEXT, "a")
    assert publisher.subscribers == 1
    assert publisher.publish(host.messages.make(TEXT, text="hello", number=3)) is True
    assert eventually(lambda: got)
    host.timer(0.005, lambda: got.append(("timer", threading.get_ident())))
    assert eventually(lambda: len(got) > 2)
    assert {ident for _, ident in got} == {got[0][1]}
    publisher.destroy()
    assert publisher.publish(host.messages.make(TEXT)) is False


def test_the_latest_wins_here_too(host, eventually):
    go, got = threading.Event(), []

    def slow(message):
        got.append(message.number)
        go.wait(5)

    group = host.group("frames")
    subscription = host.subscription(TEXT, "a", slow, SENSOR_DATA, group=group)
    publisher = host.publisher(TEXT, "a")
    publisher.publish(host.messages.make(TEXT, number=0))
    assert eventually(lambda: got)
    for number in range(1, 6):
        publisher.publish(host.messages.make(TEXT, number=number))
    assert eventually(lambda: subscription.received == 6)
    go.set()
    assert group.flush()
    assert got == [0, 5]
    assert (subscription.dropped, subscription.publishers) == (4, 1)


def test_a_mismatch_is_told_on_both_sides(host, eventually, capfd):
    told = []
    host.publisher(TEXT, "a", SENSOR_DATA)
    host.subscription(TEXT, "a", print, LATEST, on_mismatch=told.append)
    assert eventually(lambda: told)
    assert told[0].policies == ("reliability",)
    assert told[0].peer.node == "/front/tested"
    assert "qos_overrides./front/a.subscription.reliability: best_effort" in told[0].text
    seen = []
    assert eventually(
        lambda: seen.append(capfd.readouterr().err) or "publisher.reliability" in "".join(seen)
    )
    late = []
    host.subscription(TEXT, "b", print, LATCHED, on_mismatch=late.append)
    host.publisher(TEXT, "b", LATEST)
    assert eventually(lambda: late)
    assert late[0].policies == ("durability",)


def test_services_answer_in_the_main_group_and_may_call_others(host):
    def answer(request):
        return host.messages.response(TRIGGER, success=True, message="inner")

    host.service(TRIGGER, "~/inner", answer, group=host.group("inner"))
    inner = host.client(TRIGGER, "~/inner")

    def relay(request):
        return inner.call(host.messages.request(TRIGGER))

    host.service(TRIGGER, "outer", relay)
    client = host.client(TRIGGER, "/front/outer")
    assert client.name == "/front/outer"
    response = client.call(host.messages.request(TRIGGER))
    assert (response.success, response.message) == (True, "inner")


def test_errors_of_a_service_become_answers(host):
    def refuse(request):
        raise ImageError("too small")

    host.service(TRIGGER, "refuse", refuse)
    answer = host.client(TRIGGER, "refuse").call(host.messages.request(TRIGGER))
    assert (answer.success, answer.message) == (False, "too small")
    with pytest.raises(HostError, match="nobody offers service /front/other"):
        host.client(TRIGGER, "other").call(host.messages.request(TRIGGER), timeout_s=0.01)


def test_a_call_can_time_out_and_be_forgotten(host):
    go = threading.Event()
    slow = host.group("slow")
    host.service(
        TRIGGER, "slow", lambda r: go.wait(5) and host.messages.response(TRIGGER), group=slow
    )
    client = host.client(TRIGGER, "slow")
    with pytest.raises(HostError, match=r"/front/slow did not answer within 0\.01 s"):
        client.call(host.messages.request(TRIGGER), timeout_s=0.01)
    assert (client._open, client._client.pending) == (set(), [])
    future = client.call_async(host.messages.request(TRIGGER))
    client.destroy()
    assert future.cancelled()
    go.set()


def test_parameters(open_runtime, eventually):
    runtime = open_runtime("--ros-args", "-p", "every:=7", "-p", "typo:=1", "-p", "bad:=1")
    host = runtime.node("tested", parameters={"every": 9, "fps": 30, "use_sim_time": True})
    declare, parameters = host.parameters.declare, host.parameters
    assert declare(ParameterSpec(name="every", default=3, minimum=1)) == 7
    assert declare(ParameterSpec(name="fps", default=10)) == 30
    assert declare(ParameterSpec(name="names", default=("a", "b"))) == ("a", "b")
    assert declare(ParameterSpec(name="blob", default=b"ab")) == b"ab"
    assert parameters.get("use_sim_time") is True
    assert declare(ParameterSpec(name="method", default="a", choices=("a", "b"))) == "a"
    assert declare(ParameterSpec(name="fixed", default=1.0, read_only=True)) == 1.0
    words = ParameterSpec(name="words", default=(), type=ParameterType.STRING_ARRAY)
    assert declare(words) == declare(words) == parameters.get("words") == ()
    parameters.set({"words": ("a", "b")})
    assert parameters.get("words") == ("a", "b")
    with pytest.raises(UsageError, match="'bad' takes a double, got 1"):
        declare(ParameterSpec(name="bad", default=0.5))
    told = []
    parameters.on_change(told.append)
    parameters.validate_with(lambda c: "no nines" if c.get("every") == 9 else None)
    parameters.set({"every": 4, "method": "b"})
    assert eventually(lambda: told)
    assert told == [{"every": 4, "method": "b"}]
    for name, value, reason in (
        ("every", 0, "every"),
        ("every", 9, "no nines"),
        ("every", 1.5, "takes an integer"),
        ("method", "c", "a or b"),
        ("fixed", 2.0, "read-only"),
        ("nothing", 1, "nothing"),
    ):
        with pytest.raises(UsageError, match=reason):
            parameters.set({name: value})
    assert (parameters.get("every"), parameters.get("method")) == (4, "b")
    with pytest.raises(UsageError, match="no parameter 'nothing'; there are blob"):
        parameters.get("nothing")
    assert parameters.unused() == ["bad", "typo"]


def test_qos_overrides_are_parameters(open_runtime):
    host = open_runtime("-p", "qos_overrides./a.subscription.depth:=5").node("tested")
    assert host.subscription(TEXT, "/a", print, SENSOR_DATA).qos.depth == 5


class Hooks(LifecycleHooks):
    def __init__(self):
        self.ran, self.error = [], None

    def on_configure(self):
        self.ran.append(("configure", threading.get_ident()))
        if self.error:
            raise self.error

    def on_activate(self):
        self.ran.append(("activate", threading.get_ident()))

    def on_shutdown(self):
        self.ran.append(("shutdown", threading.get_ident()))


def test_a_managed_node(open_runtime, capfd):
    runtime = open_runtime()
    host, hooks = runtime.node("managed", managed=True), Hooks()
    host.lifecycle.manage(hooks)
    assert host.lifecycle.state is State.UNCONFIGURED
    hooks.error = ImageError("no model")
    assert host.lifecycle.trigger("configure") is False
    hooks.error = ValueError("surprise")
    assert host.lifecycle.trigger("configure") is False
    text = capfd.readouterr().err
    assert "configure failed: no model" in text
    assert "Traceback" in text
    hooks.error = None
    assert host.lifecycle.trigger("configure") is True
    assert host.lifecycle.trigger("activate") is True
    assert host.lifecycle.state is State.ACTIVE
    with pytest.raises(UsageError, match="no transition 'configure' from state 'active'"):
        host.lifecycle.trigger("configure")
    host.destroy()
    assert host.lifecycle.state is State.FINALIZED
    assert [name for name, _ in hooks.ran] == ["configure"] * 3 + ["activate", "shutdown"]
    assert threading.get_ident() not in {ident for _, ident in hooks.ran}
    plain = runtime.node("plain")
    with pytest.raises(UsageError, match="no lifecycle"):
        plain.lifecycle.trigger("configure")


def test_the_graph_and_the_clock(host):
    host.publisher(TEXT, "a", LATCHED)
    host.subscription(OTHER, "b", print, SENSOR_DATA)
    (end,) = host.graph.publishers("/front/a")
    assert (end.node, end.message_type) == ("/front/tested", TEXT)
    assert (end.qos.reliability, end.qos.durability) == ("reliable", "transient_local")
    (end,) = host.graph.subscriptions("/front/b")
    assert (end.message_type, end.qos.reliability) == (OTHER, "best_effort")
    assert host.graph.nodes() == ["/front/tested"]
    assert set(host.graph.topics()) == {"/front/a", "/front/b"}
    assert host.clock.simulated is False
    assert host.clock.now_ns() > 10**18


def test_every_level_can_be_logged_more_than_once(host, capfd):
    for _ in range(2):
        for say in (host.log.debug, host.log.info, host.log.warning, host.log.error):
            say("line")
        host.log.fatal("line")
    assert capfd.readouterr().err.count("line") == 10


def test_a_timer_can_be_cancelled(host, eventually):
    calls = []
    timer = host.timer(0.005, lambda: calls.append(1))
    assert eventually(lambda: len(calls) > 2)
    timer.cancel()
    timer.cancel()
    with pytest.raises(UsageError, match="period"):
        host.timer(-1, print)


def test_a_steady_timer_does_not_follow_a_simulated_clock(host, fake, eventually):
    calls = []
    host.timer(0.005, lambda: calls.append("steady"), steady=True)
    host.timer(60.0, print)
    assert eventually(lambda: calls)
    steady, follows = host._node.clocks
    assert (steady.clock_type, follows) == (fake.ClockType.STEADY_TIME, None)


def test_a_name_that_rclpy_refuses_is_an_error_in_one_line(open_runtime):
    runtime = open_runtime()
    with pytest.raises(UsageError, match="Invalid name: it must not be so: 'a-b'"):
        runtime.node("a-b")


def test_what_was_destroyed_is_forgotten(host):
    for _ in range(20):
        host.publisher(TEXT, "a").destroy()
        host.subscription(TEXT, "a", print).destroy()
        host.service(TRIGGER, "s", print).destroy()
        host.client(TRIGGER, "s").destroy()
        host.timer(60.0, print).cancel()
    assert len(host._belongings._items) <= 1


def test_what_was_destroyed_while_rclpy_looked_at_it_is_no_error(open_runtime, fake, capfd):
    taken, really = [], fake.MultiThreadedExecutor.spin_once

    def spin_once(self, timeout_sec=None):
        taken.append(timeout_sec)
        if len(taken) in (2, 3):
            raise {2: fake.InvalidHandle, 3: RuntimeError}[len(taken)]("destruction was requested")
        return really(self, 0.01)

    fake.MultiThreadedExecutor.spin_once = spin_once
    open_runtime()
    for _ in range(500):
        if len(taken) > 5:
            break
        threading.Event().wait(0.01)
    assert len(taken) > 5
    err = capfd.readouterr().err
    assert err.count("rclpy failed") == 1
    assert "RuntimeError" in err
