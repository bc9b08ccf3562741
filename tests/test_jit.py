"""Compiled functions: exact floats, no lock, and no need for a folder to cache in."""

from __future__ import annotations

import builtins
import importlib
from types import ModuleType

import numpy as np
import pytest

from owseg import jit
from owseg.errors import MissingDependencyError


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
