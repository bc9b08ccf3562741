"""The parameters of a node on rclpy: its store and services, our rules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from owseg.errors import UsageError
from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.parameters import Listener, ParameterSpec, ParameterType, Validator, Value
from owseg_ros.hosts.rclpy_host import ros

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


class RosParameters:
    """The parameters of one node; see `base.Parameters`.

    Args:
        node: of rclpy.
        main: group in which listeners are called.
        defaults: values of the program, instead of those that are declared.
        given: values of files and arguments, as far as they are known; rclpy reads its own.
    """

    def __init__(
        self,
        node: Any,
        main: Group,
        defaults: Mapping[str, Value],
        given: Mapping[str, Value],
    ) -> None:
        self._node, self._main = node, main
        self._defaults, self._given = dict(defaults), dict(given)
        self._specs: dict[str, ParameterSpec] = {}
        self._validators: list[Validator] = []
        self._listeners: list[Listener] = []
        for name in defaults.keys() - given.keys():
            if node.has_parameter(name):  # rclpy's own, such as use_sim_time
                node.set_parameters([ros.Parameter(name, value=plain(defaults[name]))])
        node.add_on_set_parameters_callback(self._check)
        if hasattr(node, "add_post_set_parameters_callback"):
            node.add_post_set_parameters_callback(self._tell)
            self._tells_after = True
        else:  # Humble
            self._tells_after = False

    def declare(self, spec: ParameterSpec) -> Value:
        """Declare a parameter; see `Parameters.declare`."""
        if spec.name not in self._specs:
            value = self._declare(spec)
            if reason := spec.refuse(value):
                raise UsageError(reason)
            self._specs[spec.name] = spec
        return self.get(spec.name)

    def _declare(self, spec: ParameterSpec) -> Value:
        default = self._defaults.get(spec.name, spec.default)
        if reason := spec.refuse(default):
            raise UsageError(reason)
        if self._node.has_parameter(spec.name):
            return _value(self._node.get_parameter(spec.name))
        # A list without items tells no type: it is declared by its type, and then filled.
        is_empty = isinstance(default, tuple) and not default
        first = ros.Parameter.Type(int(spec.type)) if is_empty else plain(default)
        try:
            made = self._node.declare_parameter(spec.name, first, _descriptor(spec))
        except (ros.InvalidParameterTypeException, ros.InvalidParameterValueException) as err:
            given = self._given.get(spec.name)
            text = None if given is None else spec.refuse(given)
            raise UsageError(text or f"parameter '{spec.name}': {err}") from err
        if made.value is None:
            self._node.set_parameters([ros.Parameter(spec.name, self._type_of(spec), [])])
        return _value(made)

    def get(self, name: str) -> Value:
        """Return the value of a parameter."""
        try:
            return _value(self._node.get_parameter(name))
        except ros.ParameterNotDeclaredException:
            known = ", ".join(sorted(self._specs)) or "none"
            raise UsageError(f"there is no parameter '{name}'; there are {known}") from None
        except ros.ParameterUninitializedException:  # an empty list that is read-only
            return ()

    def set(self, changes: Mapping[str, Value]) -> None:
        """Set all of several parameters, or none of them."""
        for name, value in changes.items():
            spec = self._specs.get(name)
            if spec and (reason := spec.refuse(value)):
                raise UsageError(reason)
        parameters = [
            ros.Parameter(name, self._type_of(self._specs.get(name)), plain(value))
            for name, value in changes.items()
        ]
        try:
            result = self._node.set_parameters_atomically(parameters)
        except ros.ParameterNotDeclaredException as err:
            raise UsageError(str(err)) from err
        if not result.successful:
            raise UsageError(result.reason)

    @staticmethod
    def _type_of(spec: ParameterSpec | None) -> Any:
        return ros.Parameter.Type(int(spec.type)) if spec else None

    def validate_with(self, validator: Validator) -> None:
        """Ask before each change."""
        self._validators.append(validator)

    def on_change(self, listener: Listener) -> None:
        """Be told of changes, in the main group."""
        self._listeners.append(listener)

    def unused(self) -> list[str]:
        """Return names that were given a value and never declared."""
        names = self._given.keys() | self._defaults.keys()
        return sorted(name for name in names if not self._node.has_parameter(name))

    def _check(self, parameters: list[Any]) -> Any:
        """Refuse what rclpy does not: values that are no choice, and what validators refuse."""
        changes = self._changes(parameters)
        reasons = [self._specs[name].refuse(value) for name, value in changes.items()]
        reasons += [validator(changes) or "" for validator in self._validators if changes]
        reason = next(filter(None, reasons), "")
        if not reason and not self._tells_after:
            self._tell(parameters)
        return ros.SetParametersResult(successful=not reason, reason=reason)

    def _tell(self, parameters: list[Any]) -> None:
        changes = self._changes(parameters)
        for listener in self._listeners if changes else ():
            self._main.post(partial(listener, changes))

    def _changes(self, parameters: list[Any]) -> dict[str, Value]:
        """Return the values of declared parameters; one that is being declared is not yet."""
        return {p.name: _value(p) for p in parameters if p.name in self._specs}


def _value(parameter: Any) -> Value:
    value = parameter.value
    if value is None:
        return ()
    kind = int(parameter.type_.value)
    if kind == ParameterType.BYTE_ARRAY:
        return b"".join(value)
    return tuple(value) if kind >= ParameterType.BOOL_ARRAY else value


def plain(value: Value) -> Any:
    """Return a value in the form that rclpy takes."""
    if isinstance(value, bytes):
        return [bytes([byte]) for byte in value]
    return list(value) if isinstance(value, tuple) else value


def _descriptor(spec: ParameterSpec) -> Any:
    descriptor = ros.ParameterDescriptor(
        name=spec.name,
        type=int(spec.type),
        description=spec.description,
        additional_constraints=spec.constraints,
        read_only=spec.read_only,
    )
    low, high = spec.minimum, spec.maximum
    if low is None and high is None:
        return descriptor
    if spec.type is ParameterType.INTEGER:
        bounds = ros.IntegerRange(
            from_value=_INT64_MIN if low is None else int(low),
            to_value=_INT64_MAX if high is None else int(high),
            step=int(spec.step),
        )
        descriptor.integer_range = [bounds]
    elif spec.type is ParameterType.DOUBLE:
        bounds = ros.FloatingPointRange(
            from_value=-float("inf") if low is None else float(low),
            to_value=float("inf") if high is None else float(high),
            step=float(spec.step),
        )
        descriptor.floating_point_range = [bounds]
    return descriptor
