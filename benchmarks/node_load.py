"""Give the nodes more than they can take: age of the frames, and how fast a class is added.

    python benchmarks/node_load.py
    python benchmarks/node_load.py --seconds 60 --json node_load.json
    python benchmarks/node_load.py --host rclpy

A camera in this process publishes 1920x1080 rgb8 at 30 Hz, unless told otherwise; perception
runs the shipped model on one thread, in a process of its own, which is too slow for that. The
age of a mask runs from the stamp of its image, set just before it is published, to the call of
the handler in this process. The first and the last third of the masks are shown side by side:
where something queued up, the last would be older.

Then, beside that, a prototype server learns a class from five images of 480x360, again and
again. The embeddings of five such images are computed in this process at the same time of
load: the rest of the answer's time is what the service adds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from owseg.bundle import shipped_model
from owseg.engines import open_engine
from owseg.images import encode_image
from owseg.outputs import MASK
from owseg.prototypes.learn import embed
from owseg.types import UInt8Array
from owseg_ros.hosts import Host, open_runtime
from owseg_ros.hosts.base import NS_PER_S, Message
from owseg_ros.hosts.qos import DEFAULT, LATEST

RAW = "sensor_msgs/msg/Image"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
ADD = "owseg_msgs/srv/AddClass"
REMOVE = "owseg_msgs/srv/RemoveClass"
SHOTS, SHOT_SIZE = 5, (360, 480)
WAIT_S = 30.0


class Nodes:
    """The camera and the reader: what arrives, and what perception says of itself."""

    def __init__(self, host: Host, args: argparse.Namespace) -> None:
        self.host, self._args = host, args
        self.ages: list[float] = []
        self.said: dict[str, str] = {}
        self.sent = 0
        self.going = True
        self._publisher = host.publisher(RAW, "image", LATEST)
        self._masks = host.subscription(RAW, MASK, self._note, LATEST)
        host.subscription(DIAGNOSTICS, "/diagnostics", self._listen, DEFAULT)

    def _note(self, message: Message) -> None:
        stamp = message.header.stamp
        self.ages.append((time.time_ns() - stamp.sec * NS_PER_S - stamp.nanosec) / 1e6)

    def _listen(self, message: Message) -> None:
        for status in message.status:
            self.said.update({item.key: item.value for item in status.values})

    def shine(self) -> None:
        """Publish images until told to stop."""
        width, height = self._args.size
        fields = encode_image(blocks((height, width)))._asdict()
        due = time.perf_counter()
        while self.going:
            self._publisher.publish(self.host.messages.make(RAW, header=self.header(), **fields))
            self.sent += 1
            due = max(due + 1 / self._args.hz, time.perf_counter() - 1 / self._args.hz)
            time.sleep(max(0.0, due - time.perf_counter()))

    def header(self) -> Message:
        """Return a header that is stamped now."""
        sec, nanosec = divmod(time.time_ns(), NS_PER_S)
        make = self.host.messages.make
        stamp = make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
        return make("std_msgs/msg/Header", stamp=stamp)


def blocks(shape: tuple[int, int], seed: int = 0) -> UInt8Array:
    """Make an image of coloured blocks."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (-(-shape[0] // 40), -(-shape[1] // 40), 3), np.uint8)
    return np.ascontiguousarray(small.repeat(40, 0).repeat(40, 1)[: shape[0], : shape[1]])


