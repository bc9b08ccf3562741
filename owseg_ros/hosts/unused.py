"""Parameters that were given a value and that nothing uses: mostly misspelt ones."""

from __future__ import annotations

from collections.abc import Collection

from owseg_ros.hosts.base import Host


def warn_of_unused(host: Host, told: Collection[str] = ()) -> set[str]:
    """Name the parameters that were given a value and that the node does not have.

    Args:
        host: of the node, once it has declared what it has.
        told: names that were named before, and are left out.

    Returns:
        The names.
    """
    names = {*host.parameters.unused()} - {*told}
    for name in sorted(names):
        host.log.warning(f"there is no parameter '{name}'; its value is not used")
    return names
