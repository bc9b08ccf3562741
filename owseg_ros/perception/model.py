"""The model that all cameras of a node share."""

from __future__ import annotations

from collections.abc import Collection

from owseg.engines import open_engine
from owseg.grouping import ClusterTracker
from owseg.meta.model import load_meta
from owseg.outputs import GROUPED, MASK
from owseg.pipeline import Pipeline
from owseg.types import Frame, Result
from owseg_ros.perception.parameters import Get, Load, Settings, settings_of


class SharedModel:
    """One engine, and the settings of the next frame.

    Frames are processed in one thread; everything else may be changed in others meanwhile.

    Args:
        pipeline: around a loaded engine.
        settings: of the next frame; assign to it to change them.
        judge: what `/diagnostics` calls the meta classifier of the pipeline; "" = it has none.
    """

    def __init__(self, pipeline: Pipeline, settings: Settings, judge: str = "") -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.judge = judge

    def needs_objects(self, topics: Collection[str]) -> bool:
        """Whether some of the topics cannot be made without looking for unknown objects.

        The mask is one of them where objects may be dropped: it must not depend on who else
        listens.
        """
        judged = self.pipeline.drops_objects and MASK in topics
        return judged or not GROUPED.isdisjoint(topics)

    def published_threshold(self, settings: Settings) -> float:
        """Return a threshold on the scale of the published anomaly; in the thread of the frames.

        Args:
            settings: with the threshold of the score.
        """
        self.pipeline.threshold = settings.threshold
        return self.pipeline.published_threshold

    def process(self, frame: Frame, settings: Settings, tracker: ClusterTracker | None) -> Result:
        """Run one frame; see `Pipeline.process`.

        Args:
            frame: of any camera.
            settings: that hold for it.
            tracker: of its camera; None = unknown objects are not looked for.
        """
        self.pipeline.threshold = settings.threshold
        return self.pipeline.process(frame, group=tracker is not None, tracker=tracker)

    def close(self) -> None:
        """Free the engine."""
        self.pipeline.engine.close()


def open_model(load: Load, get: Get) -> SharedModel:
    """Load and warm up a model.

    Args:
        load: what is to be loaded.
        get: returns the value of a parameter; see `parameters.settings_of`.

    Raises:
        OwsegError: the model, the engine, the device or a setting cannot be used.
    """
    meta = None if load.meta is None else load_meta(load.meta)
    engine = open_engine(load.model, load.engine, load.device, fallback=load.fallback)
    try:
        settings = settings_of(get, engine.manifest)
        pipeline = Pipeline(
            engine,
            threshold=settings.threshold,
            grouping=load.grouping,
            score=load.score,
            calibrated=load.calibrated,
            meta=meta,
            min_object=load.min_object,
        )
        pipeline.warm_up()
        ClusterTracker().warm_up()
    except BaseException:
        engine.close()
        raise
    judge = "" if meta is None else f"{load.meta}, fitted at the threshold {meta.threshold:g}"
    return SharedModel(pipeline, settings, judge)
