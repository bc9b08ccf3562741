"""Time images from one process to another: published, sent, received, in the hands of a handler.

    python benchmarks/dds_transport.py
    python benchmarks/dds_transport.py --size 640x480 --reliability best_effort --json out.json
    python benchmarks/dds_transport.py --host rclpy
    python benchmarks/dds_transport.py --large-datagrams

Latency runs from just before the message is made in the one process to the call of the
handler in the other, both on this machine. The pixels are random, and those of the first
frames are compared. A domain of its own keeps other ROS nodes out, unless ROS_DOMAIN_ID is
set.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.errors import OwsegError
from owseg_ros.hosts import open_runtime
from owseg_ros.hosts.qos import QosProfile

IMAGE = "sensor_msgs/msg/Image"
TOPIC = "/benchmark/image"
NS_PER_S = 1_000_000_000
WARM_UP = 10
COMPARED = 3
PATIENCE_S = 3.0
LARGE_DATAGRAMS = (
    "<CycloneDDS><Domain><General><MaxMessageSize>65500B</MaxMessageSize>"
    "<FragmentSize>64000B</FragmentSize></General></Domain></CycloneDDS>"
)


def pixels(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Make the same random rgb8 image in both processes."""
    width, height = size
    return np.random.default_rng(0).integers(0, 256, width * height * 3, dtype=np.uint8)


def publish(args: argparse.Namespace) -> None:
    """Send the frames; print how long `publish` took."""
    width, height = args.size
    data = pixels(args.size)
    with open_runtime(args.host, []) as runtime:
        host = runtime.node("benchmark_publisher")
        publisher = host.publisher(IMAGE, TOPIC, profile(args))
        threading.Thread(target=runtime.spin, daemon=True).start()
        while not publisher.subscribers:
            time.sleep(0.01)
        time.sleep(0.3)
        took = []
        due = time.perf_counter()
        for _ in range(args.frames + WARM_UP):
            begin = time.perf_counter()
            sec, nanosec = divmod(time.time_ns(), NS_PER_S)
            stamp = host.messages.make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
            header = host.messages.make("std_msgs/msg/Header", stamp=stamp, frame_id="camera")
            image = {"height": height, "width": width, "encoding": "rgb8", "step": width * 3}
            publisher.publish(host.messages.make(IMAGE, header=header, data=data, **image))
            took.append(time.perf_counter() - begin)
            due += 1 / args.hz
            time.sleep(max(0.0, due - time.perf_counter()))
        print(json.dumps(quantiles(np.array(took[WARM_UP:]) * 1e3)), flush=True)
        time.sleep(PATIENCE_S)
        runtime.stop()


def profile(args: argparse.Namespace) -> QosProfile:
    """Return the QoS of both ends."""
    return QosProfile(reliability=args.reliability, depth=1)


def receive(args: argparse.Namespace) -> dict[str, Any]:
    """Start the publisher, receive, return the figures."""
    expected = pixels(args.size)
    latency: list[float] = []
    wrong: list[int] = []
    last = [time.monotonic()]

    def handle(message: Any) -> None:
        stamp = message.header.stamp.sec * NS_PER_S + message.header.stamp.nanosec
        latency.append((time.time_ns() - stamp) / 1e6)
        last[0] = time.monotonic()
        same = len(latency) > COMPARED or np.array_equal(np.asarray(message.data), expected)
        if not same:
            wrong.append(len(latency))

    with open_runtime(args.host, []) as runtime:
        host = runtime.node("benchmark_subscriber")
        subscription = host.subscription(IMAGE, TOPIC, handle, profile(args))
        threading.Thread(target=runtime.spin, daemon=True).start()
        command = [sys.executable, __file__, *sys.argv[1:], "--role", "publisher"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
            assert sender.stdout is not None
            line = sender.stdout.readline()
            while time.monotonic() - last[0] < PATIENCE_S / 2:
                time.sleep(0.05)
        runtime.stop()
    if wrong:
        sys.exit(f"frames {wrong} arrived changed")
    if len(latency) <= WARM_UP or not line:
        sys.exit(f"only {len(latency)} of {args.frames + WARM_UP} frames arrived")
    return {
        "host": args.host,
        "size": "x".join(map(str, args.size)),
        "hz": args.hz,
        "reliability": args.reliability,
        "sent": args.frames + WARM_UP,
        "received": len(latency),
        "replaced_by_newer": subscription.dropped,
        "latency_ms": quantiles(np.array(latency[WARM_UP:])),
        "publish_ms": json.loads(line),
        "large_datagrams": args.large_datagrams,
        "rmem_max": int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii")),
        "load": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)),
    }


def quantiles(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the median, the 95th percentile and the largest value."""
    p50, p95, most = np.percentile(values, [50, 95, 100])
    return {"p50": round(p50, 2), "p95": round(p95, 2), "max": round(most, 2)}


def size_of(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--host", choices=("standalone", "rclpy"), default="standalone")
    parser.add_argument("--size", type=size_of, default=(1920, 1080), help="WIDTHxHEIGHT")
    parser.add_argument("--hz", type=float, default=30.0)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--reliability", choices=("reliable", "best_effort"), default="reliable")
    parser.add_argument(
        "--large-datagrams",
        action="store_true",
        help="Cyclone: few large datagrams instead of many small ones",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--role", choices=("publisher",), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run one end, or both."""
    args = arguments()
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randrange(1, 100)))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if args.large_datagrams:
        os.environ.setdefault("CYCLONEDDS_URI", LARGE_DATAGRAMS)
    try:
        if args.role == "publisher":
            publish(args)
            return
        figures = receive(args)
    except OwsegError as err:
        sys.exit(str(err))
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
