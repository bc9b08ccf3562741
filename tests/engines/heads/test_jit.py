"""Compilation with and without a place for its results."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from owseg.engines.heads import fused, jit, kernel
from owseg.errors import MissingDependencyError

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import small
print(small.twice(21), sorted(small.twice.stats.cache_misses.values()))
"""

SMALL = """
from owseg.engines.heads.jit import entry, inner

@inner
def add(a, b):
    return a + b

@entry
def twice(a):
    return add(a, a)
"""


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


def test_without_a_folder_each_process_compiles(monkeypatch):
    calls = []

    def njit(**options):
        calls.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
        return lambda function: function

    monkeypatch.setattr(jit, "_njit", lambda: njit)
    function = jit.entry(abs)
    assert function is abs
    assert [call.get("cache", False) for call in calls] == [True, False]
    assert all(call["nogil"] for call in calls)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), EOFError()])
def test_a_cache_that_fails_is_not_used(monkeypatch, error):
    def broken(*arguments):
        raise error

    plain = SimpleNamespace(py_func=kernel.fuse.py_func)  # type: ignore[attr-defined]
    broken.py_func = plain.py_func
    monkeypatch.setattr(kernel, "fuse", broken)
    done = []
    monkeypatch.setattr(jit, "inner", lambda function: done.append(function) or (lambda *a: True))
    assert fused._compiled.__wrapped__()() is True
    assert done == [plain.py_func]


def test_an_error_of_the_kernel_itself_is_not_hidden(monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError

    broken.py_func = broken
    monkeypatch.setattr(kernel, "fuse", broken)
    monkeypatch.setattr(jit, "inner", lambda function: function)
    with pytest.raises(ZeroDivisionError):
        fused._compiled.__wrapped__()


def test_without_numba_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingDependencyError, match=r"need numba .*: pip install numba, or use"):
        jit.inner(abs)
