"""Loss and latency of images under several settings of DDS, one after another, in turns.

    python benchmarks/dds_tuning.py
    python benchmarks/dds_tuning.py --host rclpy --rounds 3 --json tuning.json
    RMW_IMPLEMENTATION=rmw_fastrtps_cpp python benchmarks/dds_tuning.py --host rclpy

Each line of the table is `dds_transport.py` with one setting: two processes on this machine,
1920x1080 rgb8 at 30 Hz unless told otherwise. Rounds take turns, so that a slow moment of
the machine hits all settings alike; the table gives the median over the rounds, and the sum
of what was sent and received. The size of kernel buffers is read, not set: run it before
and after `sysctl`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config"
LARGE_DATAGRAMS = (
    "<CycloneDDS><Domain><General><MaxMessageSize>65500B</MaxMessageSize>"
    "<FragmentSize>64000B</FragmentSize></General></Domain></CycloneDDS>"
)
RECEIVE_BUFFER = (
    '<CycloneDDS><Domain><Internal><SocketReceiveBufferSize max="32MB"/></Internal>'
    "</Domain></CycloneDDS>"
)
RELIABILITIES = ("reliable", "best_effort")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to set DDS up.

    Attributes:
        name: for the table.
        environment: variables of both processes.
        fast_profile: XML profile for Fast DDS, "" = none.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    fast_profile: str = ""

    def variables(self, folder: Path) -> dict[str, str]:
        """Return the environment of both processes; files that it names go to a folder."""
        if not self.fast_profile:
            return self.environment
        path = folder / "profile.xml"
        path.write_text(self.fast_profile, encoding="utf-8")
        return {**self.environment, "FASTRTPS_DEFAULT_PROFILES_FILE": str(path)}


CYCLONE = (
    Setting(name="defaults"),
    Setting(name="large datagrams", environment={"CYCLONEDDS_URI": LARGE_DATAGRAMS}),
    Setting(name="receive buffer", environment={"CYCLONEDDS_URI": RECEIVE_BUFFER}),
    Setting(
        name="config/cyclonedds.xml",
        environment={"CYCLONEDDS_URI": (CONFIG / "cyclonedds.xml").as_uri()},
    ),
)
FAST_PROFILE = (CONFIG / "fastdds.xml").read_text(encoding="utf-8")
FAST_UDP = re.sub(
    r"(<userTransports>\s*)<transport_id>images_shm</transport_id>", r"\1", FAST_PROFILE
)
FAST = (
    Setting(name="defaults"),
    Setting(name="config/fastdds.xml", fast_profile=FAST_PROFILE),
    Setting(name="UDP only", environment={"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}),
    Setting(name="UDP only, config/fastdds.xml", fast_profile=FAST_UDP),
)
VARIABLES = ("CYCLONEDDS_URI", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")


def settings_of(host: str) -> tuple[Setting, ...]:
    """Return the settings that the middleware of a host has."""
    fast = host == "rclpy" and "fastrtps" in os.environ.get("RMW_IMPLEMENTATION", "")
    return FAST if fast else CYCLONE


def measure(setting: Setting, reliability: str, args: argparse.Namespace) -> dict[str, Any] | None:
    """Run `dds_transport.py` once; None where hardly anything arrived."""
    environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [sys.executable, str(HERE / "dds_transport.py"), "--host", args.host]
        command += ["--reliability", reliability, "--size", args.size, "--hz", str(args.hz)]
        command += ["--frames", str(args.frames), "--json", str(figures)]
        done = subprocess.run(
            command,
            env=environment | setting.variables(Path(folder)),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            print(f"{setting.name}, {reliability}: {done.stderr.strip()}", file=sys.stderr)
            return None
        found: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
        return found


def summary(setting: Setting, reliability: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the rounds of one line together."""
    latency = {
        key: statistics.median(run["latency_ms"][key] for run in runs) if runs else None
        for key in ("p50", "p95")
    }
    return {
        "setting": setting.name,
        "reliability": reliability,
        "rounds": len(runs),
        "sent": sum(run["sent"] for run in runs),
        "received": sum(run["received"] for run in runs),
        "replaced_by_newer": sum(run["replaced_by_newer"] for run in runs),
        "latency_ms": latency,
    }


def table(lines: list[dict[str, Any]]) -> str:
    """Lay the lines out as Markdown."""
    rows = ["| setting | reliability | lost | p50 ms | p95 ms |", "|---|---|---:|---:|---:|"]
    for line in lines:
        sent, received = line["sent"], line["received"]
        lost = (
            f"{(sent - received - line['replaced_by_newer']) / sent:.1%}" if sent else "nearly all"
        )
        p50, p95 = (line["latency_ms"][key] for key in ("p50", "p95"))
        shown = (f"{p50:.1f}", f"{p95:.1f}") if sent else ("-", "-")
        rows.append(f"| {line['setting']} | {line['reliability']} | {lost} | {' | '.join(shown)} |")
    return "\n".join(rows)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--host", choices=("standalone", "rclpy"), default="standalone")
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT")
    parser.add_argument("--hz", type=float, default=30.0)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def main() -> None:
    """Measure all settings in turns, print the table."""
    args = arguments()
    settings = settings_of(args.host)
    cases = [(setting, kind) for setting in settings for kind in RELIABILITIES]
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {(s.name, kind): [] for s, kind in cases}
    for _ in range(args.rounds):
        for setting, kind in cases:
            if (found := measure(setting, kind, args)) is not None:
                runs[setting.name, kind].append(found)
    lines = [summary(setting, kind, runs[setting.name, kind]) for setting, kind in cases]
    rmem_max = int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
    rmw = os.environ.get("RMW_IMPLEMENTATION", "") if args.host == "rclpy" else ""
    print(f"{args.host} {rmw}, {args.size} at {args.hz:g} Hz, net.core.rmem_max {rmem_max}\n")
    print(table(lines))
    if args.json:
        record = {"host": args.host, "rmw": rmw, "size": args.size, "hz": args.hz}
        record |= {"rmem_max": rmem_max, "lines": lines}
        args.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
