"""Any course of changes leaves a prototype store as it leaves a plain model."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from owseg.errors import PrototypeError
from owseg.prototypes import PrototypeStore

plain = runpy.run_path(str(Path(__file__).with_name("store_model.py")))
Model, Refused = plain["Model"], plain["RefusedError"]

NAMES = st.sampled_from(["car", "Car", " car ", "sofa", "owl", "ROAD", "sky", "", "änte", "ÄNTE"])
MEMORY = Path("/dev/shm")


class StoreMachine(RuleBasedStateMachine):
    """Any course of changes, by two connections in turn, closed and opened in between."""

    @initialize()
    def start(self):
        self.folder = TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
        self.path = Path(self.folder.name) / "classes.db"
        self.model = Model()
        self.stores = [PrototypeStore(self.path, create=True) for _ in range(2)]

    def both(self, action, **arguments):
        """Make a change in the model and in one store; both do it, or both refuse."""
        self.stores.reverse()
        stripped = {k: v.strip() if k in ("name", "new") else v for k, v in arguments.items()}
        try:
            getattr(self.model, action)(**stripped)
        except Refused:
            with pytest.raises(PrototypeError):
                plain["apply"](self.stores[0], action, arguments)
        else:
            plain["apply"](self.stores[0], action, arguments)

    @rule(name=NAMES, seed=st.integers(0, 99))
    def add(self, name, seed):
        self.both("add", **plain["new_class"](name, plain["Random"](seed)))

    @rule(old=NAMES, new=NAMES)
    def rename(self, old, new):
        self.both("rename", old=old, new=new)

    @rule(name=NAMES)
    def remove(self, name):
        self.both("remove", name=name)

    @rule()
    def undo(self):
        self.both("undo")

    @rule()
    def reopen(self):
        self.stores[0].close()
        self.stores[0] = PrototypeStore(self.path)

    @invariant()
    def same(self):
        for store in self.stores:
            assert store.version == self.model.version
            assert plain["content_of"](store.read()) == self.model.content()
            assert plain["log_of"](store) == self.model.log

    def teardown(self):
        for store in self.stores:
            store.close()
        assert [file.name for file in Path(self.folder.name).iterdir()] == ["classes.db"]
        self.folder.cleanup()


TestAnyCourse = StoreMachine.TestCase
TestAnyCourse.settings = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
