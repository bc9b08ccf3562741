"""The store of the server: opened, watched, and opened again where it was replaced."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from owseg.errors import StoreError
from owseg.places import user_folder
from owseg.prototypes import PrototypeSet, PrototypeStore

FILE = "owseg/prototypes.owseg"
"""Where the store lies in the user's data folder."""

_OPTION = "--store or the parameter 'store'"


def default_store(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the user's store, as the XDG base directory specification has it.

    Raises:
        OutputError: there is no home directory to have it in.
    """
    return user_folder("XDG_DATA_HOME", ".local/share", _OPTION, environment) / FILE


class StoreKeeper:
    """Holds the store of one network open.

    Args:
        path: the file; it and its folder are made where they are missing.
        space: embedding space of the network.

    Raises:
        StoreError: it cannot be used, or is of another network.
    """

    def __init__(self, path: Path, space: str) -> None:
        self.path, self._space = path, space
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the folder {path.parent} for the store: {error.strerror}; set the "
                "parameter 'store' to a file that can be written"
            ) from error
        self._told: int | None = None
        self.store = PrototypeStore(path, create=True, space=space)

    def news(self) -> PrototypeSet | None:
        """Return the set if it is another than everybody was told; None = it is not.

        Raises:
            StoreError: it cannot be read, or is gone.
        """
        return None if self.store.version == self._told else self.read()

    def read(self) -> PrototypeSet:
        """Return the set, with the space of the network also where no class was added yet.

        Raises:
            StoreError: it cannot be read, or is gone.
        """
        found = self.store.read()
        return found if found.space else replace(found, space=self._space)

    def told(self, version: int) -> None:
        """Note which version everybody was told."""
        self._told = version

    def reopen(self) -> None:
        """Open the file that lies there now.

        Raises:
            StoreError: there is none, or it cannot be used.
        """
        store = PrototypeStore(self.path, space=self._space)
        self.store.close()
        self.store, self._told = store, None

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()
