"""Measuring: every contestant processes the same frames in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from owseg.bench.contestants import Contestant
from owseg.engines import PrototypeSlots
from owseg.engines.compact import bytes_of
from owseg.manifest import Manifest
from owseg.pipeline import Pipeline
from owseg.types import Frame, UInt8Array

STAGES = ("copy in", "network", "heads", "copy out", "grouping")
"""Parts of a frame; one that an engine does not have, or cannot tell, is left out."""

WARM_UP = 3
"""Frames of each contestant that are not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one contestant needed for its frames.

    Attributes:
        engine: name of the contestant.
        model: name of the model.
        precision: of the network.
        size: (height, width) of the input.
        total_ms: milliseconds of each frame, from the image at the network's size to the result.
        stages_ms: median milliseconds of each stage that is known.
        derived: whether "heads" is what is left of the graph after the network alone.
        outputs_bytes: bytes of each output that a frame needs; a GPU copies them to the host.
        on_gpu: whether it ran on a GPU.
    """

    engine: str
    model: str
    precision: str
    size: tuple[int, int]
    total_ms: tuple[float, ...]
    stages_ms: Mapping[str, float]
    derived: bool = False
    outputs_bytes: Mapping[str, int] = field(default_factory=dict)
    on_gpu: bool = False

    @property
    def fps(self) -> float:
        """Frames per second, one after the other."""
        return 1e3 / float(np.mean(self.total_ms))

    def percentile(self, share: int) -> float:
        """Milliseconds within which `share` percent of the frames are done."""
        return float(np.percentile(self.total_ms, share))

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        return {
            "engine": self.engine,
            "model": self.model,
            "precision": self.precision,
            "height": self.size[0],
            "width": self.size[1],
            "frames": len(self.total_ms),
            "fps": self.fps,
            "latency_ms": {
                "mean": float(np.mean(self.total_ms)),
                **{f"p{share}": self.percentile(share) for share in (50, 95, 99)},
            },
            "stages_ms": dict(self.stages_ms),
            "heads_derived": self.derived,
            "outputs_bytes": dict(self.outputs_bytes),
            "copied_from_gpu_bytes": sum(self.outputs_bytes.values()) if self.on_gpu else 0,
        }


def measure(
    contestants: Sequence[Contestant],
    images: Callable[[Manifest], Sequence[UInt8Array]],
    *,
    frames: int | None = None,
    seconds: float | None = None,
    grouping: str | None = None,
    score: str = "float32",
    progress: Callable[[int], None] | None = None,
) -> list[Figures]:
    """Let all contestants process frames in turn, so that all meet the same circumstances.

    Args:
        contestants: what to measure.
        images: returns images of the size of a model.
        frames: frames of each contestant.
        seconds: stop after so long, but not before every contestant has a frame; the smaller of
            both limits counts, at least one has to be given.
        grouping: name of a grouping; None = the default of the pipeline.
        score: type in which scores leave a GPU.
        progress: called with the number of rounds that are done.
    """
    lanes = [
        _Lane(contestant, images(contestant.engine.manifest), grouping, score)
        for contestant in contestants
    ]
    for lane in lanes:
        for index in range(WARM_UP):
            lane.step(index)
        lane.forget()
    ends = float("inf") if seconds is None else time.perf_counter() + seconds
    done = 0
    while done == 0 or (time.perf_counter() < ends and (frames is None or done < frames)):
        for lane in lanes:
            lane.step(done)
        done += 1
        if progress is not None:
            progress(done)
    return [lane.figures() for lane in lanes]


class _Lane:
    """One contestant, its frames, and what they took."""

    def __init__(
        self,
        contestant: Contestant,
        images: Sequence[UInt8Array],
        grouping: str | None,
        score: str,
    ) -> None:
        self._contestant = contestant
        self._images = images
        engine = contestant.engine
        more: dict[str, Any] = {"grouping": grouping} if grouping else {}
        self._pipeline = Pipeline(engine, score=score, **more)
        self._slots = PrototypeSlots.empty(contestant.engine.manifest)
        self._totals: list[float] = []
        self._stages: dict[str, list[float]] = {}

    def step(self, index: int) -> None:
        """Process one frame, and the network alone where that can be told apart."""
        image = self._images[index % len(self._images)]
        engine = self._contestant.engine
        started = time.perf_counter()
        result = self._pipeline.process(Frame(image=image, index=index))
        self._totals.append((time.perf_counter() - started) * 1e3)
        self._note(getattr(engine, "timings_ms", {}))
        self._note({"grouping": result.timings_ms["grouping"]})
        if self._contestant.splits:
            started = time.perf_counter()
            engine.infer(image[None], self._slots, 1.0, ("embedding",))
            took = (time.perf_counter() - started) * 1e3
            inside: Mapping[str, float] = getattr(engine, "timings_ms", {})
            self._note({"network alone": inside.get("graph", took)})

    def forget(self) -> None:
        """Drop what was measured so far."""
        self._totals.clear()
        self._stages.clear()

    def figures(self) -> Figures:
        """Return what was measured."""
        medians = {name: float(np.median(values)) for name, values in self._stages.items()}
        derived = "network" not in medians and "network alone" in medians
        if derived:
            graph = medians.get("graph", self._inference(medians))
            medians["network"] = medians["network alone"]
            medians["heads"] = max(0.0, graph - medians["network"])
        manifest = self._contestant.engine.manifest
        return Figures(
            engine=self._contestant.name,
            model=manifest.name,
            precision=self._contestant.precision,
            size=self._contestant.size,
            total_ms=tuple(self._totals),
            stages_ms={name: medians[name] for name in (*STAGES, "graph") if name in medians},
            derived=derived,
            outputs_bytes=bytes_of(manifest, self._pipeline.outputs()),
            on_gpu=getattr(self._contestant.engine, "device", "") == "cuda",
        )

    def _inference(self, medians: Mapping[str, float]) -> float:
        """Median time of an engine that tells nothing: everything but the grouping."""
        return float(np.median(self._totals)) - medians["grouping"]

    def _note(self, timings_ms: Mapping[str, float]) -> None:
        for name, value in timings_ms.items():
            self._stages.setdefault(name, []).append(value)
