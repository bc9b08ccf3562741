"""The lifecycle of a node on rclpy."""

from __future__ import annotations

from typing import Any

from owseg.errors import UsageError
from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.lifecycle import Edge, LifecycleHooks, LifecycleMachine, State
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.rclpy_host import ros


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

    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:  # noqa: N802
        """Answer `~/change_state`.

        rclpy's own handler, which this one has the name of, raises at the number of a
        transition that is not possible: the caller would wait for an answer for ever.
        """
        wanted = request.transition.label or int(request.transition.id)
        if self.lifecycle is not None and not self.lifecycle.allows(wanted):
            response.success = False
            return response
        return super()._LifecycleNodeMixin__on_change_state(request, response)

    def _pass_on(self, name: str) -> Any:
        done = self.lifecycle is None or self.lifecycle.run(name)
        result = ros.TransitionCallbackReturn
        return result.SUCCESS if done else result.FAILURE


class RosLifecycle:
    """The state of a managed node; see `base.Lifecycle`.

    A machine of our own makes each step that rclpy makes: rclpy has no public way to ask for
    the state, and hides why a hook failed.

    Args:
        node: whose transitions are passed on.
        main: group in which the hooks run.
        log: where failures are reported.
    """

    def __init__(self, node: ManagedNode, main: Group, log: Log) -> None:
        self._node, self._main, self._log = node, main, log
        self._machine = LifecycleMachine(LifecycleHooks(), log, _ignore)
        node.lifecycle = self

    @property
    def state(self) -> State:
        """Where the node is."""
        return self._machine.state

    def manage(self, hooks: LifecycleHooks) -> None:
        """Say what the node does at each transition."""
        self._machine = LifecycleMachine(hooks, self._log, _ignore)

    def trigger(self, transition: str) -> bool:
        """Make a transition; see `Lifecycle.trigger`."""
        self._machine.check(transition)
        result = self._main.call(getattr(self._node, f"trigger_{transition}"))
        return bool(result == ros.TransitionCallbackReturn.SUCCESS)

    def allows(self, transition: str | int) -> bool:
        """Whether a transition is possible now; if not, the log says what is."""
        try:
            self._machine.check(transition)
        except UsageError as error:
            self._log.error(str(error))
            return False
        return True

    def run(self, name: str) -> bool:
        """Run a hook in the main group."""
        return self._main.call(lambda: self._machine.trigger(name))

    def finish(self) -> None:
        """Run the shutdown hook, unless the node is finalized or within a transition."""
        if self.state in (State.UNCONFIGURED, State.INACTIVE, State.ACTIVE):
            self.trigger("shutdown")


def _ignore(edge: Edge) -> None:
    """Leave it to rclpy to announce a step."""
