"""The parameters of a node as others see them: six services and `/parameter_events`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from owseg.errors import UsageError
from owseg_ros.hosts.base import NS_PER_S, Message, Publisher
from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.parameters import (
    Change,
    Listener,
    ParameterSpec,
    ParameterStore,
    ParameterType,
    Validator,
    Value,
    under,
)
from owseg_ros.hosts.standalone.interfaces import Interfaces

PACKAGE = "rcl_interfaces"
EVENT_TYPE = f"{PACKAGE}/msg/ParameterEvent"
EVENT_TOPIC = "/parameter_events"

_FIELDS = {
    ParameterType.BOOL: "bool_value",
    ParameterType.INTEGER: "integer_value",
    ParameterType.DOUBLE: "double_value",
    ParameterType.STRING: "string_value",
    ParameterType.BYTE_ARRAY: "byte_array_value",
    ParameterType.BOOL_ARRAY: "bool_array_value",
    ParameterType.INTEGER_ARRAY: "integer_array_value",
    ParameterType.DOUBLE_ARRAY: "double_array_value",
    ParameterType.STRING_ARRAY: "string_array_value",
}


class StoredParameters:
    """The parameters of a node as its own code sees them.

    Args:
        store: holds them.
        main: group in which listeners are called.
    """

    def __init__(self, store: ParameterStore, main: Group) -> None:
        self._store = store
        self._main = main

    def declare(self, spec: ParameterSpec) -> Value:
        """Declare a parameter; see `Parameters.declare`."""
        return self._store.declare(spec)

    def get(self, name: str) -> Value:
        """Return a value."""
        return self._store.get(name)

    def set(self, changes: Mapping[str, Value]) -> None:
        """Set all of several parameters, or none of them."""
        change = self._store.set(changes)
        if not change.ok:
            raise UsageError(change.reason)

    def validate_with(self, validator: Validator) -> None:
        """Ask before each change."""
        self._store.validate_with(validator)

    def on_change(self, listener: Listener) -> None:
        """Be told of changes, in the main group."""
        self._store.on_change(lambda changes: self._main.post(lambda: listener(changes)))

    def unused(self) -> list[str]:
        """Return names that were given a value and never declared."""
        return self._store.unused()


class ParameterServer:
    """Answers questions of others about the parameters of one node.

    Args:
        store: holds the parameters.
        interfaces: types of the messages.
        publisher: of `/parameter_events`.
        full_name: of the node.
        now_ns: its clock.
    """

    def __init__(
        self,
        store: ParameterStore,
        interfaces: Interfaces,
        publisher: Publisher,
        full_name: str,
        now_ns: Callable[[], int],
    ) -> None:
        self._store, self._interfaces, self._publisher = store, interfaces, publisher
        self._full_name, self._now_ns = full_name, now_ns
        store.on_change(self._announce)

    def services(self) -> dict[str, Callable[[Message], Message]]:
        """Return the handlers by the name of their service type."""
        return {
            "DescribeParameters": self._describe,
            "GetParameterTypes": self._types,
            "GetParameters": self._get,
            "ListParameters": self._list,
            "SetParameters": self._set,
            "SetParametersAtomically": self._set_atomically,
        }

    def _response(self, name: str, /, **fields: Any) -> Message:
        return self._interfaces.response(f"{PACKAGE}/srv/{name}", **fields)

    def _make(self, name: str, /, **fields: Any) -> Message:
        return self._interfaces.make(f"{PACKAGE}/msg/{name}", **fields)

    def _get(self, request: Message) -> Message:
        known = all(self._store.spec(name) for name in request.names)
        values = [self._value(name) for name in request.names if known]
        return self._response("GetParameters", values=values)

    def _types(self, request: Message) -> Message:
        specs = [self._store.spec(name) for name in request.names]
        types = [int(spec.type) for spec in specs if spec] if all(specs) else []
        return self._response("GetParameterTypes", types=np.array(types, np.uint8))

    def _describe(self, request: Message) -> Message:
        specs = [self._store.spec(name) for name in request.names]
        described = [self._descriptor(spec) for spec in specs if spec] if all(specs) else []
        return self._response("DescribeParameters", descriptors=described)

    def _list(self, request: Message) -> Message:
        names = under(self._store.names(), request.prefixes, int(request.depth))
        prefixes = sorted({name.rpartition(".")[0] for name in names} - {""})
        result = self._make("ListParametersResult", names=names, prefixes=prefixes)
        return self._response("ListParameters", result=result)

    def _set(self, request: Message) -> Message:
        changes = [self._change([item]) for item in request.parameters]
        return self._response("SetParameters", results=[self._result(c) for c in changes])

    def _set_atomically(self, request: Message) -> Message:
        change = self._change(request.parameters)
        return self._response("SetParametersAtomically", result=self._result(change))

    def _change(self, parameters: Iterable[Message]) -> Change:
        changes: dict[str, Value] = {}
        for item in parameters:
            value = value_of(item.value)
            if value is None:
                return Change(False, f"parameter '{item.name}' cannot be deleted")
            changes[item.name] = value
        return self._store.set(changes)

    def _result(self, change: Change) -> Message:
        return self._make("SetParametersResult", successful=change.ok, reason=change.reason)

    def _value(self, name: str) -> Message:
        spec, value = self._store.spec(name), self._store.get(name)
        kind = spec.type if spec else ParameterType.NOT_SET
        return self._make("ParameterValue", type=int(kind), **{_FIELDS[kind]: value})

    def _descriptor(self, spec: ParameterSpec) -> Message:
        return self._make(
            "ParameterDescriptor",
            name=spec.name,
            type=int(spec.type),
            description=spec.description,
            additional_constraints=spec.constraints,
            read_only=spec.read_only,
            **self._range(spec),
        )

    def _range(self, spec: ParameterSpec) -> dict[str, Any]:
        is_number = spec.type in (ParameterType.INTEGER, ParameterType.DOUBLE)
        if not is_number or (spec.minimum is None and spec.maximum is None):
            return {}
        if spec.type is ParameterType.INTEGER:
            low = -(2**63) if spec.minimum is None else int(spec.minimum)
            high = 2**63 - 1 if spec.maximum is None else int(spec.maximum)
            bounds = {"from_value": low, "to_value": high, "step": int(spec.step)}
            return {"integer_range": [self._make("IntegerRange", **bounds)]}
        low_f = -np.inf if spec.minimum is None else float(spec.minimum)
        high_f = np.inf if spec.maximum is None else float(spec.maximum)
        bounds_f = {"from_value": low_f, "to_value": high_f, "step": float(spec.step)}
        return {"floating_point_range": [self._make("FloatingPointRange", **bounds_f)]}

    def _announce(self, changes: Mapping[str, Value]) -> None:
        if not self._publisher.subscribers:
            return
        sec, nanosec = divmod(self._now_ns(), NS_PER_S)
        changed = [self._make("Parameter", name=name, value=self._value(name)) for name in changes]
        self._publisher.publish(
            self._make(
                "ParameterEvent",
                stamp=self._interfaces.make(
                    "builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec
                ),
                node=self._full_name,
                changed_parameters=changed,
            )
        )


def value_of(message: Message) -> Value | None:
    """Return the value in a `ParameterValue`; None = not set."""
    try:
        kind = ParameterType(message.type)
    except ValueError:
        return None
    if kind is ParameterType.NOT_SET:
        return None
    content = getattr(message, _FIELDS[kind])
    if kind is ParameterType.BYTE_ARRAY:
        return np.asarray(content).view(np.uint8).tobytes()
    if kind >= ParameterType.BOOL_ARRAY:
        return tuple(content.tolist() if isinstance(content, np.ndarray) else content)
    return content  # type: ignore[no-any-return]
