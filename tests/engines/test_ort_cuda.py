"""Whether ONNX Runtime can use CUDA: with its package and without, with a GPU and without."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from owseg.engines import ort_cuda
from owseg.engines.ort_cuda import cuda_obstacle

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def made_for(monkeypatch):
    """Give a function that puts in a package with some providers, and what opening one does."""

    def install(providers, load):
        def session(graph, options, providers):
            real = onnxruntime.InferenceSession(graph, providers=[CPU])
            (x,), (y,) = real.get_inputs(), real.get_outputs()
            one = np.ones(1, np.float32)
            assert np.array_equal(real.run([y.name], {x.name: one})[0], one)
            names = load(providers)
            return SimpleNamespace(get_providers=lambda: names)

        module = SimpleNamespace(
            get_available_providers=lambda: providers,
            SessionOptions=SimpleNamespace,
            InferenceSession=session,
        )
        monkeypatch.setitem(sys.modules, "onnxruntime", module)

    return install


def fail(providers):
    raise RuntimeError("CUDA failure 35: driver too old\nin a file")


@pytest.mark.parametrize(
    ("providers", "load", "says"),
    [
        ([CUDA, CPU], lambda providers: providers, ""),
        ([CUDA, CPU], lambda providers: [CPU], ort_cuda.unusable("cuda")),
        ([CUDA, CPU], fail, f"{ort_cuda.unusable('cuda')} (CUDA failure 35: driver too old)"),
        ([CPU], fail, ort_cuda.NO_CUDA),
    ],
)
def test_the_obstacle(made_for, providers, load, says):
    made_for(providers, load)
    assert cuda_obstacle() == says
