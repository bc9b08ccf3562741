"""Memory that is kept does not fault again."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from owseg_ros.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
for round_ in range(12):
    if round_ == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    images = [b"x" * 3_000_000 for _ in range(4)]
    del images
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    """Count page faults while four images of 3 MB come and go, ten times."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(result.stdout)


def test_freed_memory_is_used_again():
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("the C library has no mallopt")
    assert faults("keep") < 100
