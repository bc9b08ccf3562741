"""Where the text of message and service types lies: ours, and those that rosbags lacks."""

from __future__ import annotations

import functools
from pathlib import Path

_BUNDLED = Path(__file__).resolve().parents[2] / "interfaces"
_OWN = "owseg_msgs"


@functools.cache
def interface_files() -> dict[str, Path]:
    """Return the file of each type by its name, e.g. "std_srvs/srv/Trigger".

    The types of owseg_msgs are read from the interface package itself: from the copy that
    an installation carries, or from its folder in a source tree.
    """
    folders = {path.name: path for path in _BUNDLED.iterdir() if path.is_dir()}
    folders.setdefault(_OWN, _BUNDLED.parents[1] / _OWN)
    return {
        f"{package}/{file.parent.name}/{file.stem}": file
        for package, folder in folders.items()
        for kind in ("msg", "srv")
        for file in sorted((folder / kind).glob(f"*.{kind}"))
    }
