"""TensorRT, 8.5 to 11 and for RTX: engines are built once, kept in a cache, and run.

Nothing of NVIDIA's is imported before an engine is built or opened.
"""

from __future__ import annotations

from owseg.engines.tensorrt.build import BuildOptions
from owseg.engines.tensorrt.cached import build_cached, open_cached
from owseg.engines.tensorrt.engine import TensorRTEngine

__all__ = ["BuildOptions", "TensorRTEngine", "build_cached", "open_cached"]
