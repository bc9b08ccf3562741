"""The state machine of a managed node, against the numbers of lifecycle_msgs."""

from __future__ import annotations

import pytest

from owseg.errors import ImageError, UsageError
from owseg_ros.hosts.lifecycle import GRAPH, STATES, LifecycleHooks, LifecycleMachine, State
from owseg_ros.hosts.log import Log

OUTCOMES = {
    "CONFIGURE": (10, "UNCONFIGURED", "CONFIGURING", "INACTIVE", "UNCONFIGURED"),
    "CLEANUP": (20, "INACTIVE", "CLEANINGUP", "UNCONFIGURED", "INACTIVE"),
    "ACTIVATE": (30, "INACTIVE", "ACTIVATING", "ACTIVE", "INACTIVE"),
    "DEACTIVATE": (40, "ACTIVE", "DEACTIVATING", "INACTIVE", "ACTIVE"),
    "SHUTDOWN": (50, None, "SHUTTINGDOWN", "FINALIZED", "FINALIZED"),
}
"""Per transition: number of its success, start, state between, end, end after a failure."""

ASKED = {
    "configure": [(1, "UNCONFIGURED")],
    "cleanup": [(2, "INACTIVE")],
    "activate": [(3, "INACTIVE")],
    "deactivate": [(4, "ACTIVE")],
    "shutdown": [(5, "UNCONFIGURED"), (6, "INACTIVE"), (7, "ACTIVE")],
}


class Hooks(LifecycleHooks):
    def __init__(self, error=None):
        self.error, self.ran = error, []

    def _run(self, name):
        self.ran.append(name)
        if self.error:
            raise self.error

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


def machine(hooks, edges=None, lines=None):
    log = Log(lambda level, text: (lines if lines is not None else []).append(text))
    return LifecycleMachine(hooks, log, (edges if edges is not None else []).append)


def bring(made, state):
    for name in {"INACTIVE": ["configure"], "ACTIVE": ["configure", "activate"]}.get(state, []):
        made.trigger(name)


def test_states_have_the_numbers_of_ros():
    assert [state.value for state in STATES] == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15]
    assert State.SHUTTINGDOWN.label == "shuttingdown"


def test_the_graph_has_all_transitions():
    found = {(edge.id, edge.start.name, edge.goal.name): edge.label for edge in GRAPH}
    for name, ways in ASKED.items():
        between = OUTCOMES[name.upper()][2]
        for number, start in ways:
            assert found[number, start, between] == name
    for success, _, between, end, failed in OUTCOMES.values():
        assert found[success, between, end] == "transition_success"
        assert found[success + 1, between, failed] == "transition_failure"
        assert found[success + 2, between, "ERRORPROCESSING"] == "transition_error"
    assert len(GRAPH) == 7 + 15 + 3


@pytest.mark.parametrize("error", [None, ImageError("bad"), ValueError("worse")])
@pytest.mark.parametrize(
    ("name", "number", "start"),
    [(name, *way) for name, ways in ASKED.items() for way in ways],
)
def test_every_transition(name, number, start, error):
    hooks, edges, lines = Hooks(), [], []
    made = machine(hooks, edges, lines)
    bring(made, start)
    edges.clear()
    hooks.ran.clear()
    hooks.error = error
    success, _, between, end, failed = OUTCOMES[name.upper()]
    assert made.trigger(number) is (error is None)
    assert hooks.ran == [name]
    goal = end if error is None else failed
    assert made.state.name == goal
    assert [(edge.id, edge.start.name, edge.goal.name) for edge in edges] == [
        (number, start, between),
        (success + (error is not None), between, goal),
    ]
    if error:
        assert str(error) in lines[0]
        assert ("Traceback" in lines[0]) == isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("state", "possible"),
    [
        ("UNCONFIGURED", ["configure", "shutdown"]),
        ("INACTIVE", ["cleanup", "activate", "shutdown"]),
        ("ACTIVE", ["deactivate", "shutdown"]),
        ("FINALIZED", []),
    ],
)
def test_nothing_else_is_possible(state, possible):
    hooks = Hooks()
    made = machine(hooks)
    bring(made, state)
    if state == "FINALIZED":
        made.trigger("shutdown")
    assert [edge.label for edge in made.available()] == possible
    hooks.ran.clear()
    for name in [*(set(ASKED) - set(possible)), "nonsense", 0, 10, 99]:
        with pytest.raises(UsageError, match=f"from state '{state.lower()}'"):
            made.trigger(name)
    assert made.state.name == state
    assert hooks.ran == []


def test_a_hook_cannot_start_another_transition():
    hooks = Hooks()
    made = machine(hooks)
    hooks.on_configure = lambda: made.trigger("activate")
    assert made.trigger("configure") is False
    assert made.state is State.UNCONFIGURED


def test_hooks_do_nothing_by_default():
    made = machine(LifecycleHooks())
    for name in ("configure", "activate", "deactivate", "cleanup", "shutdown"):
        assert made.trigger(name) is True
    assert made.state is State.FINALIZED
