"""Compiling with numba: without Python's lock, and once per machine where a folder takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from owseg.errors import MissingDependencyError

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
"""No lock; division by zero gives infinity; a product and a sum may become one instruction.

Sums are not reordered and NaN stays NaN, so that a result depends on nothing but its inputs.
"""


def inner(function: F) -> F:
    """Compile a function that only compiled functions call."""
    compiled: F = _njit()(**OPTIONS)(function)
    return compiled


def entry(function: F) -> F:
    """Compile a function that Python calls, and keep the machine code on disk.

    numba writes next to the module, or where that is read-only under the user's cache folder, or
    into $NUMBA_CACHE_DIR. Where none can be written the function is compiled in each process.

    All that an entry calls has to be in its own file: numba looks at the time of that one only.
    """
    try:
        compiled: F = _njit()(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no folder to write to
        return inner(function)
    return compiled


def without_cache(compiled: F) -> F:
    """Return an entry compiled anew, for a cache that turns out damaged or full."""
    function: F = compiled.py_func  # type: ignore[attr-defined]
    return inner(function)


def _njit() -> Callable[..., Any]:
    try:
        from numba import njit
    except ImportError as error:
        raise MissingDependencyError(
            f"the fused heads need numba ({error}): pip install numba, or use the heads graph"
        ) from error
    found: Callable[..., Any] = njit
    return found
