"""Built engines in a folder: each with a JSON file that says what it was built from.

    <key>-<content>.plan  the engine
    <key>.json            its key, file, size, SHA-256, and how it was built
    <key>.lock            held while it is being built
    timing-*.bin          TensorRT's measurements of kernels, which make the next build quicker
    timing.lock           held while they are being written

The JSON file is written last and names the engine, so that replacing it replaces both at once.

An engine is code. It is loaded only from a folder and a file that belong to the user, or to root,
and that not everybody may write, and only if it is the one that was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from owseg.engines.cache_files import (
    pieces_of,
    remove,
    take,
    take_if_free,
    unwritable,
    write_whole,
)
from owseg.engines.cache_key import MUST_FIT, EngineKey, key_from
from owseg.errors import EngineError, OutputError
from owseg.places import user_folder

REBUILD = "build it again with 'owseg build'"
_WRITABLE_BY_OTHERS = stat.S_IWOTH
_MB = 1e6
_TIMING = "timing"


def default_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the user's folder for engines, as the XDG base directory specification has it.

    Raises:
        OutputError: there is no home directory to have it in.
    """
    return user_folder("XDG_CACHE_HOME", ".cache", "--cache", environment) / "owseg" / "engines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An engine in the cache.

    Attributes:
        key: what it depends on.
        path: the engine.
        size: in bytes.
        sha256: of the engine.
        built_ns: when it was built, nanoseconds since the epoch.
        about: how it was built, for people.
    """

    key: EngineKey
    path: Path
    size: int
    sha256: str
    built_ns: int
    about: Mapping[str, Any] = field(default_factory=dict)


class EngineCache:
    """The engines in a folder.

    Args:
        folder: made when the first engine is stored; `default_cache()` by default.

    Raises:
        OutputError: no folder is given, and the user has no home directory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_cache() if folder is None else folder

    # Reading -------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Return all engines, the newest first; what cannot be read is left out."""
        found = [self._entry(path) for path in self.folder.glob("*.json")]
        return sorted((e for e in found if e is not None), key=lambda e: -e.built_ns)

    def get(self, key: EngineKey) -> Entry | None:
        """Return the engine of a key; None = there is none."""
        return self._entry(self.folder / f"{key.digest}.json")

    def find(self, here: EngineKey) -> Entry | None:
        """Return the newest engine that runs here, in whatever precision and batch; or None."""
        return next(iter(self.fitting(here)), None)

    def fitting(self, here: EngineKey) -> list[Entry]:
        """Return all engines that run here, in whatever precision and batch, newest first."""
        return [entry for entry in self.entries() if entry.key.same(here, MUST_FIT)]

    def explain(self, here: EngineKey, model: str) -> str:
        """Say why no engine fits, by the one that comes nearest."""
        entries = self.entries()
        of_model = [e.key for e in entries if e.key.model == here.model]
        if not of_model and model in {e.about.get("model") for e in entries}:
            return (
                f"the TensorRT engine of model '{model}' in {self.folder} was built from another "
                "file of that name"
            )
        if not of_model:
            return f"no TensorRT engine of model '{model}' is in {self.folder}"
        near = min(of_model, key=lambda key: len(_misfit(key).differences(_misfit(here))))
        why = ", ".join(_misfit(near).differences(_misfit(here)))
        return f"the TensorRT engine of model '{model}' in {self.folder} is for {why}"

    def _entry(self, path: Path) -> Entry | None:
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            entry = Entry(
                key=key_from(raw["key"]),
                path=self.folder / Path(raw["plan"]).name,
                size=int(raw["size"]),
                sha256=str(raw["sha256"]),
                built_ns=int(raw["built_ns"]),
                about=dict(raw["about"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return entry if entry.key.digest == path.stem else None

    def read(self, entry: Entry) -> bytes:
        """Return the content of an engine, once it is known to be the one that was stored.

        Raises:
            EngineError: it is missing, truncated or changed, or others could have changed it.
        """
        try:
            return self._read_as_stored(entry)
        except EngineError:
            newer = self.get(entry.key)
            if newer is None or newer.sha256 == entry.sha256:
                raise
        return self.read(newer)  # it was replaced in between

    def _read_as_stored(self, entry: Entry) -> bytes:
        self._check_trust(entry.path)
        plan = _read(entry.path)
        if hashlib.sha256(plan).hexdigest() == entry.sha256:
            return plan
        damage = "truncated" if len(plan) < entry.size else "damaged"
        raise EngineError(
            f"the engine file {entry.path} is {damage} ({len(plan)} of {entry.size} bytes); "
            f"{REBUILD}"
        )

    def _check_trust(self, path: Path) -> None:
        """Refuse code that others could have put there.

        Raises:
            EngineError: the folder or the file belongs to somebody else, or all may write it.
        """
        for place in (self.folder, path):
            try:
                status = place.stat()
            except OSError as error:
                raise EngineError(f"cannot read {place}: {error.strerror}; {REBUILD}") from error
            if sys.platform != "win32" and status.st_uid not in (os.geteuid(), 0):
                raise EngineError(
                    f"{place} belongs to another user, and an engine is code; {REBUILD} in a "
                    "folder of your own"
                )
            if status.st_mode & _WRITABLE_BY_OTHERS:
                raise EngineError(
                    f"everybody may write {place}, and an engine is code; chmod o-w {place}, and "
                    f"{REBUILD}"
                )

    # Writing -------------------------------------------------------------------------------------

    def prepare(self, needed: int) -> None:
        """Find out before the long work whether an engine can be stored.

        Args:
            needed: bytes that it will take.

        Raises:
            OutputError: the folder cannot be made or written, or the disk is too full.
            EngineError: an engine in this folder would not be trusted.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise OutputError(
                f"cannot write into the engine cache {self.folder}: {error.strerror}; choose "
                "another folder with --cache, or set XDG_CACHE_HOME"
            ) from error
        if free < needed:
            raise OutputError(
                f"only {free / _MB:.0f} MB are free for the engine cache {self.folder}, about "
                f"{needed / _MB:.0f} MB are needed; free some, or choose another folder with "
                "--cache"
            )
        self._check_trust(self.folder)

    @contextlib.contextmanager
    def lock(self, key: EngineKey, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Keep other processes from building the same engine at the same time.

        Args:
            key: of the engine.
            waiting: called if another process has it, before the wait for that.

        Raises:
            OutputError: the lock cannot be made.
        """
        path = self.folder / f"{key.digest}.lock"
        try:
            file = open(path, "w")  # noqa: SIM115
        except OSError as error:
            raise unwritable(path, error) from error
        with file:
            take(file, waiting)
            self._sweep(key)
            yield

    def _sweep(self, key: EngineKey) -> None:
        """Remove what builds that were killed have left of an engine, and of measurements."""
        entry = self.get(key)
        kept = entry.path.name if entry is not None else ""
        plans = self.folder.glob(f"{key.digest}-*.plan")
        remove(self.folder.glob(pieces_of(key.digest)))
        remove(plan for plan in plans if plan.name != kept)
        self._sweep_timing()

    def store(self, key: EngineKey, plan: bytes, built_ns: int, about: Mapping[str, Any]) -> Entry:
        """Store an engine: the old or the new one is there, never a part of one.

        Only whoever holds its lock may.

        Raises:
            OutputError: it cannot be written, or the disk is full.
        """
        sha256 = hashlib.sha256(plan).hexdigest()
        entry = Entry(
            key=key,
            path=self.folder / f"{key.digest}-{sha256[:8]}.plan",
            size=len(plan),
            sha256=sha256,
            built_ns=built_ns,
            about=about,
        )
        text = {
            "key": asdict(key),
            "plan": entry.path.name,
            "size": entry.size,
            "sha256": entry.sha256,
            "built_ns": built_ns,
            "about": dict(about),
        }
        write_whole(entry.path, plan)
        description = json.dumps(text, indent=2).encode()
        write_whole(self.folder / f"{key.digest}.json", description)
        self._sweep(key)
        return entry

    # Measurements --------------------------------------------------------------------------------

    def read_timing(self, key: EngineKey) -> bytes:
        """Return TensorRT's measurements on this GPU; b"" = there are none."""
        path = self.timing_path(key)
        try:
            self._check_trust(path)
            return path.read_bytes()
        except (OSError, EngineError):
            return b""

    def write_timing(self, key: EngineKey, content: bytes) -> None:
        """Keep TensorRT's measurements; they only save time, so a failure is no matter."""
        with contextlib.suppress(OutputError, OSError), self._timing_lock() as lock:
            take(lock)
            write_whole(self.timing_path(key), content)

    def _sweep_timing(self) -> None:
        """Remove pieces of measurements, unless somebody may be writing one: of any engine."""
        pattern = pieces_of(_TIMING)
        if not any(self.folder.glob(pattern)):
            return
        with contextlib.suppress(OSError), self._timing_lock() as lock:
            if take_if_free(lock):
                remove(self.folder.glob(pattern))

    def _timing_lock(self) -> IO[str]:
        return open(self.folder / f"{_TIMING}.lock", "w")

    def timing_path(self, key: EngineKey) -> Path:
        """Return the file of the measurements: of one TensorRT on one GPU, for all models."""
        what = "\0".join((key.flavour, key.version, key.gpu, key.capability))
        return self.folder / f"{_TIMING}-{hashlib.sha256(what.encode()).hexdigest()[:16]}.bin"


def _misfit(key: EngineKey) -> EngineKey:
    """Return a key of which only the parts that must fit count."""
    parts = {name: getattr(key, name) for name in MUST_FIT}
    return EngineKey(precision="", inputs="", workspace=0, **parts)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror}; {REBUILD}") from error
