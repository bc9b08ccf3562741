"""From a float32 bundle to one of another precision: convert, compare, note, write."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
from tqdm import tqdm

from owseg.bundle import Bundle, load_bundle
from owseg.datasets import DatasetReader, TruthMap, load_truth_map, open_dataset
from owseg.datasets.base import Sample
from owseg.errors import OutputError, UsageError
from owseg.evaluation import truth_map_for
from owseg.manifest import METADATA_KEY, Manifest
from owseg.replay.runner import make_folder
from owseg.resize import fit_image
from owseg_export.precision.fp16 import to_fp16
from owseg_export.precision.gate import Labelled, Limits, check_limits, quality
from owseg_export.precision.int8 import to_int8
from owseg_export.precision.parts import unpack_weights
from owseg_export.to_onnx import compress_weights, save_onnx


@dataclass(frozen=True, kw_only=True)
class PrecisionOptions:
    """How to convert.

    Attributes:
        name: "fp16" or "int8".
        form: of int8, a name in `owseg_export.precision.int8.FORMS`.
        calibration: folder of a split, ROOT/SPLIT, that int8 is calibrated with.
        calibration_images: so many of it, evenly spread.
        validation: folder of a split, ROOT/SPLIT, that the loss is measured on.
        validation_images: so many of it, evenly spread; None = all.
        truth_map: meaning of the label ids, a built-in name or a file; None = the one that the
            model was trained with.
        limits: the loss that is allowed.
    """

    name: str
    form: str = "cpu"
    calibration: Path | None = None
    calibration_images: int = 64
    validation: Path | None = None
    validation_images: int | None = None
    truth_map: str | None = None
    limits: Limits = field(default_factory=Limits)


def convert_bundle(source: Path, out: Path, options: PrecisionOptions) -> Manifest:
    """Write a bundle of another precision.

    Args:
        source: a float32 bundle.
        out: file to write.
        options: how.

    Returns:
        The manifest of what was written; its provenance has the precision, the limits, and the
        figures before and after.

    Raises:
        BundleError: the source cannot be used.
        UsageError: it is not float32, its data set is not known, or no data are named.
        DatasetError: the data cannot be read.
        MissedLimitError: the loss is larger than is allowed; nothing is written.
        OutputError: the file cannot be written.
    """
    make_folder(out.parent)
    if out.is_dir():
        raise OutputError(f"{out} is a folder; name a file")
    bundle = load_bundle(source)
    manifest = bundle.manifest
    if manifest.precision != "fp32":
        raise UsageError(
            f"{source} is in {manifest.precision} already; convert the float32 bundle instead"
        )
    validation = _split(manifest, options.validation, "--validation")
    converted, noted = _converted(bundle, options)
    truth_map = _truth_map(options.truth_map, manifest, validation)
    data = _Labelled(_spread(validation, options.validation_images))
    candidate = out.with_name(out.name + ".part")
    try:
        save_onnx(with_manifest(converted, manifest), candidate)
        before = quality(source, data, truth_map, f"fp32, {validation.split}")
        after = quality(candidate, data, truth_map, f"{options.name}, {validation.split}")
        check_limits(before, after, options.limits, f"{options.name} of '{manifest.name}'")
        precision = {
            "name": options.name,
            **noted,
            "validation": f"{validation.name} {validation.split}, {len(data)} images, "
            f"{truth_map.name}",
            "limits": asdict(options.limits),
            "before": before.as_dict(),
            "after": after.as_dict(),
            "source": bundle.space,
        }
        final = replace(
            manifest.for_other_weights(),
            provenance={**manifest.provenance, "precision": precision},
        )
        save_onnx(with_manifest(converted, final), candidate)
        load_bundle(candidate)
        os.replace(candidate, out)
    except OSError as error:
        raise OutputError(f"cannot write the bundle {out}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            candidate.unlink(missing_ok=True)
    return final


def _converted(bundle: Bundle, options: PrecisionOptions) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Return the model in the wanted precision, and what to note about it."""
    model = onnx.load(str(bundle.path))
    unpack_weights(model)
    if options.name == "fp16":
        return to_fp16(model), {}
    manifest = bundle.manifest
    split = _split(manifest, options.calibration, "--calibration")
    chosen = _spread(split, options.calibration_images)
    images = [
        fit_image(sample.load()[0], manifest)
        for sample in tqdm(chosen, desc=f"{split.name} {split.split}", unit="image")
    ]
    noted = {
        "form": options.form,
        "calibration": f"{split.name} {split.split}, {len(images)} images",
    }
    return to_int8(model, images, options.form), noted


def with_manifest(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """Return a copy with a manifest and with small weights."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    compress_weights(result)
    for entry in result.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = manifest.to_json()
    return result


def _split(manifest: Manifest, folder: Path | None, option: str) -> DatasetReader:
    """Open ROOT/SPLIT of the data set that a model was trained on."""
    if folder is None:
        raise UsageError(f"name the images with {option} ROOT/SPLIT, e.g. {option} CamVid/val")
    name = manifest.provenance.get("dataset")
    if not isinstance(name, str):
        raise UsageError(f"the bundle '{manifest.name}' does not say which data set it is of")
    return open_dataset(name, folder.parent, folder.name)


def _truth_map(wanted: str | None, manifest: Manifest, split: DatasetReader) -> TruthMap:
    """Return the truth map that is asked for, or of the training, or of the data set."""
    noted = wanted or manifest.provenance.get("truth_map")
    if isinstance(noted, str):
        return load_truth_map(noted)
    return truth_map_for(manifest, split.label_space)


def _spread(split: DatasetReader, count: int | None) -> list[Sample]:
    """Return so many samples of a split, or all, from its beginning to its end."""
    samples = list(split)
    if count is None or count >= len(samples):
        return samples
    return [samples[place * len(samples) // count] for place in range(count)]


class _Labelled:
    """Images with their labels, read when they are needed: all at once may be gigabytes."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[Labelled]:
        return (sample.load() for sample in self._samples)
