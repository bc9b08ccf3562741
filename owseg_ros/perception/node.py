"""The perception node: its life, its parameters, its prototypes, its diagnostics."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from owseg.engines.background import build_in_background
from owseg.errors import HostError, OwsegError, PrototypeError, UsageError
from owseg_ros.diagnostics import Diagnostics, Status
from owseg_ros.hosts import Host
from owseg_ros.hosts.base import Message, Subscription
from owseg_ros.hosts.lifecycle import LifecycleHooks, State
from owseg_ros.hosts.parameters import Value
from owseg_ros.hosts.qos import LATCHED
from owseg_ros.hosts.unused import warn_of_unused
from owseg_ros.perception import parameters, prototype_sets, status
from owseg_ros.perception.camera import Camera
from owseg_ros.perception.counters import Tally
from owseg_ros.perception.model import SharedModel, open_model

NAME = "perception"

REPORT_S = 1.0
"""Time between two reports on /diagnostics."""

_STOP_S = 10.0
_STUCK = "the frame under way does not come to its end"
_REPEAT_S = 30.0


class PerceptionNode(LifecycleHooks):
    """Loads a model, runs the images of one camera or several through it.

    Configure loads and warms up, activate subscribes, deactivate stops, cleanup frees. The
    frames of all cameras run one at a time in a group of their own; prototypes, parameters
    and transitions in the main group; reports in a third, by the clock of the machine, so
    that they come while a simulated clock stands still.

    Args:
        host: of the node, opened as managed.

    Raises:
        UsageError: a parameter has a value that does not fit.
    """

    def __init__(self, host: Host) -> None:
        self.host, self.exit_code = host, 0
        for spec in parameters.table():
            host.parameters.declare(spec)
        self._frames, reports = host.group("frames"), host.group("reports")
        self._model: SharedModel | None = None
        self._cameras: list[Camera] = []
        self._prototypes: Subscription | None = None
        self._problem, self._prototype_problem = "", ""
        self._fixed = False
        self._unused: set[str] = set()
        self._before: dict[str, Tally] = {}
        self._reported = time.monotonic()
        host.parameters.validate_with(self._refuse)
        host.parameters.on_change(self._apply)
        self._diagnostics = Diagnostics(host)
        self._timer = host.timer(REPORT_S, self._report, group=reports, steady=True)
        host.lifecycle.manage(self)  # last: a signal from here on shuts down a whole node

    def start(self) -> bool:
        """Configure and activate, if `autostart` says so; or build the engine (`build_only`).

        Returns:
            False if it could not, and the log says why; or if the engine is built, which was all.
            `exit_code` tells one from the other.

        Raises:
            OwsegError: the engine cannot be built.
        """
        get, trigger = self.host.parameters.get, self.host.lifecycle.trigger
        if get("build_only"):
            self._build()
            return False
        if not get("autostart"):
            return True
        started = trigger("configure") and trigger("activate")
        self.exit_code = 0 if started else OwsegError.exit_code
        return started

    def _build(self) -> None:
        log = self.host.log
        model = parameters.load_of(self.host.parameters.get).model
        build_in_background(model, log.info, threading.Event())
        log.info("the TensorRT engine is in the cache")

    def stop(self) -> None:
        """End the reports, which run beside the handlers; for the end of the process."""
        self._timer.cancel()

    def close(self) -> None:
        """Nothing stays open behind the shutdown."""

    # Life --------------------------------------------------------------------------------------

    def on_configure(self) -> None:
        """Load and warm up the model, join the topics."""
        try:
            self._configure()
        except BaseException as error:
            self._problem = str(error) if isinstance(error, OwsegError) else repr(error)
            self._free()
            raise
        self._problem = ""

    def _configure(self) -> None:
        self._fixed = True
        get, log = self.host.parameters.get, self.host.log
        load = parameters.load_of(get)
        begun = time.monotonic()
        self._model = model = self._frames.call(lambda: open_model(load, get))
        for name in load.cameras:
            camera = Camera(self.host, name, load.transport, model, self._frames)
            self._cameras.append(camera)
            self._frames.post(camera.label)
        topics = [camera.topic for camera in self._cameras]
        if len(set(topics)) < len(topics):
            raise UsageError(
                f"two cameras read the same topic ({', '.join(topics)}); give 'cameras' names that "
                "differ, and remap their images to different topics"
            )
        self._prototypes = self.host.subscription(
            prototype_sets.MESSAGE, prototype_sets.TOPIC, self._on_prototypes, LATCHED
        )
        log.info(
            f"model '{model.pipeline.manifest.name}' is ready on {model.pipeline.engine.name} "
            f"after {time.monotonic() - begun:.1f} s"
        )
        if notice := getattr(model.pipeline.engine, "notice", ""):
            log.warning(notice)

    def on_activate(self) -> None:
        """Subscribe to the images."""
        try:
            for camera in self._cameras:
                camera.start()
        except BaseException:
            self._stop()
            raise
        self.host.log.info(f"active on {', '.join(camera.topic for camera in self._cameras)}")
        # Not before: a QoS override is unused until its topic is there.
        self._unused |= warn_of_unused(self.host, self._unused)

    def on_deactivate(self) -> None:
        """Unsubscribe, and let the frame under way end."""
        try:
            self._stop()
        except HostError:
            for camera in self._cameras:  # the node stays active
                camera.start()
            raise

    def on_cleanup(self) -> None:
        """Free the model, leave the topics."""
        self._free()

    def on_shutdown(self) -> None:
        """Free everything."""
        self.stop()
        self._free()

    def _stop(self) -> None:
        for camera in self._cameras:
            camera.stop()
        if not self._frames.flush(_STOP_S):
            raise HostError(_STUCK)

    def _free(self) -> None:
        prototypes, self._prototypes = self._prototypes, None
        if prototypes is not None:
            prototypes.destroy()
        cameras, self._cameras = self._cameras, []
        for camera in cameras:
            camera.stop()
        model, self._model = self._model, None
        if model is not None and self._frames.flush(_STOP_S):
            self._frames.call(model.close)
        elif model is not None:
            self.host.log.error(f"{_STUCK}; its engine is not freed")
        for camera in cameras:
            camera.destroy()
        self._prototype_problem, self._fixed = "", False
        self._before.clear()

    # Parameters --------------------------------------------------------------------------------

    def _refuse(self, changes: Mapping[str, Value]) -> str | None:
        model = self._model
        manifest = None if model is None else model.pipeline.manifest
        return parameters.refuse(changes, self.host.parameters.get, manifest, fixed=self._fixed)

    def _apply(self, changes: Mapping[str, Value]) -> None:
        if further := parameters.consequences(changes, self.host.parameters.get):
            self.host.parameters.set(further)
        if self._model is not None and not parameters.LIVE.isdisjoint(changes):
            manifest = self._model.pipeline.manifest
            self._model.settings = parameters.settings_of(self.host.parameters.get, manifest)
            self._label()

    def _label(self) -> None:
        for camera in self._cameras:
            self._frames.post(camera.label)

    # Prototypes --------------------------------------------------------------------------------

    def _on_prototypes(self, message: Message) -> None:
        if self._model is None:
            return
        try:
            found = prototype_sets.prototype_set_of(message)
            self._model.pipeline.set_prototypes(found)
        except PrototypeError as error:
            self._prototype_problem = f"set {message.version} is not in use: {error}"
            self.host.log.error(self._prototype_problem, every_s=_REPEAT_S)
            return
        self._prototype_problem = ""
        names = ", ".join(item.name for item in found.classes) or "none"
        self.host.log.info(f"novel classes at version {found.version}: {names}")
        self._label()

    # Reports -----------------------------------------------------------------------------------

    def _report(self) -> None:
        self._diagnostics.publish(self.statuses())

    def statuses(self) -> list[Status]:
        """Describe the engine, the novel classes and each camera."""
        model, cameras, prototypes = self._model, list(self._cameras), self._prototypes
        device = str(self.host.parameters.get("device"))
        found = [status.model_status(model, device, self._problem)]
        if model is not None and prototypes is not None:
            problem = self._prototype_problem
            found.append(status.prototype_status(model, prototypes.publishers, problem))
        now = time.monotonic()
        elapsed, self._reported = max(now - self._reported, 1e-3), now
        return [*found, *(self._camera_status(camera, elapsed) for camera in cameras)]

    def _camera_status(self, camera: Camera, elapsed_s: float) -> Status:
        tally = camera.tally()
        before = self._before.get(camera.name, Tally({}, {}, "", None))
        self._before[camera.name] = tally
        return status.camera_status(
            camera.name,
            camera.topic,
            tally,
            before,
            elapsed_s,
            silence=camera.silence(),
            doubt=status.doubt_of(tally.last_age, self.host.clock),
            active=self.host.lifecycle.state is State.ACTIVE,
        )
