"""The part of a command line that begins with `--ros-args`, as ROS 2 reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from owseg.errors import UsageError
from owseg_ros.hosts.log import LEVELS
from owseg_ros.hosts.names import Kind, Remap
from owseg_ros.hosts.parameter_files import (
    EVERY_NODE,
    Override,
    overrides_for,
    parse_value,
    read_parameter_file,
)
from owseg_ros.hosts.parameters import Value

BEGIN, END = "--ros-args", "--"

_WITH_VALUE = {
    "-r": "remap",
    "--remap": "remap",
    "-p": "param",
    "--param": "param",
    "--params-file": "file",
    "--log-level": "level",
    "-e": "enclave",
    "--enclave": "enclave",
    "--log-config-file": "ignored",
    "--log-file-name": "ignored",
}
_SWITCHES = ("rosout-logs", "stdout-logs", "external-lib-logs")
_KINDS: dict[str, Kind] = {"rostopic://": "topic", "rosservice://": "service"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RosArgs:
    """What the ROS part of a command line says.

    Attributes:
        remaps: rules in their order; the first that fits is used.
        overrides: values for parameters in their order; the last that fits is used.
        log_level: name of the level for all loggers, "" = the default.
        node_log_levels: (node, level) pairs.
        rosout: whether logs are published on /rosout.
        console: whether logs are written to the console.
        enclave: security enclave, announced but not used.
        rest: the arguments that are not for ROS.
    """

    remaps: tuple[Remap, ...] = ()
    overrides: tuple[Override, ...] = ()
    log_level: str = ""
    node_log_levels: tuple[tuple[str, str], ...] = ()
    rosout: bool = True
    console: bool = True
    enclave: str = "/"
    rest: tuple[str, ...] = ()

    def level_of(self, node: str) -> str:
        """Return the log level of a node; "" = the default."""
        return dict(self.node_log_levels).get(node, self.log_level)

    def parameters_of(self, full_name: str) -> dict[str, Value]:
        """Return the values for the parameters of a node, by its full name."""
        return overrides_for(self.overrides, full_name)


def parse_ros_args(argv: Sequence[str]) -> RosArgs:
    """Read the ROS part of a command line.

    Args:
        argv: all arguments, without the name of the program.

    Raises:
        UsageError: an unknown option, a missing value, a bad rule or parameter file.
    """
    rest, ros = split(argv)
    found: dict[str, list[str]] = {}
    ordered: list[Override] = []
    words = iter(ros)
    for word in words:
        kind = _WITH_VALUE.get(word)
        if kind is None:
            found.setdefault("switch", []).append(_switch(word))
            continue
        value = next(words, None)
        if value is None:
            raise UsageError(f"{word} needs a value; see the part after {BEGIN}")
        found.setdefault(kind, []).append(value)
        if kind == "param":
            ordered.append(_parameter(value))
        elif kind == "file":
            ordered.extend(read_parameter_file(Path(value)))
    levels = [_level(text) for text in found.get("level", [])]
    switches = found.get("switch", [])
    return RosArgs(
        remaps=tuple(_remap(text) for text in found.get("remap", [])),
        overrides=tuple(ordered),
        log_level=next((level for node, level in reversed(levels) if not node), ""),
        node_log_levels=tuple((node, level) for node, level in levels if node),
        rosout="--disable-rosout-logs" not in switches,
        console="--disable-stdout-logs" not in switches,
        enclave=found.get("enclave", ["/"])[-1],
        rest=rest,
    )


def split(argv: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the arguments that are not for ROS, and those that are."""
    rest: list[str] = []
    ros: list[str] = []
    inside = False
    for word in argv:
        if word == BEGIN:
            inside = True
        elif inside and word == END:
            inside = False
        else:
            (ros if inside else rest).append(word)
    return tuple(rest), tuple(ros)


def _switch(word: str) -> str:
    if word not in [f"--{way}-{name}" for way in ("enable", "disable") for name in _SWITCHES]:
        raise UsageError(f"unknown ROS argument '{word}'; {END} ends the part after {BEGIN}")
    return word


def _remap(text: str) -> Remap:
    source, sign, target = text.partition(":=")
    if not (sign and source and target):
        raise UsageError(f"-r takes from:=to, got '{text}'")
    kind = next((kind for prefix, kind in _KINDS.items() if source.startswith(prefix)), None)
    source = source.split("://", 1)[-1]
    node, sign, name = source.rpartition(":")
    if sign and not (node and name):
        raise UsageError(f"-r takes [node:]from:=to, got '{text}'")
    return Remap(name, target, node, kind)


def _parameter(text: str) -> Override:
    name, sign, value = text.partition(":=")
    if not (sign and name):
        raise UsageError(f"-p takes name:=value, got '{text}'")
    node, _, name = name.rpartition(":")
    owner = f"/{node.strip('/')}" if node else EVERY_NODE
    return Override(owner, name, parse_value(value))


def _level(text: str) -> tuple[str, str]:
    node, _, level = text.rpartition(":=")
    if level.upper() not in LEVELS:
        raise UsageError(f"--log-level takes {', '.join(LEVELS)}, got '{level}'".lower())
    return node, level.upper()
