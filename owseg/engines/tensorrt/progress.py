"""How far a build has come: from TensorRT 10 on it says so itself, before only time passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from owseg.engines.tensorrt.runtime import TensorRT

Report = Callable[[float, str], None]
"""Is told the share of the work that is done, 0..1, and the name of the phase."""


@dataclass
class _Phase:
    name: str
    steps: int
    done: int = 0


class Progress:
    """Turns nested phases, each with its steps, into one share that only grows.

    A phase within another counts as one step of it.

    Args:
        report: is told each change.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._phases: list[_Phase] = []
        self._share = 0.0

    def start(self, name: str, steps: int) -> None:
        """Begin a phase within the one that is under way."""
        self._phases.append(_Phase(name, max(1, steps)))
        self._tell(name)

    def step(self, name: str, step: int) -> None:
        """End a step, counted from 0, of a phase."""
        phase = self._find(name)
        if phase is not None:
            phase.done = min(step + 1, phase.steps)
            self._tell(name)

    def finish(self, name: str) -> None:
        """End a phase, and those that began within it."""
        phase = self._find(name)
        if phase is not None:
            phase.done = phase.steps
            self._tell(name)
            del self._phases[self._phases.index(phase) :]

    def _find(self, name: str) -> _Phase | None:
        return next((phase for phase in reversed(self._phases) if phase.name == name), None)

    def _tell(self, name: str) -> None:
        share = 0.0
        for phase in reversed(self._phases):
            share = min(1.0, (phase.done + share) / phase.steps)
        self._share = max(self._share, share)
        self._report(self._share, name)


def attach(trt: TensorRT, config: Any, report: Report) -> Any:
    """Let a builder report; returns what must live until the build is over.

    An exception of `report` ends the build. TensorRT before 10 reports nothing.
    """
    base: Any = getattr(trt.module, "IProgressMonitor", None)
    if base is None:
        return None
    progress = Progress(report)

    class Monitor(base):  # type: ignore[misc]
        """Hears from TensorRT; returning False ends the build."""

        def __init__(self) -> None:
            base.__init__(self)
            self.stopped: BaseException | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Hear that a phase begins."""
            self._try(progress.start, phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Hear that a step is done."""
            self._try(progress.step, phase_name, step)
            return self.stopped is None

        def phase_finish(self, phase_name: str) -> None:
            """Hear that a phase ends."""
            self._try(progress.finish, phase_name)

        def _try(self, hear: Callable[..., None], *arguments: Any) -> None:
            try:
                hear(*arguments)
            except BaseException as error:  # also Ctrl-C, which must not vanish in TensorRT
                self.stopped = self.stopped or error

    config.progress_monitor = monitor = Monitor()
    return monitor
