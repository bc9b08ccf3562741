"""Finding the files of a recording, and telling what is wrong with them.

The checks look at a few bytes at both ends of a file, so that a killed recorder or a
cut copy gets a message that names the cause and the repair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from owseg.errors import BagError

_MCAP_MAGIC = b"\x89MCAP0\r\n"
_SQLITE_MAGIC = b"SQLite format 3\0"

_HINTS = {
    ".bag": "is a ROS 1 bag; convert it with `rosbags-convert --src {0} --dst {1}`",
    ".zstd": "is one compressed file of a bag; give the folder that holds it and metadata.yaml",
    ".yaml": "is the description of a bag; give the folder that holds it",
}


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sort key under which frame_2 comes before frame_10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in parts if part]


def storage_files(folder: Path) -> list[Path]:
    """List the .mcap and .db3 files directly in a folder, sorted naturally."""
    return sorted((p for p in folder.iterdir() if p.suffix in _CHECKS), key=natural_key)


def looks_like_bag(path: Path) -> bool:
    """Tell whether a path is meant as a recording; nothing is opened."""
    if path.is_dir():
        return (path / "metadata.yaml").exists() or bool(storage_files(path))
    return path.suffix in _CHECKS or path.suffix in _HINTS


def resolve_bag(path: Path) -> Path:
    """Find what a reader has to open: a folder with metadata.yaml, or one storage file.

    Raises:
        BagError: missing, empty, truncated, of another kind, or several recordings.
    """
    if not path.exists():
        raise BagError(f"{path} does not exist; give a rosbag2 folder, a .mcap or a .db3 file")
    if path.is_file():
        _check(path)
        return path
    files = storage_files(path)
    if (path / "metadata.yaml").exists():
        for file in files:
            _check(file)
        return path
    if not files:
        raise BagError(f"{path} holds no metadata.yaml and no .mcap or .db3 file: not a recording")
    if len(files) > 1:
        raise BagError(
            f"{path} holds {len(files)} recordings and no metadata.yaml: give one of "
            f"{_listed(file.name for file in files)}, or join them with `ros2 bag reindex {path}`"
        )
    _check(files[0])
    return files[0]


def _listed(names: Iterable[str], limit: int = 5) -> str:
    shown = list(names)
    return ", ".join(shown[:limit]) + (", ..." if len(shown) > limit else "")


def _check(file: Path) -> None:
    """Look at the ends of one storage file."""
    check = _CHECKS.get(file.suffix)
    if check is None:
        hint = _HINTS.get(file.suffix, "is no recording; give a rosbag2 folder, a .mcap or a .db3")
        raise BagError(f"{file} {hint.format(file, file.with_suffix(''))}")
    try:
        if file.stat().st_size == 0:
            raise BagError(f"{file} is empty (0 bytes); record or copy it again")
        check(file)
    except OSError as err:
        raise BagError(f"{file} cannot be read: {err.strerror or err}") from err


def _check_mcap(file: Path) -> None:
    with file.open("rb") as stream:
        head = stream.read(len(_MCAP_MAGIC))
        stream.seek(-min(len(_MCAP_MAGIC), file.stat().st_size), 2)
        tail = stream.read()
    if not _MCAP_MAGIC.startswith(head):
        raise BagError(f"{file} is not an mcap file, whatever its name says")
    if tail != _MCAP_MAGIC or file.stat().st_size < 2 * len(_MCAP_MAGIC):
        repaired = file.with_name(f"{file.stem}_recovered.mcap")
        raise BagError(
            f"{file} is truncated (its closing record is missing: the recorder was killed or "
            f"the copy is incomplete); repair it with `mcap recover {file} -o {repaired}`"
        )


def _check_sqlite(file: Path) -> None:
    with file.open("rb") as stream:
        head = stream.read(100)
    if not _SQLITE_MAGIC.startswith(head[: len(_SQLITE_MAGIC)]):
        raise BagError(f"{file} is not an SQLite database, whatever its name says")
    page_size = int.from_bytes(head[16:18], "big")
    expected = (65536 if page_size == 1 else page_size) * int.from_bytes(head[28:32], "big")
    count_is_valid = head[24:28] == head[92:96]
    size = file.stat().st_size
    if len(head) < 100 or (count_is_valid and size < expected):
        repaired = file.with_name(f"{file.stem}_recovered.db3")
        raise BagError(
            f"{file} is truncated ({size} of {expected or 'unknown'} bytes); copy it again, or "
            f"repair it with `sqlite3 {file} .recover | sqlite3 {repaired}`"
        )
    wal = file.with_name(file.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise BagError(
            f"{file} has messages left in {wal.name}, because the recorder was killed; merge "
            f"them with `sqlite3 {file} 'PRAGMA wal_checkpoint(TRUNCATE)'`"
        )


_CHECKS: dict[str, Callable[[Path], None]] = {".mcap": _check_mcap, ".db3": _check_sqlite}
