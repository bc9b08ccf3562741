"""The model bundle: one ONNX file that carries its manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from owseg.errors import BundleError
from owseg.manifest import METADATA_KEY, Manifest, parse_manifest

INPUTS = ("image", "prototypes", "prototype_radius", "prototype_valid", "anomaly_threshold")
"""Inputs of every graph, in order."""

OUTPUTS = ("known", "anomaly", "open_set", "direction", "embedding")
"""Outputs of every graph, in order."""

SHIPPED_MODEL = "street.onnx"
"""File name of the model that comes with the package."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A checked model bundle.

    Attributes:
        path: the ONNX file.
        manifest: what it says of itself.
    """

    path: Path
    manifest: Manifest

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @cached_property
    def space(self) -> str:
        """The embedding space that prototypes belong to: SHA-256 of the file, or of its original.

        A bundle with another manifest around the same weights names the one it was made of.
        """
        digest = self.digest
        return self.manifest.space or digest


def shipped_model() -> Path:
    """Return the path of the model that comes with the package."""
    return Path(str(resources.files("owseg") / "models" / SHIPPED_MODEL))


def load_bundle(path: str | Path) -> Bundle:
    """Load and check a bundle.

    Raises:
        BundleError: the file is missing, not ONNX, has no manifest, a manifest of another
            schema, or a graph that does not match its manifest.
    """
    path = Path(path)
    session = _open_session(path)
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise BundleError(
            f"{path} is ONNX but carries no owseg manifest; make a bundle with 'owseg export'"
        )
    manifest = parse_manifest(text, str(path))
    check_graph(session, manifest, str(path))
    return Bundle(path=path, manifest=manifest)


def check_graph(session: Any, manifest: Manifest, source: str) -> None:
    """Check names, types and shapes of a graph against its manifest.

    Args:
        session: an `onnxruntime.InferenceSession`, or anything with its input and output lists.
        manifest: the manifest.
        source: what to call the bundle in messages.

    Raises:
        BundleError: something differs.
    """
    _compare(source, "input", session.get_inputs(), _expected_inputs(manifest))
    _compare(source, "output", session.get_outputs(), _expected_outputs(manifest))


Expected = dict[str, tuple[str, tuple[int | None, ...]]]


def _expected_inputs(m: Manifest) -> Expected:
    return {
        "image": ("tensor(uint8)", (None, m.height, m.width, 3)),
        "prototypes": ("tensor(float)", (m.slots, m.embedding_size)),
        "prototype_radius": ("tensor(float)", (m.slots,)),
        "prototype_valid": ("tensor(float)", (m.slots,)),
        "anomaly_threshold": ("tensor(float)", (1,)),
    }


def _expected_outputs(m: Manifest) -> Expected:
    return {
        "known": ("tensor(uint8)", (None, m.height, m.width)),
        "anomaly": ("tensor(float)", (None, m.height, m.width)),
        "open_set": ("tensor(uint8)", (None, m.height, m.width)),
        "direction": ("tensor(float)", (None, 2, *m.grid)),
        "embedding": ("tensor(float)", (None, m.embedding_size, *m.grid)),
    }


def _compare(source: str, kind: str, found: list[Any], expected: Expected) -> None:
    actual = {node.name: node for node in found}
    for name, (dtype, shape) in expected.items():
        if name not in actual:
            raise BundleError(
                f"{source}: the graph has no {kind} '{name}' (it has {', '.join(actual)}); "
                "export again"
            )
        node = actual[name]
        same = len(node.shape) == len(shape) and all(
            want is None or not isinstance(got, int) or got == want
            for got, want in zip(node.shape, shape, strict=True)
        )
        if node.type != dtype or not same:
            raise BundleError(
                f"{source}: {kind} '{name}' is {node.type} {node.shape}, the manifest says "
                f"{dtype} {['B' if s is None else s for s in shape]}; export again"
            )


def _open_session(path: Path) -> Any:
    import onnxruntime

    if path.is_dir():
        raise BundleError(f"{path} is a folder, not a model; give the .onnx file in it")
    if not path.is_file():
        raise BundleError(f"no model at {path}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).splitlines()[0][:160]
        raise BundleError(f"{path} is not a usable ONNX file: {reason}") from error
