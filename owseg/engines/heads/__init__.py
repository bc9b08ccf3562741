"""The heads of the graph on a CPU: from the embedding to labels and scores in one pass."""

from __future__ import annotations

from owseg.engines.heads.fused import FusedHeads
from owseg.engines.heads.spec import HeadSpec, head_spec

__all__ = ["FusedHeads", "HeadSpec", "head_spec"]
