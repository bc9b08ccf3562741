"""Another manifest for a bundle, without the package onnx: the graph stays as it is, bit by bit."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from owseg.bundle import Bundle, load_bundle
from owseg.engines.onnx_file.model import external_files
from owseg.engines.onnx_file.protobuf import body, fields, name_of, pack
from owseg.errors import OutputError
from owseg.manifest import METADATA_KEY, Manifest

_METADATA, _KEY, _VALUE = 14, 1, 2
"""Fields: metadata of a model; key and value of an entry of it."""


def with_manifest(model: bytes, manifest: str) -> bytes:
    """Return a serialized ONNX model with another manifest; all else is copied.

    Raises:
        BundleError: not a serialized ONNX model.
    """
    kept = [raw for number, value, raw in fields(model) if not _is_manifest(number, value)]
    entry = pack(_KEY, METADATA_KEY) + pack(_VALUE, manifest)
    return b"".join((*kept, pack(_METADATA, entry)))


def _is_manifest(number: int, value: int | bytes) -> bool:
    return number == _METADATA and name_of(body(value), _KEY) == METADATA_KEY


def save_with_manifest(bundle: Bundle, manifest: Manifest, out: Path) -> Bundle:
    """Write a bundle with another manifest; prototypes of the old one fit the new one.

    Args:
        bundle: the old one.
        manifest: the new manifest.
        out: file to write, which may be that of the old one.

    Returns:
        The new one, as read back.

    Raises:
        OutputError: the file cannot be written, or the weights are in another folder.
        BundleError: the old file is damaged.
    """
    model = bundle.path.read_bytes()
    beside = external_files(model)
    if beside and out.resolve().parent != bundle.path.resolve().parent:
        raise OutputError(
            f"{bundle.path} has weights in a file of their own ({beside[0]}); write the new bundle "
            f"into the same folder, {bundle.path.parent}"
        )
    text = replace(manifest, space=bundle.space).to_json()
    candidate = out.with_name(out.name + ".part")
    try:
        candidate.write_bytes(with_manifest(model, text))
        load_bundle(candidate)
        os.replace(candidate, out)
    except OSError as error:
        raise OutputError(f"cannot write the bundle {out}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            candidate.unlink(missing_ok=True)
    return load_bundle(out)
