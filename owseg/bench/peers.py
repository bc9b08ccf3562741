"""Where other packages add what they want to be compared with: the same network in torch."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast

from owseg.engines import Engine
from owseg.errors import MissingDependencyError
from owseg.manifest import Manifest

PEERS = "owseg.bench_peers"
"""Entry-point group; each entry names an object with the functions of `Peers`."""


class Peers(Protocol):
    """Runs networks that have no bundle, or that a bundle was made from."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the ways to run a network, e.g. "torch", "torch.compile"."""
        ...

    def open(
        self, name: str, manifest: Manifest, checkpoint: Path | None, device: str, threads: int
    ) -> Engine:
        """Return the network of a bundle as an engine.

        Args:
            name: one of `names()`.
            manifest: of the bundle; its provenance has the recipe.
            checkpoint: where the weights are; None = random ones, which take as long.
            device: "cpu" or "cuda".
            threads: threads on the CPU.

        Raises:
            OwsegError: it cannot be built or run; the message says why.
        """
        ...

    def bundle(
        self, recipe: str | None, checkpoint: Path | None, size: tuple[int, int] | None, out: Path
    ) -> None:
        """Write the bundle of a network with fixed constants of the score, for timing only.

        Args:
            recipe: name of a recipe, for random weights; None = that of the checkpoint.
            checkpoint: where the weights are.
            size: (height, width) of the input; None = that of the recipe.
            out: file to write.

        Raises:
            OwsegError: there is no such recipe, or the checkpoint cannot be read.
        """
        ...


def load_peers() -> Peers:
    """Return the peers that are installed.

    Raises:
        MissingDependencyError: there are none, or they cannot be loaded.
    """
    for entry in sorted(entry_points(group=PEERS), key=lambda entry: entry.name):
        try:
            return cast(Peers, entry.load())
        except ImportError as error:
            raise MissingDependencyError(
                f"comparing with torch needs torch and onnx ({error}): "
                "pip install 'owseg_ros[train]'"
            ) from error
    raise MissingDependencyError(
        "comparing with torch needs the training packages: pip install 'owseg_ros[train]'"
    )
