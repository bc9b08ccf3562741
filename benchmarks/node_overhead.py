"""Measure what the perception node adds to the time of its pipeline, frame by frame.

    python benchmarks/node_overhead.py
    python benchmarks/node_overhead.py --width 1280 --height 720 --json node_overhead.json
    python benchmarks/node_overhead.py --host rclpy

A camera in this process sends frames to a perception node in another process, over DDS on
this machine; subscribers in this process take the outputs.
The node runs the fake engine: only what surrounds the pipeline matters. A frame is sent
when the last output of the one before has arrived, so that nothing waits for its turn.

Columns, median and 95th percentile in milliseconds:

- transport: from the camera's call of publish to the handler in the node;
- decode: message to frame;
- pipeline: resize, engine, resize back, grouping; not counted as added;
- render: the arrays of confidence, clusters and overlay, for topics with subscribers;
- publish: messages made and sent;
- wire: of that, within Cyclone DDS: the bytes of a ready message copied, cut into datagrams
  and given to the kernel. Whoever sends so many bytes over DDS needs it. On rclpy: within
  rclpy's own publish of a ready message, which serialises it too;
- added: decode + publish;
- own: added - wire, what the node itself needs.

With --cpu, all but transport and pipeline are processor time of the thread that runs the
frames, in the kernel too: what they take where nothing else wants the processor. What other
threads and processes take has no such figure; transport and pipeline are left out.

How much the wire takes depends on the size of datagrams; compare with
CYCLONEDDS_URI=file://$PWD/config/cyclonedds.xml.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from owseg.images import encode_image, encode_jpeg
from owseg.outputs import CLUSTERS, CONFIDENCE, IMAGES, MASK, OVERLAY, PROBABILITY
from owseg_ros.commands.node import start
from owseg_ros.hosts import Host, open_runtime
from owseg_ros.hosts.base import NS_PER_S, Message
from owseg_ros.hosts.qos import LATEST
from owseg_ros.perception import camera as camera_module
from owseg_ros.perception.counters import Counters, spread
from owseg_ros.watchdog import COMPRESSED, RAW

STAGES = ("transport", "decode", "pipeline", "render", "publish", "wire", "added", "own")
WIRE = ("ddsi_serdata_from_ser_iov", "dds_writecdr")
"""Functions of Cyclone DDS that send a message."""

WAIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to measure.

    Attributes:
        encoding: "rgb8", "bgr8" or "jpeg".
        outputs: topics with a subscriber.
    """

    encoding: str
    outputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """For the table."""
        short = {topic: topic.split("/")[-1] for topic in IMAGES} | {CLUSTERS: "clusters"}
        listed = " ".join(short[topic] for topic in self.outputs)
        return f"{self.encoding}, {'all' if set(self.outputs) == set(IMAGES) else listed}"


CASES = (
    Case(encoding="rgb8", outputs=(MASK,)),
    Case(encoding="rgb8", outputs=(MASK, CONFIDENCE)),
    Case(encoding="rgb8", outputs=(MASK, CONFIDENCE, CLUSTERS)),
    Case(encoding="rgb8", outputs=(PROBABILITY,)),
    Case(encoding="rgb8", outputs=(OVERLAY,)),
    Case(encoding="rgb8", outputs=IMAGES),
    Case(encoding="bgr8", outputs=(MASK, CONFIDENCE)),
    Case(encoding="jpeg", outputs=(MASK, CONFIDENCE)),
)


# The node ----------------------------------------------------------------------------------------


def run_node(argv: list[str], host: str, log: Path, *, cpu: bool) -> int:
    """Run the node in this process; write the durations of each frame as lines of JSON."""
    clock = time.thread_time if cpu else time.perf_counter
    wire = time_wire(host, clock)
    with log.open("w", buffering=1) as file:

        class Noted(Counters):
            """Writes down what is measured."""

            def measure(self, durations_ms: Mapping[str, float]) -> None:
                """Write it down."""
                sent = {"wire": vars(wire).pop("ms", 0.0)} if "publish" in durations_ms else {}
                file.write(json.dumps({**durations_ms, **sent}) + "\n")

        setattr(camera_module, "Counters", Noted)  # noqa: B010
        setattr(camera_module, "time", SimpleNamespace(perf_counter=clock))  # noqa: B010
        return start(["perception", "--host", host, *argv])


def senders(host: str) -> tuple[Any, tuple[str, ...]]:
    """Return what has the functions that send a message, and their names."""
    if host == "rclpy":
        return importlib.import_module("rclpy.publisher").Publisher, ("publish",)
    return importlib.import_module("owseg_ros.hosts.standalone.cyclone").lib, WIRE


def time_wire(host: str, clock: Callable[[], float]) -> threading.local:
    """Add up the time that each thread spends sending; returns what has it as `ms`."""
    spent = threading.local()
    owner, names = senders(host)

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            begun = clock()
            try:
                return function(*arguments)
            finally:
                spent.ms = getattr(spent, "ms", 0.0) + (clock() - begun) * 1e3

        return call

    for name in names:
        setattr(owner, name, timed(getattr(owner, name)))
    return spent


