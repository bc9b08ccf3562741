"""An engine that changes horses: a slow one that is there, until the fast one is ready."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from owseg.bundle import OUTPUTS
from owseg.engines.background import Tell
from owseg.engines.base import BaseEngine, Engine, Outputs, PrototypeSlots
from owseg.errors import EngineError, OwsegError
from owseg.types import UInt8Array

DEVICES = ("auto", "cpu")
"""Where the plain engine is tried, in this order."""

Make = Callable[[Tell, threading.Event], Engine]
"""Makes an engine, which may take minutes: (what is told of it, what stops it) -> engine."""


class SwitchingEngine(BaseEngine):
    """Runs frames on one engine; changes to another between two frames.

    To the better one, once it is ready (`replace_with`). Back to a plain one, if the better one
    fails on a frame; that frame is run again, so that none is lost. Calls from several threads
    take turns.

    Args:
        plain: opens the plain engine: (device) -> engine.
        better: runs the first frames; None = the plain one does.
        device: where the plain one runs at first.

    Attributes:
        name: of the engine that runs the frames.
        device: where it runs.
        notice: what the operator should know, "" = nothing.
        degraded: whether that is a worse state than what was asked for.

    Raises:
        EngineError: the plain engine is needed and cannot be opened.
    """

    def __init__(
        self,
        plain: Callable[[str], Engine],
        better: Engine | None = None,
        *,
        device: str = DEVICES[0],
    ) -> None:
        engine = plain(device) if better is None else better
        super().__init__(engine.manifest, engine.space)
        self._open_plain = plain
        self._plain = better is None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._ready: Engine | None = None
        self._failure: Exception | None = None
        self._engine: Engine | None = None
        self._use(engine)

    def _use(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.device = engine.name, str(getattr(engine, "device", ""))

    def say(self, notice: str, *, degraded: bool) -> None:
        """Set what the operator should know."""
        self.notice, self.degraded = notice, degraded

    def replace_with(self, make: Make, doing: str) -> None:
        """Make a better engine in a thread, and change to it when it is ready.

        Args:
            make: makes it.
            doing: what that is called in notices, e.g. "building the TensorRT engine".
        """
        self.say(doing, degraded=False)
        self._thread = threading.Thread(
            target=self._prepare, args=(make, doing), name="owseg engine", daemon=True
        )
        self._thread.start()

    def _prepare(self, make: Make, doing: str) -> None:
        try:
            engine = make(lambda text: self.say(f"{doing}: {text}", degraded=False), self._stop)
        except Exception as error:  # whatever it is, the plain engine goes on
            self.say(_words(error), degraded=True)
            return
        with self._lock:
            if self._engine is not None:
                self._ready = engine
                return
        engine.close()  # nobody waits for it any more

    def infer(
        self,
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str] = OUTPUTS[:3],
    ) -> Outputs:
        """Run the graph on a batch; see `Engine.infer`."""
        self.check_inputs(images, prototypes, threshold, outputs)

        def run(engine: Engine) -> Outputs:
            return engine.infer(images, prototypes, threshold, outputs)

        with self._lock:
            engine = self._current()
            if self._plain:
                return run(engine)
            try:
                if self._failure is not None:
                    raise self._failure
                return run(engine)
            except Exception as error:  # the request is fine, so it is the engine that is not
                return self._retreat(engine, error, run)

    def _current(self) -> Engine:
        """Return the engine for the next frame; changes to the better one if it is ready."""
        if self._engine is None:
            raise EngineError("the engine is closed")
        before, ready, self._ready = self._engine, self._ready, None
        if ready is None:
            return before
        self._use(ready)
        self._plain = False
        self.say("", degraded=False)
        with contextlib.suppress(Exception):  # it has done its work
            before.close()
        return ready

    def _retreat(
        self, failed: Engine, error: Exception, run: Callable[[Engine], Outputs]
    ) -> Outputs:
        """Run a frame on the plain engine, and stay with it; on the CPU if the GPU has failed.

        Raises:
            EngineError: that fails, too.
        """
        self._failure = error
        with contextlib.suppress(Exception):
            failed.close()
        for device in DEVICES:
            outputs = self._try_plain(device, run)
            if outputs is not None:
                self._failure = None
                self.say(f"{failed.name} failed: {_words(error)}", degraded=True)
                return outputs
        raise EngineError(_words(error)) from error

    def _try_plain(self, device: str, run: Callable[[Engine], Outputs]) -> Outputs | None:
        try:
            plain = self._open_plain(device)
        except Exception:  # whatever it is, the next device may do
            return None
        try:
            outputs = run(plain)
        except Exception:
            plain.close()
            return None
        self._use(plain)
        self._plain = True
        return outputs

    def close(self) -> None:
        """Stop what is being made, and free the engines."""
        self._stop.set()
        with self._lock:
            engines = [e for e in (self._engine, self._ready) if e is not None]
            self._engine = self._ready = None
        try:
            for engine in engines:
                engine.close()
        finally:
            if self._thread is not None:
                self._thread.join()


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, OwsegError) else repr(error)
