"""Keeps programs running: starts them, starts them again when they die, ends them all."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

BAD_INPUT = 2
"""Exit code of a program that was given something unusable: to start it again is no use."""

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
SETTLED_S = 60.0
"""A program that ran so long is started again as quickly as the first time."""

_STOP_S = 10.0
_LOOK_EVERY_S = 0.1
_LAST_WORDS_S = 1.0

Say = Callable[[str, str], None]
"""Gets the name of a program and one line about it, or from it."""


class WhenDone(Enum):
    """What follows where a program ends by itself with exit code 0."""

    START_AGAIN = auto()
    LEAVE = auto()
    """It has done its part; the others go on."""
    END_ALL = auto()
    """There is nothing left to do, if it was its first run; later it is started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Something to keep running.

    Attributes:
        name: for people.
        command: program and arguments; it must end when its standard input does.
        when_done: what follows where it ends by itself with exit code 0.
    """

    name: str
    command: tuple[str, ...]
    when_done: WhenDone = WhenDone.START_AGAIN


def next_delay(delay_s: float, ran_s: float) -> float:
    """Return how long to wait before a program is started again.

    Args:
        delay_s: how long it was the last time; 0 = it was the first start.
        ran_s: how long the program ran.
    """
    if not delay_s or ran_s >= SETTLED_S:
        return FIRST_DELAY_S
    return min(2 * delay_s, LONGEST_DELAY_S)


def how_it_ended(code: int) -> str:
    """Say in words what an exit code of `subprocess` means."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


class _Child:
    """One program, and the process that runs it now."""

    def __init__(self, program: Program, say: Say) -> None:
        self.program, self._say = program, say
        self.process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self.is_done = False
        self.starts = 0
        self._started_s = 0.0
        self._delay_s = 0.0
        self.due_s = 0.0

    def start(self) -> None:
        """Start the program; its output goes on with its name before each line."""
        self.starts += 1
        self._started_s = time.monotonic()
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we end it kindly.
        self.process = subprocess.Popen(
            self.program.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._reader = threading.Thread(target=self._pass_on, args=(self.process,), daemon=True)
        self._reader.start()

    def _pass_on(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "it is a pipe"
        with process.stdout as lines:
            for line in lines:
                self._say(self.program.name, line.decode(errors="replace").rstrip())

    def look(self) -> int | None:
        """Return the exit code if the process has ended, once all that it said was passed on."""
        process = self.process
        code = None if process is None else process.poll()
        if process is not None and code is not None:
            self._forget(process)
        return code

    def plan(self) -> float:
        """Note when to start again; return in how many seconds that is."""
        now = time.monotonic()
        self._delay_s = next_delay(self._delay_s, now - self._started_s)
        self.due_s = now + self._delay_s
        return self._delay_s

    def signal(self, number: int) -> None:
        """Signal the process, and what it may have started."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        if self._reader is not None:
            self._reader.join(_LAST_WORDS_S)
        with contextlib.suppress(OSError):
            assert process.stdin is not None, "it is a pipe"
            process.stdin.close()
        self.process = None


class Supervisor:
    """Runs programs until it is told to end.

    A program that dies is started again, after a second at first and half a minute at most.
    One that finds its input unusable at its first start ends everything, and so does one that is
    done in its first run if it is to (`WhenDone.END_ALL`).

    Args:
        programs: in the order in which to start them; they are ended the other way round.
        say: gets what there is to say, and the output of the programs.
    """

    def __init__(self, programs: Sequence[Program], say: Say) -> None:
        self._children = [_Child(program, say) for program in programs]
        self._say = say
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` end; may be called from everywhere."""
        self._stopping.set()

    def run(self) -> int:
        """Run until SIGINT, SIGTERM, SIGHUP or `stop`; return the exit code."""
        with _on_signals(self._on_signal):
            code = 0
            try:
                code = self._keep_running()
            finally:
                self._end_all()
        return code

    def _keep_running(self) -> int:
        while not self._stopping.is_set():
            for child in self._children:
                code = self._care_for(child)
                if code is not None:
                    return code
            self._stopping.wait(_LOOK_EVERY_S)
        return 0

    def _care_for(self, child: _Child) -> int | None:
        """Start it if it is due, see to its end; returns the exit code where all should end."""
        if child.process is None:
            if not child.is_done and time.monotonic() >= child.due_s:
                child.start()
            return None
        code = child.look()
        return None if code is None else self._after(child, code)

    def _after(self, child: _Child, code: int) -> int | None:
        """Plan the next start of what has ended; returns the exit code where all should end."""
        name, is_first = child.program.name, child.starts == 1
        when_done = child.program.when_done if code == 0 else WhenDone.START_AGAIN
        if is_first and code == BAD_INPUT:
            self._say(name, "cannot start, see above; ending the others")
            return code
        if is_first and when_done == WhenDone.END_ALL:
            self._say(name, "is done; ending the others")
            return code
        if when_done == WhenDone.LEAVE:
            child.is_done = True
            self._say(name, "has come to its end")
            return None
        self._say(name, f"{how_it_ended(code)}; starting it again in {child.plan():g} s")
        return None

    def _end_all(self) -> None:
        self._stopping.set()
        for child in reversed(self._children):
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        while self._running() and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        for child in self._running():
            self._say(child.program.name, f"did not end within {_STOP_S:g} s; killing it")
        self._kill()
        while self._running():
            time.sleep(_LOOK_EVERY_S)

    def _running(self) -> list[_Child]:
        for child in self._children:
            child.look()
        return [child for child in self._children if child.process is not None]

    def _kill(self) -> None:
        for child in self._children:
            child.signal(signal.SIGKILL)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """End everything; at the second signal at once."""
        if self._stopping.is_set():
            self._kill()
        self._stopping.set()


@contextlib.contextmanager
def _on_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle signals; only the main thread of a program may ask for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # nohup ignores SIGHUP, and means it.
    heeded = [n for n in SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
