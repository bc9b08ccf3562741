"""Seeds: independent random streams, named by integers, the same on every machine."""

from __future__ import annotations

import random

_MASK = (1 << 64) - 1


def sub_seed(seed: int, *keys: int) -> int:
    """Return a 64-bit seed that depends on `seed` and on every key (splitmix64)."""
    state = seed & _MASK
    for key in keys:
        state = (state + 0x9E3779B97F4A7C15 * ((key & 0xFFFFFFFF) + 1)) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def stream(seed: int, *keys: int) -> random.Random:
    """Return the random stream that belongs to `seed` and the keys."""
    return random.Random(sub_seed(seed, *keys))
