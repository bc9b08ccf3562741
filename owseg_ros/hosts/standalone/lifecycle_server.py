"""The lifecycle of a node as others see it: five services and `~/transition_event`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from owseg.errors import UsageError
from owseg_ros.hosts.base import Message, Publisher
from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.lifecycle import (
    GRAPH,
    STATES,
    Edge,
    LifecycleHooks,
    LifecycleMachine,
    State,
)
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.standalone.interfaces import Interfaces

PACKAGE = "lifecycle_msgs"
EVENT_TYPE = f"{PACKAGE}/msg/TransitionEvent"
EVENT_TOPIC = "~/transition_event"

QUESTIONS = {
    "get_state": "GetState",
    "get_available_states": "GetAvailableStates",
    "get_available_transitions": "GetAvailableTransitions",
    "get_transition_graph": "GetAvailableTransitions",
}
"""Services that only ask, with their types; they are answered even during a transition."""


class ServedLifecycle:
    """The lifecycle of one node.

    Args:
        interfaces: types of the messages.
        publisher: of `~/transition_event`.
        log: where failures are reported.
        now_ns: clock of the node.
        main: group in which the hooks run.
    """

    def __init__(
        self,
        interfaces: Interfaces,
        publisher: Publisher,
        log: Log,
        now_ns: Callable[[], int],
        main: Group,
    ) -> None:
        self._interfaces, self._publisher, self._log = interfaces, publisher, log
        self._now_ns, self._main = now_ns, main
        self._machine = LifecycleMachine(LifecycleHooks(), log, self._announce)

    @property
    def state(self) -> State:
        """Where the node is."""
        return self._machine.state

    def manage(self, hooks: LifecycleHooks) -> None:
        """Say what the node does at each transition."""
        self._machine = LifecycleMachine(hooks, self._log, self._announce)

    def trigger(self, transition: str) -> bool:
        """Make a transition; see `Lifecycle.trigger`."""
        return self._main.call(lambda: self._machine.trigger(transition))

    def finish(self) -> None:
        """Run the shutdown hook, unless the node is finalized or within a transition."""
        if self.state in (State.UNCONFIGURED, State.INACTIVE, State.ACTIVE):
            self.trigger("shutdown")

    def change_state(self, request: Message) -> Message:
        """Answer `~/change_state`; runs the hook."""
        wanted = request.transition.label or int(request.transition.id)
        try:
            succeeded = self._machine.trigger(wanted)
        except UsageError as err:
            self._log.error(str(err))
            succeeded = False
        return self._response("ChangeState", success=succeeded)

    def questions(self) -> dict[str, Callable[[Message], Message]]:
        """Return the handlers of `QUESTIONS`."""
        return {
            "get_state": lambda _: self._response(
                "GetState", current_state=self._state(self._machine.state)
            ),
            "get_available_states": lambda _: self._response(
                "GetAvailableStates", available_states=[self._state(state) for state in STATES]
            ),
            "get_available_transitions": lambda _: self._edges(self._machine.available()),
            "get_transition_graph": lambda _: self._edges(GRAPH),
        }

    def _edges(self, edges: Iterable[Edge]) -> Message:
        described = [
            self._make(
                "TransitionDescription",
                transition=self._make("Transition", id=edge.id, label=edge.label),
                start_state=self._state(edge.start),
                goal_state=self._state(edge.goal),
            )
            for edge in edges
        ]
        return self._response("GetAvailableTransitions", available_transitions=described)

    def _announce(self, edge: Edge) -> None:
        self._publisher.publish(
            self._make(
                "TransitionEvent",
                timestamp=self._now_ns(),
                transition=self._make("Transition", id=edge.id, label=edge.label),
                start_state=self._state(edge.start),
                goal_state=self._state(edge.goal),
            )
        )

    def _state(self, state: State) -> Message:
        return self._make("State", id=int(state), label=state.label)

    def _make(self, name: str, /, **fields: Any) -> Message:
        return self._interfaces.make(f"{PACKAGE}/msg/{name}", **fields)

    def _response(self, name: str, /, **fields: Any) -> Message:
        return self._interfaces.response(f"{PACKAGE}/srv/{name}", **fields)
