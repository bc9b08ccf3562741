"""Parameters of a node: typed, described, checked before they change."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from owseg.errors import UsageError

Value = (
    bool
    | int
    | float
    | str
    | bytes
    | tuple[bool, ...]
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
)

Validator = Callable[[Mapping[str, Value]], str | None]
"""Gets the changes by name; returns why they are refused, or None. Must not change anything."""

Listener = Callable[[Mapping[str, Value]], None]
"""Gets the changes by name, once they hold."""


class ParameterType(IntEnum):
    """Types of parameters, with the numbers of `rcl_interfaces/msg/ParameterType`."""

    NOT_SET = 0
    BOOL = 1
    INTEGER = 2
    DOUBLE = 3
    STRING = 4
    BYTE_ARRAY = 5
    BOOL_ARRAY = 6
    INTEGER_ARRAY = 7
    DOUBLE_ARRAY = 8
    STRING_ARRAY = 9


_SCALARS: dict[type, ParameterType] = {
    bool: ParameterType.BOOL,
    int: ParameterType.INTEGER,
    float: ParameterType.DOUBLE,
    str: ParameterType.STRING,
    bytes: ParameterType.BYTE_ARRAY,
}
_ARRAYS: dict[type, ParameterType] = {
    bool: ParameterType.BOOL_ARRAY,
    int: ParameterType.INTEGER_ARRAY,
    float: ParameterType.DOUBLE_ARRAY,
    str: ParameterType.STRING_ARRAY,
}
_INT64 = range(-(2**63), 2**63)


def type_of(value: object) -> ParameterType:
    """Return the type of a value; NOT_SET for an empty tuple and for what is no parameter."""
    if isinstance(value, tuple):
        kinds = {type(item) for item in value}
        return _ARRAYS.get(kinds.pop(), ParameterType.NOT_SET) if len(kinds) == 1 else _NOT_SET
    return _SCALARS.get(type(value), _NOT_SET)


_NOT_SET = ParameterType.NOT_SET


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSpec:
    """What a node says of a parameter when it declares it.

    Attributes:
        name: dots group it, e.g. "anomaly.threshold".
        default: value where neither file nor command line gives one; its type is the type
            of the parameter.
        description: one line for people, with the unit.
        minimum: smallest value of a number (each of an array); None = no bound.
        maximum: largest value.
        step: distance between allowed values, from `minimum`; 0 = any.
        choices: all allowed values of a string; empty = any.
        read_only: set at the start and never again.
        type: needed only where the default is an empty tuple.

    Raises:
        UsageError: the default does not keep to the rest.
    """

    name: str
    default: Value
    description: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float = 0.0
    choices: tuple[str, ...] = ()
    read_only: bool = False
    type: ParameterType = ParameterType.NOT_SET

    def __post_init__(self) -> None:
        """Settle the type and check the default against it."""
        if self.type is ParameterType.NOT_SET:
            object.__setattr__(self, "type", type_of(self.default))
        if not self.name or self.type is ParameterType.NOT_SET:
            raise UsageError(f"parameter '{self.name}' needs a name and a typed default")
        if reason := self.refuse(self.default):
            raise UsageError(reason)

    @property
    def constraints(self) -> str:
        """The allowed values of a string, for people."""
        return f"one of: {', '.join(self.choices)}" if self.choices else ""

    def refuse(self, value: object) -> str:
        """Say in one line why a value is not acceptable; "" = it is."""
        empty = isinstance(value, tuple) and not value and self.type >= ParameterType.BOOL_ARRAY
        if not empty and type_of(value) is not self.type:
            return f"parameter '{self.name}' takes {_article(self.type)}, got {self._shown(value)}"
        for item in value if isinstance(value, tuple) else (value,):
            if reason := self._refuse_item(item):
                return reason
        return ""

    def _shown(self, value: object) -> str:
        doubles = self.type in (ParameterType.DOUBLE, ParameterType.DOUBLE_ARRAY)
        if doubles and isinstance(value, int) and not isinstance(value, bool):
            return f"{value}, an integer; write {value}.0 for a double"
        return repr(value)

    def _refuse_item(self, item: object) -> str:
        if isinstance(item, str) and self.choices and item not in self.choices:
            return f"parameter '{self.name}' must be {' or '.join(self.choices)}, got '{item}'"
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            return ""
        if isinstance(item, int) and item not in _INT64:
            return f"parameter '{self.name}' is too large: {item}"
        return self._refuse_number(item)

    def _refuse_number(self, item: float) -> str:
        low, high = self.minimum, self.maximum
        bounded = low is not None or high is not None
        below = low is not None and item < low
        above = high is not None and item > high
        if below or above or (bounded and math.isnan(item)):
            return f"parameter '{self.name}' must be {_range(low, high)}, got {item}"
        if self.step and not _on_step(item - (low or 0.0), self.step):
            return f"parameter '{self.name}' goes in steps of {self.step:g}, got {item}"
        return ""


def _on_step(distance: float, step: float) -> bool:
    return math.isclose(distance / step, round(distance / step), abs_tol=1e-6)


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"in {low:g}..{high:g}"


def _article(kind: ParameterType) -> str:
    name = kind.name.lower().replace("_", " ")
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


class Change(NamedTuple):
    """Outcome of a request to set parameters.

    Attributes:
        ok: all were set; otherwise none was.
        reason: why they were refused, "" where they were not.
    """

    ok: bool
    reason: str = ""


class ParameterStore:
    """The parameters of one node. Safe to use from several threads."""

    def __init__(self, overrides: Mapping[str, Value] | None = None) -> None:
        self._overrides = dict(overrides or {})
        self._specs: dict[str, ParameterSpec] = {}
        self._values: dict[str, Value] = {}
        self._validators: list[Validator] = []
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()

    def declare(self, spec: ParameterSpec) -> Value:
        """Declare a parameter; a second declaration of the same name changes nothing.

        Returns:
            Its value: of the command line or a file if they give one, else the default.

        Raises:
            UsageError: the value that was given does not fit.
        """
        with self._lock:
            if spec.name not in self._specs:
                value = self._overrides.get(spec.name, spec.default)
                if reason := spec.refuse(value):
                    raise UsageError(reason)
                self._specs[spec.name] = spec
                self._values[spec.name] = value
            return self._values[spec.name]

    def get(self, name: str) -> Value:
        """Return the value of a parameter.

        Raises:
            UsageError: it was not declared.
        """
        try:
            return self._values[name]
        except KeyError:
            raise UsageError(self._unknown(name)) from None

    def spec(self, name: str) -> ParameterSpec | None:
        """Return what was declared; None = nothing of that name."""
        return self._specs.get(name)

    def names(self) -> list[str]:
        """Return the names of all parameters, sorted."""
        return sorted(self._specs)

    def unused(self) -> list[str]:
        """Return the names that were given a value and never declared, sorted."""
        return sorted(self._overrides.keys() - self._specs.keys())

    def validate_with(self, validator: Validator) -> None:
        """Ask `validator` before each change, after types and ranges were found good."""
        self._validators.append(validator)

    def on_change(self, listener: Listener) -> None:
        """Call `listener` after each change, in the thread that made it."""
        self._listeners.append(listener)

    def set(self, changes: Mapping[str, Value]) -> Change:
        """Set all of several parameters, or none of them."""
        with self._lock:
            reason = self._refuse(changes)
            if reason:
                return Change(False, reason)
            self._values.update(changes)
            for listener in self._listeners:
                listener(changes)
        return Change(True)

    def _refuse(self, changes: Mapping[str, Value]) -> str:
        reasons = (*map(self._refuse_one, changes, changes.values()),)
        found = next(filter(None, reasons), "")
        for validator in self._validators if not found else ():
            if reason := validator(changes):
                return reason
        return found

    def _refuse_one(self, name: str, value: Value) -> str:
        spec = self._specs.get(name)
        if spec is None:
            return self._unknown(name)
        if spec.read_only:
            return f"parameter '{name}' is read-only; give it a value at the start of the node"
        return spec.refuse(value)

    def _unknown(self, name: str) -> str:
        known = ", ".join(self.names())
        return f"there is no parameter '{name}'; there are {known or 'none'}"


def under(names: Iterable[str], prefixes: Iterable[str], depth: int) -> list[str]:
    """Select the names that a list request asks for.

    Args:
        names: all names.
        prefixes: groups to list, without their trailing dot; empty = everything.
        depth: levels below each prefix (or below the root); 0 = all.
    """
    groups = list(prefixes)
    if not groups:
        return [name for name in names if not depth or name.count(".") < depth]
    return [name for name in names if any(_is_under(name, group, depth) for group in groups)]


def _is_under(name: str, group: str, depth: int) -> bool:
    if name == group:
        return True
    inside = name.startswith(group + ".")
    return inside and (not depth or name[len(group) + 1 :].count(".") < depth)
