"""Compiled functions: exact floats, no lock, and no need for a folder to cache in."""

from __future__ import annotations

import builtins
import importlib
import os
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from owseg import jit
from owseg.errors import MissingDependencyError

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import small
print(small.twice(21), sorted(small.twice.stats.cache_misses.values()))
"""

SMALL = """
from functools import partial

from owseg.jit import CONTRACTED, entry, inner

@partial(inner, options=CONTRACTED)
def add(a, b):
    return a + b

@partial(entry, options=CONTRACTED)
def twice(a):
    return add(a, a)
"""


def scaled(values, factor, offset):
    total = np.float32(0)
    for value in values:
        total += value * factor + offset
    return total


def test_products_and_sums_are_rounded_one_by_one():
    rng = np.random.default_rng(0)
    values = rng.normal(size=2000).astype(np.float32)
    factor, offset = np.float32(1.1), np.float32(-0.3)
    assert jit.inner(scaled)(values, factor, offset) == scaled(values, factor, offset)


def test_contraction_is_all_that_is_allowed_beyond():
    compiled = jit.inner(scaled, jit.CONTRACTED)
    assert compiled.targetoptions["fastmath"] == {"contract"}
    assert compiled.targetoptions["nogil"]
    assert jit.inner(scaled).targetoptions.get("fastmath", False) is False
    assert np.isnan(compiled(np.array([np.nan, 1], np.float32), np.float32(1), np.float32(0)))


def run_small(folder, **environment):
    """Compile and run a small entry in a new process: its result, and cache misses."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_code_is_compiled_once_for_all_processes(tmp_path):
    (tmp_path / "small.py").write_text(SMALL)
    cache = tmp_path / "cache"
    assert run_small(tmp_path, NUMBA_CACHE_DIR=cache) == "42 [1]"
    assert list(cache.rglob("small.twice*.nbc"))
    assert run_small(tmp_path, NUMBA_CACHE_DIR=cache) == "42 []"


def test_an_entry_is_cached():
    assert jit.entry(scaled)._cache.__class__.__name__ == "FunctionCache"


def test_without_a_folder_each_process_compiles(monkeypatch):
    caching = importlib.import_module("numba.core.caching")
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    compiled = jit.entry(scaled)
    assert compiled._cache.__class__.__name__ == "NullCache"
    assert compiled(np.ones(3, np.float32), np.float32(2), np.float32(1)) == 9


@pytest.mark.parametrize("compiling", [jit.inner, jit.entry])
def test_the_lock_is_released(compiling):
    assert compiling(scaled).targetoptions["nogil"]


def test_division_by_zero_is_no_exception():
    assert jit.inner(lambda a, b: a / b)(1.0, 0.0) == np.inf


def test_without_numba(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **more):
        if name == "numba":
            raise ImportError("No module named 'numba'")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"numba.*pip install numba"):
        jit.entry(scaled)


def test_a_cache_that_fails_is_forgotten():
    compiled = jit.entry(scaled)

    def broken(*arguments):
        raise EOFError

    compiled._cache.load_overload = broken
    module = ModuleType("kernels")
    module.compiled, module.other = compiled, 3
    arguments = np.ones(3, np.float32), np.float32(2), np.float32(1)
    with pytest.raises(EOFError):
        compiled(*arguments)
    found = []
    jit.warm_up(lambda: found.append(compiled(*arguments)), module)
    assert found == [9]


def test_an_error_of_the_function_itself_is_not_hidden():
    calls = []

    def run():
        calls.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        jit.warm_up(run, ModuleType("kernels"))
    assert len(calls) == 2
