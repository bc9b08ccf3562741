"""The installed TensorRT: which one, which version, and what it says when something fails."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from owseg.errors import EngineError, MissingDependencyError

FLAVOURS = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
"""Flavours of TensorRT, and the modules that they come as; the first that is there is used."""

OLDEST = (8, 5)
STRONGLY_TYPED_FROM = (10, 12)

INSTALL = (
    "pip install 'owseg_ros[tensorrt]'; on a Jetson use the TensorRT of JetPack in a virtual "
    "environment made with --system-site-packages"
)
_INSTALL_RTX = "pip install 'owseg_ros[rtx]'"
NO_MEMORY = re.compile(r"out ?of ?memory|could not be allocated", re.IGNORECASE)
"""What TensorRT says where memory of the GPU is missing."""

_NOISE = re.compile(r"^\[?checkMacros|^-+ (Begin|End) node|^\[\d+\] Invalid Node")
_PLACE = re.compile(r"\bIn \w+ at /\S+?:\d+\s*")
_EMPTY = re.compile(r"\s*\(\s*\)|\s+(?=\))")
_LONGEST = 220


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRT:
    """A TensorRT that can be imported.

    Attributes:
        module: the Python module.
        flavour: "tensorrt" or "tensorrt_rtx".
        version: its full version.
    """

    module: Any
    flavour: str
    version: str

    @property
    def rtx(self) -> bool:
        """Whether it is TensorRT for RTX, which builds for GPUs that are not here."""
        return self.flavour == "tensorrt_rtx"

    @property
    def release(self) -> tuple[int, ...]:
        """The numbers of its version, e.g. (10, 3, 0)."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:3])

    @property
    def parser_release(self) -> tuple[int, ...]:
        """Version of TensorRT whose ONNX parser it has: TensorRT for RTX has that of 10."""
        return (10,) if self.rtx else self.release

    @property
    def strongly_typed(self) -> bool:
        """Whether it computes in the types of the ONNX file, and in no others."""
        return self.rtx or self.release >= STRONGLY_TYPED_FROM

    @property
    def title(self) -> str:
        """Name and version for people."""
        return f"TensorRT{' for RTX' if self.rtx else ''} {self.version}"


def find_tensorrt(flavours: Sequence[str] = tuple(FLAVOURS)) -> TensorRT:
    """Import the first of some flavours that is installed.

    Raises:
        MissingDependencyError: none is.
        EngineError: those that are installed are too old.
    """
    reasons: list[str] = []
    too_old: EngineError | None = None
    for flavour in flavours:
        for name in FLAVOURS[flavour]:
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name != name:
                    reasons.append(str(error))
            except Exception as error:  # a library of it is missing, or of another CUDA
                reasons.append(f"{name}: {error}")
            else:
                try:
                    return _checked(module, flavour)
                except EngineError as error:
                    too_old = too_old or error
    if too_old is not None:
        raise too_old
    why = f"cannot be imported ({_one_line(reasons[0])})" if reasons else "is not installed"
    remedy = INSTALL if "tensorrt" in flavours else _INSTALL_RTX
    title = "TensorRT" if "tensorrt" in flavours else "TensorRT for RTX"
    raise MissingDependencyError(f"{title} {why}: {remedy}")


def _checked(module: Any, flavour: str) -> TensorRT:
    found = TensorRT(
        module=module, flavour=flavour, version=str(getattr(module, "__version__", "0"))
    )
    if not found.rtx and found.release < OLDEST:
        raise EngineError(
            f"{found.title} is too old, 8.5 or later is needed (JetPack 5.1 or later): {INSTALL}"
        )
    return found


def make_log(trt: TensorRT) -> Any:
    """Return a logger for TensorRT, which prints nothing and keeps the errors.

    It must outlive the objects that are made with it. `errors` lists the messages,
    `reason()` makes one line of them.
    """
    base = trt.module.ILogger
    worst = (base.Severity.INTERNAL_ERROR, base.Severity.ERROR)

    class Log(base):  # type: ignore[misc, valid-type]
        """Keeps the errors."""

        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Hear a message."""
            if severity in worst:
                self.errors.append(str(message))

        def reason(self) -> str:
            """Return what went wrong, in one line; forgets it."""
            found, self.errors = self.errors, []
            return reason_of("\n".join(found)) or "it gives no reason"

    return Log()


def start(trt: TensorRT, kind: str, log: Any, *arguments: Any) -> Any:
    """Make an object of TensorRT that takes the logger last: "Builder", "Runtime", "OnnxParser".

    Raises:
        EngineError: TensorRT gives none, as without a usable driver.
    """
    try:
        made = getattr(trt.module, kind)(*arguments, log)
    except TypeError as error:  # what pybind11 makes of a null pointer
        raise EngineError(_cannot_start(trt, log)) from error
    if made is None:
        raise EngineError(_cannot_start(trt, log))
    return made


def _cannot_start(trt: TensorRT, log: Any) -> str:
    return f"{trt.title} cannot start ({log.reason()}); look at the driver with 'owseg doctor'"


def reason_of(message: str) -> str:
    """Return the part of TensorRT's messages that says something, in one line."""
    for line in (line.strip() for line in message.splitlines()):
        if line and not _NOISE.search(line):
            return _one_line(_EMPTY.sub("", _PLACE.sub("", line)))
    return ""


def _one_line(text: str) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= _LONGEST else joined[: _LONGEST - 3] + "..."