@contextlib.contextmanager
def node_process(case: Case, host: str, log: Path, *, cpu: bool) -> Iterator[None]:
    """Run the node in a process of its own."""
    transport = "compressed" if case.encoding == "jpeg" else "raw"
    reliable = "qos_overrides./image.subscription.reliability:=reliable"
    options = ["-p", "engine:=fake", "-p", f"image_transport:={transport}", "-p", reliable]
    command = [sys.executable, __file__, "--node", str(log), "--host", host]
    command += ["--cpu"] if cpu else []
    command += ["--", "--ros-args", *options]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.terminate()
        child.wait(WAIT_S)


# Camera and subscribers --------------------------------------------------------------------------


def measure(case: Case, args: argparse.Namespace, log: Path) -> dict[str, list[float]]:
    """Send frames one by one; return durations by stage."""
    arrived = threading.Condition()
    count = dict.fromkeys(case.outputs, 0)

    def note(topic: str, _: Message) -> None:
        with arrived:
            count[topic] += 1
            arrived.notify()

    child = node_process(case, args.host, log, cpu=args.cpu)
    with open_runtime(args.host, []) as runtime, child:
        host = runtime.node("bench")
        kind, topic = (
            (COMPRESSED, "image/compressed") if case.encoding == "jpeg" else (RAW, "image")
        )
        publisher = host.publisher(kind, topic, LATEST)
        subscriptions = [
            host.subscription(RAW, topic, partial(note, topic), LATEST) for topic in case.outputs
        ]
        fields = picture(case.encoding, (args.height, args.width))
        threading.Thread(target=runtime.spin, daemon=True).start()
        wait_until(lambda: publisher.subscribers and all(s.publishers for s in subscriptions))
        time.sleep(0.5)
        for number in range(1, args.frames + 1):
            publisher.publish(stamped(host, kind, fields))
            with arrived:
                arrived.wait_for(partial(all_reached, count, number), WAIT_S)
        runtime.stop()
    return durations(log)


def all_reached(count: dict[str, int], number: int) -> bool:
    """Whether each topic had so many messages."""
    return min(count.values()) >= number


def picture(encoding: str, shape: tuple[int, int]) -> dict[str, Any]:
    """Make the fields of an image with a few unknown objects."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 128, (shape[0] // 40, shape[1] // 40, 3), np.uint8)
    image = np.ascontiguousarray(small.repeat(40, 0).repeat(40, 1))
    image[100:300, 200:500, 2] = image[500:700, 900:1000, 2] = 250
    if encoding == "jpeg":
        return encode_jpeg(image)._asdict()
    return encode_image(image)._asdict() | {"encoding": encoding}


def stamped(host: Host, kind: str, fields: dict[str, Any]) -> Message:
    """Make a message that is stamped now."""
    sec, nanosec = divmod(time.time_ns(), NS_PER_S)
    make = host.messages.make
    stamp = make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    return make(kind, header=make("std_msgs/msg/Header", stamp=stamp), **fields)


def wait_until(fact: Any) -> None:
    """Wait until a fact holds."""
    deadline = time.monotonic() + 3 * WAIT_S
    while not fact():
        if time.monotonic() > deadline:
            sys.exit("the node did not start; run: owseg doctor")
        time.sleep(0.01)


def durations(log: Path) -> dict[str, list[float]]:
    """Read what the node wrote down, without the first tenth of the frames."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    frames = [old | new for old, new in zip(lines[::2], lines[1::2], strict=True)]
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for frame in frames[len(frames) // 10 :]:
        pipeline = frame["inference"] + frame["grouping"]
        rest = frame["decode"] + frame["render"] + frame["publish"]
        found["transport"].append(frame["age"] - pipeline - rest)
        found["pipeline"].append(pipeline)
        found["added"].append(frame["decode"] + frame["publish"])
        found["own"].append(frame["decode"] + frame["publish"] - frame["wire"])
        for stage in ("decode", "render", "publish", "wire"):
            found[stage].append(frame[stage])
    return found


# The table ---------------------------------------------------------------------------------------


def main() -> int:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", choices=("standalone", "rclpy"), default="standalone")
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--frames", type=int, default=200, help="frames per case")
    parser.add_argument("--cpu", action="store_true", help="processor time, not wall time")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--node", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args(sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else None)
    if args.node:
        argv = sys.argv[sys.argv.index("--") + 1 :]
        return run_node(argv, args.host, args.node, cpu=args.cpu)
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return report(args)


def report(args: argparse.Namespace) -> int:
    """Print the table; write the figures if that is asked for."""
    figures = {}
    clock = "processor time" if args.cpu else "wall time"
    print(f"{args.host}, {args.width}x{args.height}, {clock}, p50 / p95 in ms")
    stages = [s for s in STAGES if not args.cpu or s not in ("transport", "pipeline")]
    print(f"{'':<30}" + "".join(f"{stage:>15}" for stage in stages))
    log = Path(f"node_overhead.{os.getpid()}.log")
    try:
        for case in CASES:
            found = measure(case, args, log)
            spreads = {stage: spread(found[stage]) for stage in stages}
            figures[case.name] = {
                stage: {**spreads[stage]._asdict(), "mean": statistics.fmean(found[stage])}
                for stage in stages
            }
            cells = (f"{s.p50:.2f} / {s.p95:.2f}" for s in spreads.values())
            print(f"{case.name:<30}" + "".join(f"{cell:>15}" for cell in cells), flush=True)
    finally:
        log.unlink(missing_ok=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