@contextlib.contextmanager
def process(args: argparse.Namespace, *words: str) -> Iterator[None]:
    """Run a node in a process of its own."""
    command = [sys.executable, "-m", "owseg", "node", words[0], "--host", args.host]
    command += ["--ros-args", "--log-level", "error"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([*command, *words[1:]], env=environment)
    try:
        yield
    finally:
        child.terminate()
        child.wait(WAIT_S)


def wait_until(fact: Callable[[], Any], what: str) -> None:
    """Wait until a fact holds."""
    deadline = time.monotonic() + WAIT_S
    while not fact():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not come; run: owseg doctor")
        time.sleep(0.01)


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum."""
    p50, p95, most = np.percentile(values, (50, 95, 100)).round(1).tolist()
    return {"p50": p50, "p95": p95, "max": most}


def ages(nodes: Nodes, seconds: float) -> dict[str, Any]:
    """Measure for so long; return what became of the frames."""
    wait_until(lambda: len(nodes.ages) > 10, "segmentation/mask")
    nodes.ages.clear()
    sent = nodes.sent
    time.sleep(seconds)
    taken, sent = list(nodes.ages), nodes.sent - sent
    third = len(taken) // 3
    inference = {key: float(nodes.said[f"inference {key} (ms)"]) for key in ("p50", "p95")}
    return {
        "sent": sent,
        "masks": len(taken),
        "inference_ms": inference,
        "age_ms": spread(taken),
        "age_first_third_ms": spread(taken[:third]),
        "age_last_third_ms": spread(taken[-third:]),
    }


def additions(nodes: Nodes, rounds: int) -> dict[str, Any]:
    """Learn a class again and again; return how long answers and embeddings took."""
    host = nodes.host
    add, remove = (
        host.client(kind, f"prototype_server/{name}")
        for kind, name in (
            (ADD, "add_class"),
            (REMOVE, "remove_class"),
        )
    )
    shots = [blocks(SHOT_SIZE, seed) for seed in range(1, SHOTS + 1)]
    mask = np.zeros(SHOT_SIZE, np.uint8)
    mask[120:240, 160:320] = 1
    pictures = [host.messages.make(RAW, **encode_image(shot)._asdict()) for shot in shots]
    masks = [host.messages.make(RAW, **encode_image(mask)._asdict())] * SHOTS
    answered, embedded = [], []
    with contextlib.closing(open_engine(shipped_model(), "onnxruntime", "cpu")) as engine:
        for _ in range(rounds + 1):
            request = host.messages.request(ADD, name="block", images=pictures, masks=masks)
            begin = time.perf_counter()
            answer = add.call(request, WAIT_S)
            answered.append((time.perf_counter() - begin) * 1e3)
            if not answer.success:
                sys.exit(f"the class was not added: {answer.message}")
            remove.call(host.messages.request(REMOVE, name="block"), WAIT_S)
            begin = time.perf_counter()
            for shot in shots:
                embed(engine, shot)
            embedded.append((time.perf_counter() - begin) * 1e3)
    return {
        "answer_ms": spread(answered[1:]),
        "five_embeddings_ms": spread(embedded[1:]),
        "rest_p50_ms": round(float(np.median(answered[1:]) - np.median(embedded[1:])), 1),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the nodes, measure both."""
    with contextlib.ExitStack() as stack:
        store = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "store"
        runtime = stack.enter_context(open_runtime(args.host, []))
        nodes = Nodes(runtime.node("bench"), args)
        threads = [threading.Thread(target=work) for work in (runtime.spin, nodes.shine)]
        for thread in threads:
            thread.start()
        try:
            with (
                process(args, "perception", "-p", "device:=cpu"),
                process(args, "prototype_server", "-p", f"store:={store}", "-p", "device:=cpu"),
            ):
                found = {"load": ages(nodes, args.seconds)}
                found["add_class_beside"] = additions(nodes, args.rounds)
                nodes.going = False
                found["add_class_idle"] = additions(nodes, args.rounds)
        finally:
            nodes.going = False
            runtime.stop()
            for thread in threads:
                thread.join()
    return {"host": args.host, "size": "x".join(map(str, args.size)), "hz": args.hz, **found}


def main() -> int:
    """Measure, print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", choices=("standalone", "rclpy"), default="standalone")
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT of the camera")
    parser.add_argument("--hz", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the first part")
    parser.add_argument("--rounds", type=int, default=10, help="classes that are added")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    args.size = tuple(int(part) for part in args.size.split("x"))
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    text = json.dumps(measure(args), indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
