"""The life of a managed node: states, transitions, and the hooks that a node fills in."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import Literal, NamedTuple

from owseg.errors import OwsegError, UsageError
from owseg_ros.hosts.log import Log

Transition = Literal["configure", "activate", "deactivate", "cleanup", "shutdown"]


class State(IntEnum):
    """States, with the numbers of `lifecycle_msgs/msg/State`."""

    UNKNOWN = 0
    UNCONFIGURED = 1
    INACTIVE = 2
    ACTIVE = 3
    FINALIZED = 4
    CONFIGURING = 10
    CLEANINGUP = 11
    SHUTTINGDOWN = 12
    ACTIVATING = 13
    DEACTIVATING = 14
    ERRORPROCESSING = 15

    @property
    def label(self) -> str:
        """The name that ROS 2 tools show."""
        return self.name.lower()


class LifecycleHooks:
    """What a node does at each transition.

    A hook that returns has succeeded, one that raises has failed: the node stays where it
    was, and the reason is logged. Hooks run one at a time, between the handlers of the
    node's main group.
    """

    def on_configure(self) -> None:
        """Load what the node needs."""

    def on_activate(self) -> None:
        """Start to work: subscribe, publish."""

    def on_deactivate(self) -> None:
        """Stop to work; keep what was loaded."""

    def on_cleanup(self) -> None:
        """Free what `on_configure` loaded."""

    def on_shutdown(self) -> None:
        """Free everything, from whichever state."""


class Edge(NamedTuple):
    """One way from a state to another.

    Attributes:
        id: number in `lifecycle_msgs/msg/Transition`.
        label: as ROS 2 tools show it.
        start: where it begins.
        goal: where it ends.
    """

    id: int
    label: str
    start: State
    goal: State


class _Step(NamedTuple):
    """A transition that can be asked for, with where it passes and where it ends."""

    id: int
    name: Transition
    start: State
    during: State
    success: State
    failure: State


_U, _I, _A, _F = State.UNCONFIGURED, State.INACTIVE, State.ACTIVE, State.FINALIZED
_DOWN = State.SHUTTINGDOWN

_STEPS = (
    _Step(1, "configure", _U, State.CONFIGURING, _I, _U),
    _Step(2, "cleanup", _I, State.CLEANINGUP, _U, _I),
    _Step(3, "activate", _I, State.ACTIVATING, _A, _I),
    _Step(4, "deactivate", _A, State.DEACTIVATING, _I, _A),
    _Step(5, "shutdown", _U, _DOWN, _F, _F),
    _Step(6, "shutdown", _I, _DOWN, _F, _F),
    _Step(7, "shutdown", _A, _DOWN, _F, _F),
)
_OUTCOMES = {
    "configure": 10,
    "cleanup": 20,
    "activate": 30,
    "deactivate": 40,
    "shutdown": 50,
}
_ERROR_OUTCOMES = (
    Edge(60, "transition_success", State.ERRORPROCESSING, _U),
    Edge(61, "transition_failure", State.ERRORPROCESSING, _F),
    Edge(62, "transition_error", State.ERRORPROCESSING, _F),
)


def _edges() -> tuple[Edge, ...]:
    asked = [Edge(step.id, step.name, step.start, step.during) for step in _STEPS]
    ended: dict[int, Edge] = {}
    for step in _STEPS:
        base = _OUTCOMES[step.name]
        for offset, word, goal in (
            (0, "success", step.success),
            (1, "failure", step.failure),
            (2, "error", State.ERRORPROCESSING),
        ):
            ended[base + offset] = Edge(base + offset, f"transition_{word}", step.during, goal)
    return (*asked, *ended.values(), *_ERROR_OUTCOMES)


GRAPH = _edges()
"""All transitions of a managed node."""

STATES = tuple(State)
"""All states, in the order of their numbers."""

Notify = Callable[[Edge], None]
"""Is told of each step, once it is done."""


class LifecycleMachine:
    """The state of one node, and the only way to change it.

    Args:
        hooks: what the node does.
        log: where failures are reported.
        notify: is told of each change of state, for `~/transition_event`.
    """

    def __init__(self, hooks: LifecycleHooks, log: Log, notify: Notify) -> None:
        self._hooks = hooks
        self._log = log
        self._notify = notify
        self._state = State.UNCONFIGURED
        self._lock = threading.RLock()

    @property
    def state(self) -> State:
        """Where the node is; during a hook, the state between two."""
        return self._state

    def available(self) -> list[Edge]:
        """Return the transitions that can be asked for now."""
        return [edge for edge in GRAPH if edge.start is self._state]

    def trigger(self, transition: str | int) -> bool:
        """Go from one state to another, and run the hook in between.

        Args:
            transition: name ("configure") or number; "shutdown" works from every state.

        Returns:
            Whether the hook succeeded.

        Raises:
            UsageError: there is no such transition from this state.
        """
        with self._lock:
            step = self._step(transition)
            self._go(step.id, step.name, step.during)
            succeeded = self._run(step.name)
            number = _OUTCOMES[step.name] + (not succeeded)
            word = "success" if succeeded else "failure"
            self._go(number, f"transition_{word}", step.success if succeeded else step.failure)
        return succeeded

    def check(self, transition: str | int) -> None:
        """Make sure that a transition can be asked for now.

        Raises:
            UsageError: there is no such transition from this state.
        """
        self._step(transition)

    def _step(self, transition: str | int) -> _Step:
        for step in _STEPS:
            if step.start is self._state and transition in (step.id, step.name):
                return step
        names = ", ".join(edge.label for edge in self.available()) or "nothing more"
        raise UsageError(
            f"no transition '{transition}' from state '{self._state.label}'; possible: {names}"
        )

    def _go(self, number: int, label: str, goal: State) -> None:
        edge = Edge(number, label, self._state, goal)
        self._state = goal
        self._notify(edge)

    def _run(self, name: Transition) -> bool:
        hook: Callable[[], None] = getattr(self._hooks, f"on_{name}")
        try:
            hook()
        except OwsegError as err:
            self._log.error(f"{name} failed: {err}")
        except Exception:
            self._log.error(f"{name} failed: {traceback.format_exc().rstrip()}")
        else:
            return True
        return False


class UnmanagedLifecycle:
    """Of a node without a lifecycle: always active."""

    state = State.ACTIVE

    def manage(self, hooks: LifecycleHooks) -> None:
        """Refuse."""
        raise UsageError("this node was opened without a lifecycle")

    def trigger(self, transition: str) -> bool:
        """Refuse."""
        raise UsageError(f"this node has no lifecycle: it cannot {transition}")
