"""NVIDIA's modules without a GPU, for tests: they check how they are called.

The environment variable OWSEG_FAKE_NVIDIA holds a JSON object, the fields of `Setup`. It is
read when the package is imported, so that processes that a test starts have the same GPU.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field

VARIABLE = "OWSEG_FAKE_NVIDIA"


@dataclass
class Setup:
    """The machine.

    flavour: "tensorrt", "tensorrt_rtx", or "" = no TensorRT is installed.
    cuda: name of the module of cuda-python, "" = it is not installed.
    capability: compute capability of the GPU; [] = there is no driver.
    multiprocessors: of the GPU.
    memory: bytes of the GPU.
    fail: what goes wrong, by name; see the places where it is asked for.
    """

    flavour: str = "tensorrt"
    version: str = "10.3.0"
    cuda: str = "cuda.bindings.runtime"
    gpu: str = "NVIDIA Fake 3060"
    capability: list[int] = field(default_factory=lambda: [8, 6])
    multiprocessors: int = 28
    memory: int = 1 << 30
    fail: dict[str, object] = field(default_factory=dict)

    def fails(self, name: str) -> object:
        """Return how something fails, None = it does not."""
        return self.fail.get(name)

    @property
    def rtx(self) -> bool:
        return self.flavour == "tensorrt_rtx"

    @property
    def release(self) -> tuple[int, ...]:
        """Numbers of the version; TensorRT for RTX descends from TensorRT 11."""
        if self.rtx:
            return (11,)
        return tuple(int(part) for part in self.version.split(".")[:3])


SETUP = Setup(**json.loads(os.environ.get(VARIABLE, "{}")))
