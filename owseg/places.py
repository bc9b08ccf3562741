"""The user's folders, and paths that begin with a tilde: both need a home directory.

There is none where a process runs as a user that the machine does not know, as in containers that
are started with a number for a user.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from owseg.errors import OutputError, UsageError


def user_folder(
    variable: str, below_home: str, option: str, environment: Mapping[str, str] = os.environ
) -> Path:
    """Return a folder of the user, as the XDG base directory specification has it.

    Args:
        variable: names the folder, e.g. "XDG_CACHE_HOME"; only an absolute path counts.
        below_home: where the folder is otherwise, e.g. ".cache".
        option: what else chooses the place, for the error, e.g. "--cache".
        environment: variables of the process.

    Raises:
        OutputError: the variable is not set, and there is no home directory.
    """
    named = environment.get(variable, "")
    if os.path.isabs(named):
        return Path(named)
    try:
        return Path.home() / below_home
    except RuntimeError as error:
        raise OutputError(
            f"there is no home directory to take {below_home} of; set {variable} or HOME to a "
            f"folder of yours, or choose a place with {option}"
        ) from error


def expanded(path: str) -> Path:
    """Return a path, with the home directory in place of a leading ~ or ~user.

    Raises:
        UsageError: there is no such home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"'{path}' begins with ~, and there is no such home directory; give the whole path, "
            "or set HOME"
        ) from error
