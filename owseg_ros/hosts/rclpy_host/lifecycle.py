"""The lifecycle of a node on rclpy."""

from __future__ import annotations

import traceback
from typing import Any

from owseg.errors import OwsegError, UsageError
from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.lifecycle import LifecycleHooks, State
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.rclpy_host import ros

_FROM = {
    "configure": (State.UNCONFIGURED,),
    "activate": (State.INACTIVE,),
    "deactivate": (State.ACTIVE,),
    "cleanup": (State.INACTIVE,),
    "shutdown": (State.UNCONFIGURED, State.INACTIVE, State.ACTIVE),
}


class ManagedNode(ros.LifecycleNodeMixin, ros.Node):  # type: ignore[misc]
    """A lifecycle node of rclpy that passes its transitions on.

    Its lifecycle services have a group of their own, so that the state can be asked for
    during a transition.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.lifecycle: RosLifecycle | None = None
        ros.Node.__init__(self, name, **options)
        ros.LifecycleNodeMixin.__init__(self, callback_group=ros.ReentrantCallbackGroup())

    def on_configure(self, state: Any) -> Any:
        """Pass on."""
        return self._pass_on("configure")

    def on_activate(self, state: Any) -> Any:
        """Pass on."""
        return self._pass_on("activate")

    def on_deactivate(self, state: Any) -> Any:
        """Pass on."""
        return self._pass_on("deactivate")

    def on_cleanup(self, state: Any) -> Any:
        """Pass on."""
        return self._pass_on("cleanup")

    def on_shutdown(self, state: Any) -> Any:
        """Pass on."""
        return self._pass_on("shutdown")

    def _pass_on(self, name: str) -> Any:
        done = self.lifecycle is None or self.lifecycle.run(name)
        result = ros.TransitionCallbackReturn
        return result.SUCCESS if done else result.FAILURE


class RosLifecycle:
    """The state of a managed node; see `base.Lifecycle`.

    Args:
        node: whose transitions are passed on.
        main: group in which the hooks run.
        log: where failures are reported.
    """

    def __init__(self, node: ManagedNode, main: Group, log: Log) -> None:
        self._node, self._main, self._log = node, main, log
        self._hooks = LifecycleHooks()
        node.lifecycle = self

    @property
    def state(self) -> State:
        """Where the node is."""
        # rclpy has no public way to ask; the attribute is the same in Humble and later.
        return State(self._node._state_machine.current_state[0])

    def manage(self, hooks: LifecycleHooks) -> None:
        """Say what the node does at each transition."""
        self._hooks = hooks

    def trigger(self, transition: str) -> bool:
        """Make a transition; see `Lifecycle.trigger`."""
        if self.state not in _FROM.get(transition, ()):
            possible = ", ".join(name for name, states in _FROM.items() if self.state in states)
            raise UsageError(
                f"no transition '{transition}' from state '{self.state.label}'; "
                f"possible: {possible or 'nothing more'}"
            )
        result = self._main.call(getattr(self._node, f"trigger_{transition}"))
        return bool(result == ros.TransitionCallbackReturn.SUCCESS)

    def run(self, name: str) -> bool:
        """Run a hook in the main group; report its failure, because rclpy would hide it."""
        try:
            self._main.call(getattr(self._hooks, f"on_{name}"))
        except OwsegError as err:
            self._log.error(f"{name} failed: {err}")
        except Exception:
            self._log.error(f"{name} failed: {traceback.format_exc().rstrip()}")
        else:
            return True
        return False

    def finish(self) -> None:
        """Run the shutdown hook, unless the node is finalized or within a transition."""
        if self.state in _FROM["shutdown"]:
            self.trigger("shutdown")
