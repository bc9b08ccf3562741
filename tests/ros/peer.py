"""The other side of the contract tests: a process of its own that does as it is told.

Reads one JSON command per line from standard input, writes one JSON answer per line. Runs
its handlers in the main thread until standard input ends, SIGINT or SIGTERM.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sys
import threading
import time

import numpy as np

from owseg.errors import OwsegError
from owseg_ros.hosts import open_runtime
from owseg_ros.hosts.lifecycle import LifecycleHooks
from owseg_ros.hosts.parameters import ParameterSpec
from owseg_ros.hosts.qos import QosProfile

IMAGE = "sensor_msgs/msg/Image"


def picture(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def plain(value):
    """Turn a message into JSON: long arrays become their hash."""
    if hasattr(value, "get_fields_and_field_types"):
        return {name: plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        fields = [name for name in names if not name.startswith("__") and not name.isupper()]
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, list) and not all(isinstance(item, (int, float)) for item in value):
        return [plain(item) for item in value]
    array = np.asarray(value)
    return array.tolist() if array.size <= 64 else hashlib.sha256(array.tobytes()).hexdigest()


class Hooks(LifecycleHooks):
    def __init__(self, say, fail):
        self.say, self.fail = say, fail

    def on_configure(self):
        self.say("configure")
        if "configure" in self.fail:
            raise OwsegError("no model")

    def on_activate(self):
        self.say("activate")
        if "activate" in self.fail:
            raise RuntimeError("surprise")

    def on_deactivate(self):
        self.say("deactivate")

    def on_cleanup(self):
        self.say("cleanup")

    def on_shutdown(self):
        self.say("shutdown")


class Peer:
    def __init__(self, runtime, name):
        self.runtime = runtime
        self.host = runtime.node(name)
        self.hosts = {"": self.host}
        self.things = {}
        self.inbox = {}

    def message(self, message_type, fields):
        """Make a message from JSON; a dict with "__type" becomes a message itself."""
        return self.host.messages.make(message_type, **self.values(fields))

    def values(self, fields):
        return {name: self.value(value) for name, value in fields.items()}

    def value(self, value):
        if isinstance(value, dict) and "__type" in value:
            fields = {key: item for key, item in value.items() if key != "__type"}
            return self.message(value["__type"], fields)
        if isinstance(value, dict) and "__random" in value:
            return picture(*value["__random"])
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    # Commands ------------------------------------------------------------------------------------

    def node(self, name, namespace="", managed=False, declare=(), fail=()):
        host = self.hosts[name] = self.runtime.node(name, namespace=namespace, managed=managed)
        for spec in declare:
            host.parameters.declare(ParameterSpec(**spec))
        if managed:
            events = self.inbox.setdefault(f"{name} hooks", [])
            host.lifecycle.manage(Hooks(events.append, fail))
        return host.full_name

    def publisher(self, type, topic, qos=None, node=""):
        self.things[topic] = self.hosts[node].publisher(type, topic, QosProfile(**(qos or {})))

    def publish(self, topic, fields, times=1, wait_for=0):
        publisher = self.things[topic]
        deadline = time.monotonic() + 5
        while publisher.subscribers < wait_for and time.monotonic() < deadline:
            time.sleep(0.005)
        for number in range(times):
            text = json.dumps(fields).replace("__number", str(number))
            publisher.publish(self.message(publisher.message_type, json.loads(text)))
        return publisher.subscribers

    def publish_bytes(self, topic, data):
        """Send bytes that are no message; only the standalone host can."""
        self.things[topic]._writer.write([bytes.fromhex(data)])

    def subscribe(self, type, topic, qos=None):
        inbox = self.inbox.setdefault(topic, [])
        self.things[topic] = self.host.subscription(
            type, topic, lambda message: inbox.append(plain(message)), QosProfile(**(qos or {}))
        )

    def received(self, topic, count=0, timeout=5.0):
        inbox = self.inbox.setdefault(topic, [])
        deadline = time.monotonic() + timeout
        while len(inbox) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        return inbox

    def matched(self, topic):
        thing = self.things[topic]
        return thing.publishers if hasattr(thing, "publishers") else thing.subscribers

    def reset(self):
        """Forget everything that a test set up."""
        for thing in self.things.values():
            thing.destroy()
        self.things.clear()
        self.inbox.clear()

    def destroy(self, topic):
        self.things.pop(topic).destroy()

    def echo_service(self, name):
        """Offer a SetBool service that answers with what it was asked."""

        def handler(request):
            text = f"{name} got {request.data}"
            return self.host.messages.response("std_srvs/srv/SetBool", success=True, message=text)

        self.things[name] = self.host.service("std_srvs/srv/SetBool", name, handler)

    def call(self, type, name, fields=None, timeout=5.0):
        client = self.things.get(f"client {name}")
        if client is None:
            client = self.things[f"client {name}"] = self.host.client(type, name)
        request = self.host.messages.request(type, **self.values(fields or {}))
        return plain(client.call(request, timeout))

    def graph(self, topic=""):
        graph = self.host.graph
        return {
            "nodes": graph.nodes(),
            "topics": graph.topics(),
            "publishers": topic
            and [[*end[:3], end.qos.reliability] for end in graph.publishers(topic)],
            "subscriptions": topic
            and [[*end[:3], end.qos.durability] for end in graph.subscriptions(topic)],
        }


def say(answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def serve(peer):
    for line in sys.stdin:
        command = json.loads(line)
        try:
            result = getattr(peer, command["do"])(**command["with"])
            answer = {"result": result}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        say(answer)
    peer.runtime.stop()


def main():
    kind, name, *argv = sys.argv[1:]
    with open_runtime(kind, argv) as runtime:
        peer = Peer(runtime, name)
        threading.Thread(target=serve, args=(peer,), daemon=True).start()
        say({"result": "ready"})
        runtime.spin()
    with contextlib.suppress(BrokenPipeError):
        events = {key: value for key, value in peer.inbox.items() if key.endswith("hooks")}
        say({"result": "closed", "hooks": events})


if __name__ == "__main__":
    main()
