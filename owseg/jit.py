"""Compiling with numba: without Python's lock, and once per machine where a folder takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeVar

from owseg.errors import MissingDependencyError

F = TypeVar("F", bound=Callable[..., Any])

EXACT: Mapping[str, Any] = {"nogil": True, "error_model": "numpy"}
"""No lock; division by zero gives infinity; floats as they are written, on every machine."""

CONTRACTED: Mapping[str, Any] = {**EXACT, "fastmath": {"contract"}}
"""The same, but a product and a sum may become one instruction where the machine has it.

Sums are not reordered and NaN stays NaN: on one machine a result depends on its inputs only.
"""


def inner(function: F, options: Mapping[str, Any] = EXACT) -> F:
    """Compile a function that only compiled functions call."""
    compiled: F = _njit()(**options)(function)
    return compiled


def entry(function: F, options: Mapping[str, Any] = EXACT) -> F:
    """Compile a function that Python calls, and keep the machine code on disk.

    numba writes next to the module, or where that is read-only under the user's cache folder, or
    into $NUMBA_CACHE_DIR. Where none can be written the function is compiled in each process.

    All that an entry calls has to be in its own file: numba looks at the time of that one only.
    """
    try:
        compiled: F = _njit()(cache=True, **options)(function)
    except RuntimeError:  # no folder to write to
        return inner(function, options)
    return compiled


def warm_up(run: Callable[[], object], *modules: ModuleType) -> None:
    """Run compiled functions once; without their caches, if those turn out damaged or full.

    Args:
        run: calls the functions.
        modules: where they are.
    """
    try:
        run()
    except Exception:  # a cache can be damaged, or its disk full, in any way
        for module in modules:
            for found in vars(module).values():
                if hasattr(found, "py_func"):
                    _forget_cache(found)
        run()


def _forget_cache(compiled: Any) -> None:
    from numba.core.caching import NullCache

    compiled._cache = NullCache()


def _njit() -> Callable[..., Any]:
    try:
        from numba import njit
    except ImportError as error:
        raise MissingDependencyError(
            f"compiled parts need numba ({error}): pip install numba"
        ) from error
    found: Callable[..., Any] = njit
    return found
