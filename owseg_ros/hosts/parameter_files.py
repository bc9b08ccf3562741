"""Parameter files and `-p name:=value`: YAML as ROS 2 reads it.

A plain `yes`, `on` or `y` is true, as in ROS 2; quotes make a string of anything.

Which value a node gets, as rclpy has it: sections (`/**`, `/front/*`, `/front/perception`)
count in the order in which they are first named, on the command line or in its files; of
those that fit the node, the last wins. All that is said of one section counts where that was
first named, and `-p` without a node speaks of `/**`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from owseg.errors import UsageError
from owseg_ros.hosts.parameters import ParameterType, Value, type_of

SECTION = "ros__parameters"
EVERY_NODE = "/**"

_LISTS = range(ParameterType.BOOL_ARRAY, ParameterType.STRING_ARRAY + 1)
_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_INTEGER = re.compile(r"[-+]?(0x[0-9a-fA-F]+|[0-9]+)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")


class Override(NamedTuple):
    """One value for one parameter of the nodes that a pattern names.

    Attributes:
        node: full name ("/front/perception") or pattern ("/**", "/front/*").
        name: of the parameter, with dots.
        value: what it is to be.
    """

    node: str
    name: str
    value: Value


def read_parameter_file(path: Path) -> list[Override]:
    """Read a parameter file.

    Raises:
        UsageError: missing, not YAML, or not laid out as a parameter file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise UsageError(f"cannot read parameter file {path}: {_first_line(err)}") from err
    root = _compose(text, f"parameter file {path}")
    if root is None:
        return []
    return list(_sections(root, "", path))


def parse_value(text: str) -> Value:
    """Read the value of `-p name:=value`.

    Raises:
        UsageError: no YAML scalar or list of one type.
    """
    node = _compose(text, f"parameter value '{text}'")
    return "" if node is None else _value(node, f"parameter value '{text}'")


def overrides_for(overrides: Iterable[Override], full_name: str) -> dict[str, Value]:
    """Collect the parameters that are meant for one node.

    Args:
        overrides: of all files and options, in order.
        full_name: of the node, e.g. "/front/perception".
    """
    sections: dict[str, dict[str, Value]] = {}
    for item in overrides:
        sections.setdefault(item.node, {})[item.name] = item.value
    chosen: dict[str, Value] = {}
    for node, values in sections.items():
        if fits(node, full_name):
            chosen.update(values)
    return chosen


def fits(pattern: str, full_name: str) -> bool:
    """Whether a section of a parameter file is for a node.

    Args:
        pattern: full name, or one with `*` for a part of a name and `/**` for any number of
            names.
        full_name: of the node.
    """
    if "*" not in pattern:
        return pattern == full_name
    parts = re.split(r"(/\*\*|\*)", pattern)
    regex = {"/**": "(/[^/]+)*", "*": "[^/]+"}
    return bool(re.fullmatch("".join(regex.get(p, re.escape(p)) for p in parts), full_name))


def _compose(text: str, what: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).compose(io.StringIO(text))
    except YAMLError as err:
        raise UsageError(f"{what} is not YAML: {_first_line(err)}") from err


def _first_line(err: Exception) -> str:
    problem, mark = getattr(err, "problem", None), getattr(err, "problem_mark", None)
    if problem and mark:
        return f"{problem} in line {mark.line + 1}"
    return str(getattr(err, "strerror", None) or err).splitlines()[0]


def _sections(node: Any, path: str, file: Path) -> Iterator[Override]:
    """Walk namespaces and nodes down to the `ros__parameters` sections."""
    if not isinstance(node, MappingNode):
        raise UsageError(
            f"parameter file {file}: '{path or 'the top'}' must hold node names with a "
            f"'{SECTION}:' below them; '{EVERY_NODE}:' stands for every node"
        )
    for key, child in node.value:
        if key.value == SECTION:
            if not path:
                raise UsageError(
                    f"parameter file {file}: '{SECTION}:' must stand below a node name; "
                    f"'{EVERY_NODE}:' stands for every node"
                )
            yield from _parameters(child, path, "", file)
        else:
            yield from _sections(child, f"{path}/{str(key.value).strip('/')}", file)


def _parameters(node: Any, owner: str, prefix: str, file: Path) -> Iterator[Override]:
    if not isinstance(node, MappingNode):
        raise UsageError(f"parameter file {file}: '{SECTION}:' of {owner} must hold name: value")
    for key, child in node.value:
        name = f"{prefix}{key.value}"
        if isinstance(child, MappingNode):
            yield from _parameters(child, owner, f"{name}.", file)
        else:
            value = _value(child, f"parameter file {file}: '{name}' of {owner}")
            yield Override(owner, name, value)


def _value(node: Any, what: str) -> Value:
    if isinstance(node, ScalarNode):
        if str(node.tag).endswith(":null"):
            raise UsageError(f"{what}: has no value; write '' for an empty string")
        return _scalar(node)
    if isinstance(node, SequenceNode):
        items = tuple(_value(item, what) for item in node.value)
        if items and type_of(items) not in _LISTS:
            raise UsageError(
                f"{what}: a list must hold values of one type; 1.0 is not 1, and a bare y or "
                "no is a boolean"
            )
        return items  # type: ignore[return-value]
    raise UsageError(f"{what}: must be a value or a list of values")


def _scalar(node: ScalarNode) -> bool | int | float | str:
    text = str(node.value)
    if node.style in ("'", '"', "|", ">"):
        return text
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if str(node.tag).endswith(":str"):
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 16) if "0x" in text else int(text)
    if special := _SPECIAL.fullmatch(text):
        return float(special[1] + special[2].lower())
    return float(text) if _FLOAT.fullmatch(text) else text
