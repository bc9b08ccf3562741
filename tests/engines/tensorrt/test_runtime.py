"""Which TensorRT is found, what it is called, and one line of what it says."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from owseg.engines.tensorrt.cuda import Cuda
from owseg.engines.tensorrt.runtime import TensorRT, find_tensorrt, make_log, reason_of
from owseg.errors import EngineError, MissingDependencyError


def of(version, flavour="tensorrt"):
    return TensorRT(module=ModuleType("m"), flavour=flavour, version=version)


@pytest.mark.parametrize(
    ("version", "release", "typed"),
    [
        ("8.5.2.2", (8, 5, 2), False),
        ("8.6.1.post1", (8, 6, 1), False),
        ("10.3.0", (10, 3, 0), False),
        ("10.11.0.33", (10, 11, 0), False),
        ("10.12.0.36", (10, 12, 0), True),
        ("11.4.0.106", (11, 4, 0), True),
    ],
)
def test_versions(version, release, typed):
    trt = of(version)
    assert (trt.release, trt.strongly_typed, trt.rtx) == (release, typed, False)
    assert trt.parser_release == release
    assert trt.title == f"TensorRT {version}"


def test_tensorrt_for_rtx_is_a_new_one_whatever_its_version():
    trt = of("1.4.0.76", "tensorrt_rtx")
    assert trt.rtx
    assert trt.strongly_typed
    assert trt.parser_release >= (10,)
    assert trt.title == "TensorRT for RTX 1.4.0.76"


@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt_rtx"])
def test_what_is_installed_is_found(nvidia, flavour):
    nvidia(flavour=flavour, version="10.3.0")
    assert find_tensorrt().flavour == flavour
    other = "tensorrt" if flavour == "tensorrt_rtx" else "tensorrt_rtx"
    with pytest.raises(MissingDependencyError, match="is not installed: pip install"):
        find_tensorrt((other,))


def test_nothing_is_installed(nvidia):
    nvidia(flavour="")
    says = r"^TensorRT is not installed: pip install 'owseg_ros\[tensorrt\]'; on a Jetson use"
    with pytest.raises(MissingDependencyError, match=says):
        find_tensorrt()


def test_a_library_of_it_is_missing(nvidia):
    nvidia(fail={"import": "libnvinfer.so.10: cannot open shared object file"})
    says = r"cannot be imported \(tensorrt: libnvinfer\.so\.10: cannot open .*\): pip install"
    with pytest.raises(MissingDependencyError, match=says):
        find_tensorrt()


def test_a_module_that_it_needs_is_missing(nvidia, monkeypatch, tmp_path):
    nvidia(flavour="")
    (tmp_path / "tensorrt.py").write_text("import tensorrt_libs_of_nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match="No module named 'tensorrt_libs_of_nowhere'"):
        find_tensorrt()


def test_too_old(nvidia):
    nvidia(version="8.4.1.5")
    with pytest.raises(EngineError, match=r"TensorRT 8\.4\.1\.5 is too old, 8\.5 or later"):
        find_tensorrt()


def test_one_that_is_too_old_does_not_hide_another(nvidia):
    trt = nvidia(version="8.4.1.5").trt
    sys.modules["tensorrt_rtx"] = trt.make_module("tensorrt_rtx")
    assert find_tensorrt().flavour == "tensorrt_rtx"


# Messages ----------------------------------------------------------------------------------------


def test_the_log_keeps_errors_only(nvidia, capfd):
    fake = nvidia()
    log = make_log(find_tensorrt())
    severity = fake.trt.Severity
    log.log(severity.WARNING, "never mind")
    log.log(severity.INFO, "nor this")
    assert log.reason() == "it gives no reason"
    log.log(severity.ERROR, "one")
    log.log(severity.INTERNAL_ERROR, "two")
    assert log.reason() == "one"
    assert log.reason() == "it gives no reason"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", ""),
        ("plain words", "plain words"),
        ("\n  [6] Invalid Node - n\nthe reason  (In f at /_src/a.cpp:3)\n", "the reason"),
        ("[checkMacros.cpp::catchCudaError::250] CUDA\nthe reason", "the reason"),
        ("--- Begin node ---\nthe\treason", "the reason"),
        ("x" * 400, "x" * 217 + "..."),
        ("Error: bad (a, b). In check at /_src/x.cpp:77", "Error: bad (a, b)."),
        ("Myelin ([p] no GEMM. In compile at /_src/y/x.cpp:2012)", "Myelin ([p] no GEMM.)"),
        ("Runtime (In f at /_src/x.cpp:25 (cudaError 35: old))", "Runtime ((cudaError 35: old))"),
    ],
)
def test_the_part_of_a_message_that_says_something(message, reason):
    assert reason_of(message) == reason


# CUDA --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuda.bindings.runtime", "cuda.cudart"])
def test_cuda_under_both_names(nvidia, name):
    fake = nvidia(cuda=name, gpu="NVIDIA RTX A2000", capability=[8, 6], memory=1000)
    cuda = Cuda()
    assert (cuda.name, cuda.capability) == ("NVIDIA RTX A2000", (8, 6))
    assert cuda.free_bytes() == (1000, 1000)
    address = cuda.malloc(300)
    assert cuda.free_bytes() == (700, 1000)
    cuda.free(address)
    assert fake.cuda.leaks() == {}


def test_cuda_python_is_not_installed(nvidia):
    nvidia(cuda="")
    with pytest.raises(MissingDependencyError, match="need cuda-python, which cannot be imported:"):
        Cuda()


def test_cuda_python_does_not_load(nvidia, monkeypatch, tmp_path):
    nvidia(cuda="")
    (tmp_path / "cuda" / "bindings").mkdir(parents=True)
    for folder in ("cuda", "cuda/bindings"):
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "cuda" / "bindings" / "runtime.py").write_text("raise OSError('libcudart')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match=r"cannot be imported \(libcudart\): pip"):
        Cuda()


def test_a_gpu_that_is_not_there(nvidia):
    nvidia()
    with pytest.raises(EngineError, match="there is no GPU number 1; 1 can be seen here"):
        Cuda(1)


def test_importing_the_core_imports_neither():
    assert "owseg.engines.tensorrt.engine" in sys.modules
    assert not {"tensorrt", "fake_nvidia"} & set(sys.modules)
