"""The model that all cameras of a node share."""

from __future__ import annotations

from owseg.engines import open_engine
from owseg.grouping import ClusterTracker
from owseg.pipeline import Pipeline
from owseg.types import Frame, Result
from owseg_ros.perception.parameters import Get, Load, Settings, settings_of


class SharedModel:
    """One engine, and the settings of the next frame.

    Frames are processed in one thread; everything else may be changed in others meanwhile.

    Args:
        pipeline: around a loaded engine.
        settings: of the next frame; assign to it to change them.
    """

    def __init__(self, pipeline: Pipeline, settings: Settings) -> None:
        self.pipeline = pipeline
        self.settings = settings

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
    engine = open_engine(load.model, load.engine, load.device, fallback=load.fallback)
    try:
        settings = settings_of(get, engine.manifest)
        pipeline = Pipeline(engine, threshold=settings.threshold, grouping=load.grouping)
        pipeline.warm_up()
        ClusterTracker().warm_up()
    except BaseException:
        engine.close()
        raise
    return SharedModel(pipeline, settings)
