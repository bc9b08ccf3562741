"""How processes end and come back, whichever hosts they run on."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import TimeoutError as FutureTimeoutError

import numpy as np
import pytest

from owseg.errors import HostError
from owseg_ros.hosts.qos import LATCHED, LATEST

IMAGE = "sensor_msgs/msg/Image"
TRIGGER = "std_srvs/srv/Trigger"
SET_BOOL = "std_srvs/srv/SetBool"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_cleanly(new_peer, host, number, eventually):
    other = new_peer("ending")
    other.ask("node", name="worker", managed=True)
    transition = host.messages.make("lifecycle_msgs/msg/Transition", id=1)
    client = host.client("lifecycle_msgs/srv/ChangeState", "/worker/change_state")
    request = host.messages.request("lifecycle_msgs/srv/ChangeState", transition=transition)
    assert client.call(request).success
    assert "/ending" in host.graph.nodes()
    other.process.send_signal(number)
    code = other.process.wait(10)
    assert code == 0, other.log
    last = json.loads(other.process.stdout.readlines()[-1])
    assert last == {"result": "closed", "hooks": {"worker hooks": ["configure", "shutdown"]}}
    assert not any("Traceback" in line for line in other.log)
    assert eventually(lambda: "/ending" not in host.graph.nodes(), 2.0)


def test_a_killed_publisher_is_replaced(new_peer, host, topic, eventually):
    got = []
    host.subscription(IMAGE, topic, lambda message: got.append(message.width), LATEST)
    for width in (1, 2):
        other = new_peer(f"camera_{width}")
        other.ask("publisher", type=IMAGE, topic=topic)
        other.ask("publish", topic=topic, fields={"width": width}, wait_for=1)
        assert eventually(lambda: width in got)  # noqa: B023
        other.close(kill=True)
    assert got == [1, 2]


def test_a_killed_subscriber_does_not_hold_up_the_publisher(new_peer, host, topic, eventually):
    publisher = host.publisher(IMAGE, topic, LATEST)
    first = new_peer("first")
    first.ask("subscribe", type=IMAGE, topic=topic, qos={"depth": 1})
    assert eventually(lambda: publisher.subscribers == 1)
    image = host.messages.make(IMAGE, width=1, data=np.zeros(2_000_000, np.uint8))
    publisher.publish(image)
    first.ask("received", topic=topic, count=1)
    first.close(kill=True)
    assert all(publisher.publish(image) for _ in range(10))
    second = new_peer("second")
    second.ask("subscribe", type=IMAGE, topic=topic, qos={"depth": 1})
    assert eventually(lambda: publisher.subscribers >= 1)

    def arrived():
        publisher.publish(image)
        return second.ask("received", topic=topic)

    assert eventually(arrived)


def test_a_killed_server_is_replaced(new_peer, host, topic, eventually):
    """Until the lease of the dead one ends, a request may still be meant for it, and is lost."""
    client = host.client(SET_BOOL, topic)

    def answered():
        asked = [client.call_async(host.messages.request(SET_BOOL, data=True)) for _ in range(3)]
        with contextlib.suppress(FutureTimeoutError, HostError):
            return all(answer.result(1).success for answer in asked)
        return False

    for name in ("first", "second"):
        other = new_peer(name)
        other.ask("echo_service", name=topic)
        assert client.wait(5)
        assert eventually(answered, 8)
        other.close(kill=True)


def test_a_call_waits_until_the_next_server_takes_it(new_peer, host, topic):
    """A large request to a dead server keeps the next one back until its lease ends."""
    lease = "<Discovery><LeaseDuration>5s</LeaseDuration></Discovery>"
    env = {"CYCLONEDDS_URI": f"<CycloneDDS><Domain>{lease}</Domain></CycloneDDS>"}
    kind = "rcl_interfaces/srv/SetParameters"
    make = host.messages.make
    value = make("rcl_interfaces/msg/ParameterValue", type=4, string_value="x" * 3_000_000)
    parameter = make("rcl_interfaces/msg/Parameter", name="unknown", value=value)
    request = host.messages.request(kind, parameters=[parameter])
    client = host.client(kind, "/served/set_parameters")
    first = new_peer("served", env=env)
    assert not client.call(request, 10).results[0].successful
    first.close(kill=True)
    with pytest.raises(HostError, match=r"did not answer within 0\.3 s"):
        client.call(request, 0.3)
    new_peer("served", env=env)
    assert not client.call(request, 10).results[0].successful


def test_a_latched_message_reaches_a_restarted_peer(new_peer, host, topic):
    publisher = host.publisher(IMAGE, topic, LATCHED)
    publisher.publish(host.messages.make(IMAGE, width=640))
    for name in ("first", "second"):
        other = new_peer(name)
        latched = {"durability": "transient_local", "depth": 1}
        other.ask("subscribe", type=IMAGE, topic=topic, qos=latched)
        assert [item["width"] for item in other.ask("received", topic=topic, count=1)] == [640]
        other.close(kill=True)


PROGRAM = """
    import signal, sys, threading, os
    from owseg_ros.hosts import open_runtime

    with open_runtime(sys.argv[1], []) as runtime:
        host = runtime.node("stuck")
        def stick():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)  # an echo
            print("still here", flush=True)
            threading.Event().wait(0.6)
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(30)
        host.timer(0.01, stick)
        try:
            runtime.spin()
        except KeyboardInterrupt:
            print("interrupted")
"""


def test_a_second_signal_interrupts_a_handler_that_is_stuck(kinds, ros_domain):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), kinds[0]],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.stdout == "still here\ninterrupted\n", result.stderr


STARTING = """
    import os, signal, sys
    from owseg_ros.hosts import open_runtime
    from owseg_ros.hosts.lifecycle import LifecycleHooks

    class Hooks(LifecycleHooks):
        def on_shutdown(self):
            print("shut down", flush=True)

    try:
        with open_runtime(sys.argv[1], []) as runtime:
            host = runtime.node("starting", managed=True)
            host.lifecycle.manage(Hooks())
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_a_signal_during_the_start_shuts_down_too(kinds, ros_domain):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STARTING), kinds[0]],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.stdout == "shut down\ninterrupted\n", result.stderr


def test_memory_stays_flat_while_images_flow(kinds, host, topic, eventually):
    if kinds[0] != "standalone":
        pytest.skip("the memory of rclpy is not ours")
    subscription = host.subscription(IMAGE, topic, lambda message: None, LATEST)
    publisher = host.publisher(IMAGE, topic, LATEST)
    assert eventually(lambda: publisher.subscribers)
    image = host.messages.make(IMAGE, data=np.zeros(3_000_000, np.uint8))

    def send(count):
        for number in range(subscription.received + 1, subscription.received + 1 + count):
            publisher.publish(image)
            assert eventually(lambda: subscription.received == number)  # noqa: B023

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    send(20)
    before = resident()
    send(200)
    assert resident() - before < 60_000_000
