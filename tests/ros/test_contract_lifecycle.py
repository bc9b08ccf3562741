"""The lifecycle of a node, run by another process, whichever hosts they run on."""

from __future__ import annotations

import threading

import pytest

from owseg.errors import ImageError, UsageError
from owseg_ros.hosts.lifecycle import LifecycleHooks, State

CHANGE = "lifecycle_msgs/srv/ChangeState"
TRANSITION = "lifecycle_msgs/msg/Transition"
EVENT = "lifecycle_msgs/msg/TransitionEvent"


class Recorded(LifecycleHooks):
    """Notes which hooks ran, where; fails on demand."""

    def __init__(self):
        self.ran, self.fail = [], {}

    def _run(self, name):
        self.ran.append(name)
        if name in self.fail:
            raise self.fail[name]

    def on_configure(self):
        self._run("configure")

    def on_activate(self):
        self._run("activate")

    def on_deactivate(self):
        self._run("deactivate")

    def on_cleanup(self):
        self._run("cleanup")

    def on_shutdown(self):
        self._run("shutdown")


@pytest.fixture
def hooks():
    return Recorded()


@pytest.fixture
def managed(runtime, hooks):
    host = runtime.node("managed", managed=True)
    host.lifecycle.manage(hooks)
    return host


@pytest.fixture
def change(peer, managed):
    """Ask for a transition from the other process."""

    def ask(label="", id=0):
        transition = {"__type": TRANSITION, "label": label, "id": id}
        fields = {"transition": transition}
        return peer.ask("call", type=CHANGE, name="/managed/change_state", fields=fields)["success"]

    return ask


def ask_state(peer):
    answer = peer.ask("call", type="lifecycle_msgs/srv/GetState", name="/managed/get_state")
    return answer["current_state"]


def test_a_whole_life(change, managed, peer, hooks):
    assert ask_state(peer) == {"id": 1, "label": "unconfigured"}
    steps = {
        "configure": "inactive",
        "activate": "active",
        "deactivate": "inactive",
        "cleanup": "unconfigured",
        "shutdown": "finalized",
    }
    for label, state in steps.items():
        assert change(label) is True
        assert ask_state(peer)["label"] == state
        assert managed.lifecycle.state.label == state
    assert hooks.ran == list(steps)


def test_transitions_by_number(change, managed, hooks):
    assert change(id=1) is True
    assert change(id=3) is True
    assert change(id=7) is True
    assert managed.lifecycle.state is State.FINALIZED
    assert hooks.ran == ["configure", "activate", "shutdown"]


def test_what_is_not_possible_is_refused(change, managed, hooks, capfd):
    for label in ("activate", "deactivate", "cleanup", "nonsense"):
        assert change(label) is False
    for number in (2, 3, 4, 6, 7, 10, 99, 255):
        assert change(id=number) is False
    assert managed.lifecycle.state is State.UNCONFIGURED
    assert hooks.ran == []
    text = capfd.readouterr().err
    assert "Traceback" not in text
    assert "no transition '3' from state 'unconfigured'; possible: configure, shutdown" in text
    assert change("configure") is True
    assert change(id=1) is False
    assert managed.lifecycle.state is State.INACTIVE


@pytest.mark.parametrize("error", [ImageError("no model"), RuntimeError("surprise")])
def test_a_hook_that_fails_leaves_the_node_where_it_was(change, managed, hooks, error, capfd):
    hooks.fail = {"configure": error}
    assert change("configure") is False
    assert managed.lifecycle.state is State.UNCONFIGURED
    text = capfd.readouterr().err
    assert f"configure failed: {'no model' if isinstance(error, ImageError) else ''}" in text
    assert ("Traceback" in text) == isinstance(error, RuntimeError)
    hooks.fail = {"activate": error, "deactivate": error}
    assert change("configure") is True
    assert change("activate") is False
    assert managed.lifecycle.state is State.INACTIVE
    hooks.fail.pop("activate")
    assert change("activate") is True
    assert change("deactivate") is False
    assert managed.lifecycle.state is State.ACTIVE


