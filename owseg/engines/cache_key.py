"""What a built engine depends on: the key under which it is kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from owseg.engines.onnx_file.model import external_files
from owseg.errors import BundleError

SCHEMA = 2
"""Rises when engines are built in another way, so that older ones are built again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """All that decides whether an engine fits.

    Attributes:
        model: SHA-256 of the ONNX file, and of the files with its weights if it has any.
        flavour: "tensorrt" or "tensorrt_rtx".
        version: full version of TensorRT.
        gpu: name of the GPU; "" = any of the compute capability (tensorrt_rtx).
        capability: compute capability, e.g. "8.6".
        multiprocessors: of the GPU; 0 = any number (tensorrt_rtx). GPUs of one name may differ:
            all Jetson Orin are called "Orin".
        precision: "fp32", "fp16" or "int8".
        inputs: shapes of the images, e.g. "1..4x360x480x3".
        workspace: memory that TensorRT may use for one layer, MiB.
        schema: version of the way in which engines are built.
    """

    model: str
    flavour: str
    version: str
    gpu: str
    capability: str
    multiprocessors: int
    precision: str
    inputs: str
    workspace: int
    schema: int = SCHEMA

    @property
    def digest(self) -> str:
        """SHA-256 of all of it: the name of the file."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def same(self, other: EngineKey, names: tuple[str, ...]) -> bool:
        """Whether two keys agree in some of their parts."""
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def differences(self, here: EngineKey) -> list[str]:
        """Say in which parts this key, of an engine, differs from what is here."""
        return [
            f"{TITLES[part.name]} {getattr(self, part.name) or 'any'} "
            f"(here {getattr(here, part.name) or 'any'})"
            for part in fields(self)
            if getattr(self, part.name) != getattr(here, part.name)
        ]


TITLES = {
    "model": "the model",
    "flavour": "the flavour",
    "version": "TensorRT",
    "gpu": "the GPU",
    "capability": "compute capability",
    "multiprocessors": "multiprocessors",
    "precision": "precision",
    "inputs": "input",
    "workspace": "workspace",
    "schema": "owseg's own build schema",
}
"""Parts of a key for people."""

MUST_FIT = ("model", "flavour", "version", "gpu", "capability", "multiprocessors", "schema")
"""Parts that decide whether an engine runs here at all; the others are the user's choice."""


_NUMBERS = ("multiprocessors", "workspace", "schema")


def key_from(raw: dict[str, Any]) -> EngineKey:
    """Rebuild a key from plain JSON types.

    Raises:
        TypeError: a part is missing, or unknown.
        ValueError: a number is none.
    """
    numbers = {name: int(raw[name]) for name in _NUMBERS if name in raw}
    texts = {name: str(value) for name, value in raw.items() if name not in numbers}
    return EngineKey(**texts, **numbers)  # type: ignore[arg-type]


def model_digest(path: Path) -> str:
    """Return the SHA-256 of a model with all its weights.

    Raises:
        BundleError: the file, or one that it names, cannot be read.
    """
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content)
        for name in external_files(content):
            digest.update(name.encode() + b"\0")
            digest.update((path.parent / name).read_bytes())
    except OSError as error:
        raise BundleError(f"cannot read {error.filename or path}: {error.strerror}") from error
    return digest.hexdigest()
