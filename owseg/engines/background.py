"""A build in a process of its own: it cannot take the node with it, and gives way to it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from owseg.errors import EngineError

_PREFIX = "owseg: "
_PATIENCE_S = 5.0
_OWSEG = (
    "import sys; sys.path[:] = filter(None, sys.path); from owseg.cli import main; sys.exit(main())"
)
"""The command `owseg`; unlike with `python -m`, what lies in the working directory (a checkout
called tensorrt, say) is not imported."""

Tell = Callable[[str], None]
"""Is told in a few words what is going on."""


def build_in_background(model: Path, tell: Tell, stop: threading.Event) -> None:
    """Build the engine of a model with `owseg build`; returns when it is in the cache.

    Args:
        model: the bundle.
        tell: is told each line of progress.
        stop: ends the build.

    Raises:
        EngineError: the build failed, and why; or it was stopped.
    """
    command = [sys.executable, "-c", _OWSEG, "build", str(model), "--nice"]
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    watch = threading.Thread(target=_end, args=(child, stop), name="owseg build", daemon=True)
    watch.start()
    try:
        complaint = _listen(child, tell)
        code = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    if stop.is_set():
        raise EngineError("the build was stopped")
    if code:
        why = complaint.removeprefix(_PREFIX) or _how_it_ended(code)
        raise EngineError(f"the TensorRT engine could not be built: {why}")


def _listen(child: subprocess.Popen[str], tell: Tell) -> str:
    """Pass on what the build says; returns its last complaint."""
    complaint = ""
    assert child.stderr is not None
    with child.stderr as lines:
        for line in lines:
            if text := line.strip():
                complaint = text if text.startswith(_PREFIX) else complaint
                tell(text)
    return complaint


def _how_it_ended(code: int) -> str:
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"


def _end(child: subprocess.Popen[str], stop: threading.Event) -> None:
    """End the build when it is asked for; first gently."""
    while child.poll() is None:
        if not stop.wait(0.2):
            continue
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_PATIENCE_S)
            return
        child.kill()
        return