def test_possible_transitions_are_listed(change, peer):
    service = {"type": "lifecycle_msgs/srv/GetAvailableTransitions"}

    def available():
        answer = peer.ask("call", **service, name="/managed/get_available_transitions")
        return {
            (item["transition"]["id"], item["transition"]["label"])
            for item in answer["available_transitions"]
        }

    assert available() == {(1, "configure"), (5, "shutdown")}
    change("configure")
    assert available() == {(2, "cleanup"), (3, "activate"), (6, "shutdown")}
    change("activate")
    assert available() == {(4, "deactivate"), (7, "shutdown")}
    states = peer.ask(
        "call", type="lifecycle_msgs/srv/GetAvailableStates", name="/managed/get_available_states"
    )["available_states"]
    assert {"unconfigured", "inactive", "active", "finalized", "activating"} <= {
        state["label"] for state in states
    }
    graph = peer.ask("call", **service, name="/managed/get_transition_graph")
    edges = {
        (edge["start_state"]["label"], edge["transition"]["label"], edge["goal_state"]["label"])
        for edge in graph["available_transitions"]
    }
    assert ("unconfigured", "configure", "configuring") in edges
    assert ("configuring", "transition_failure", "unconfigured") in edges
    assert ("activating", "transition_success", "active") in edges


def test_transitions_are_announced(change, peer, managed, eventually):
    peer.ask("subscribe", type=EVENT, topic="/managed/transition_event")
    assert eventually(lambda: managed.graph.subscriptions("/managed/transition_event"))
    change("configure")
    got = peer.ask("received", topic="/managed/transition_event", count=2)
    steps = [(item["start_state"]["label"], item["goal_state"]["label"]) for item in got]
    assert steps == [("unconfigured", "configuring"), ("configuring", "inactive")]


def test_the_state_can_be_asked_for_during_a_transition(managed, peer, hooks, eventually):
    go = threading.Event()
    hooks.on_configure = lambda: go.wait(5)
    asking = threading.Thread(target=managed.lifecycle.trigger, args=("configure",))
    asking.start()
    assert eventually(lambda: managed.lifecycle.state is State.CONFIGURING)
    assert ask_state(peer)["label"] == "configuring"
    go.set()
    asking.join(5)
    assert managed.lifecycle.state is State.INACTIVE


def test_hooks_run_in_the_main_group(runtime, managed, hooks):
    seen = []
    hooks.on_configure = lambda: seen.append(threading.get_ident())
    managed.timer(0.001, lambda: seen.append(threading.get_ident()))
    assert managed.lifecycle.trigger("configure") is True
    for _ in range(200):
        if len(seen) > 2:
            break
        threading.Event().wait(0.005)
    assert len(set(seen)) == 1
    assert seen[0] != threading.get_ident()


def test_the_node_triggers_itself(managed, hooks):
    assert managed.lifecycle.trigger("configure") is True
    with pytest.raises(UsageError, match="no transition 'configure' from state 'inactive'"):
        managed.lifecycle.trigger("configure")
    assert managed.lifecycle.trigger("activate") is True
    assert hooks.ran == ["configure", "activate"]


def test_the_end_of_the_process_shuts_the_node_down(start, hooks):
    runtime = start()
    host = runtime.node("ending", managed=True)
    host.lifecycle.manage(hooks)
    host.lifecycle.trigger("configure")
    host.lifecycle.trigger("activate")
    runtime.stop()
    runtime.close()
    assert hooks.ran == ["configure", "activate", "shutdown"]


def test_a_node_without_lifecycle_says_so(host):
    assert host.lifecycle.state is State.ACTIVE
    with pytest.raises(UsageError, match="no lifecycle"):
        host.lifecycle.trigger("configure")
