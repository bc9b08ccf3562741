"""Bundles whose network computes in float16 or int8, accepted only if they lose little."""

from __future__ import annotations

from owseg_export.precision.convert import PrecisionOptions, convert_bundle
from owseg_export.precision.gate import Limits, Quality
from owseg_export.precision.int8 import FORMS

PRECISIONS = ("fp32", "fp16", "int8")

__all__ = ["FORMS", "PRECISIONS", "Limits", "PrecisionOptions", "Quality", "convert_bundle"]
