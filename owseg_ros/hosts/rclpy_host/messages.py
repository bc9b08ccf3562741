"""Messages of a sourced ROS 2: rosidl's classes, made and filled quickly.

A numeric sequence is set as `array.array`, the one form that rosidl takes over without
looking at each element.
"""

from __future__ import annotations

import array
import importlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from owseg.errors import MissingDependencyError, UsageError
from owseg_ros.hosts.base import Message

_TYPECODES = {
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float": "f",
    "double": "d",
}
_SEQUENCE = re.compile(r"sequence<(\w+)(, \d+)?>")
_ARRAY = re.compile(r"(\w+)\[\d+\]")

Convert = Callable[[Any], Any]


class RosMessages:
    """Makes messages from the classes that rosidl generated; see `base.Messages`."""

    def __init__(self) -> None:
        self._converters: dict[type, dict[str, Convert]] = {}

    def load(self, interface_type: str) -> Any:
        """Return the class of a message or service type.

        Raises:
            UsageError: the type has no such name.
            MissingDependencyError: its package is not built or not sourced.
        """
        parts = interface_type.split("/")
        if len(parts) != 3 or parts[1] not in ("msg", "srv"):
            raise UsageError(f"'{interface_type}' is no type; write package/msg/Name")
        package, kind, name = parts
        try:
            return getattr(importlib.import_module(f"{package}.{kind}"), name)
        except ImportError as err:
            raise MissingDependencyError(_how_to_get(package, err)) from err
        except AttributeError:
            raise UsageError(f"package {package} has no {kind} '{name}'") from None

    def has(self, interface_type: str) -> bool:
        """Whether a message or service type can be loaded."""
        try:
            self.load(interface_type)
        except (UsageError, MissingDependencyError):
            return False
        return True

    def make(self, message_type: str, /, **fields: Any) -> Message:
        """Make a message."""
        return self._fill(self.load(message_type), message_type, fields)

    def request(self, service_type: str, /, **fields: Any) -> Message:
        """Make a request of a service."""
        return self._fill(self.load(service_type).Request, service_type, fields)

    def response(self, service_type: str, /, **fields: Any) -> Message:
        """Make a response of a service."""
        return self._fill(self.load(service_type).Response, service_type, fields)

    def _fill(self, cls: Any, name: str, fields: dict[str, Any]) -> Message:
        converters = self._converters.get(cls)
        if converters is None:
            types = cls.get_fields_and_field_types()
            converters = self._converters[cls] = {key: _converter(types[key]) for key in types}
        message = cls()
        for key, value in fields.items():
            if key not in converters:
                raise UsageError(f"{name} has no field '{key}'; it has {', '.join(converters)}")
            if value is None:
                continue
            try:
                setattr(message, key, converters[key](value))
            except (AssertionError, TypeError, ValueError, OverflowError) as err:
                raise UsageError(f"cannot make a {name}: field '{key}': {err}") from err
        return message


def _how_to_get(package: str, err: ImportError) -> str:
    if package == "owseg_msgs":
        return (
            "owseg_msgs is not built or not sourced; run: colcon build --base-paths src "
            "src/owseg/owseg_msgs && source install/setup.bash"
        )
    dashed = package.replace("_", "-")
    return f"{package} is missing ({err}); install it with: apt install ros-$ROS_DISTRO-{dashed}"


def _converter(field_type: str) -> Convert:
    """Return what turns a value into the form that rosidl takes for a type of field."""
    if found := _SEQUENCE.fullmatch(field_type):
        item = found[1]
        if item in _TYPECODES:
            return _to_array(_TYPECODES[item])
        return _to_list(item)
    if found := _ARRAY.fullmatch(field_type):
        item = found[1]
        if item in _TYPECODES:
            dtype = np.dtype(_TYPECODES[item])
            return lambda value: np.ascontiguousarray(_buffer(value, dtype), dtype).reshape(-1)
        return _to_list(item)
    if field_type in ("float", "double"):
        return float
    if field_type in _TYPECODES:
        return int
    if field_type == "boolean":
        return bool
    if field_type == "octet":
        return _octet
    return lambda value: value


def _to_array(typecode: str) -> Convert:
    dtype = np.dtype(typecode)

    def convert(value: Any) -> array.array[Any]:
        if isinstance(value, array.array) and value.typecode == typecode:
            return value
        data = np.ascontiguousarray(_buffer(value, dtype), dtype).reshape(-1)
        filled = array.array(typecode)
        filled.frombytes(data.view(np.uint8).data)
        return filled

    return convert


def _buffer(value: Any, dtype: np.dtype[Any]) -> Any:
    is_memory = isinstance(value, (bytes, bytearray, memoryview))
    return np.frombuffer(value, dtype) if is_memory else value


def _to_list(item: str) -> Convert:
    scalars: dict[str, Convert] = {"boolean": bool, "octet": _octet}
    scalar = scalars.get(item, _same)
    return lambda value: [scalar(each) for each in value]


def _same(value: Any) -> Any:
    return value


def _octet(value: Any) -> bytes:
    return value if isinstance(value, bytes) else bytes([int(value)])
