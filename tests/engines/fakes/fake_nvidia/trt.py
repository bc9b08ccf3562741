"""A fake TensorRT of any version: what a version lacks raises AttributeError, as it really does.

Source: python/src/infer/pyCore.cpp and pyOnnx.cpp of NVIDIA/TensorRT at 8.5.2, v10.3.0 and v11.1.
"""

from __future__ import annotations

import enum
import os
import time
import types

from fake_nvidia import SETUP
from fake_nvidia.engine import Runtime, TensorIOMode, write_plan
from fake_nvidia.network import DataType, Network

PHASES = (("Building", None, 2), ("Optimizing", "Building", 4), ("Timing", "Building", 3))


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    """Must be initialised by subclasses, as a class of pybind11."""

    Severity = Severity
    INTERNAL_ERROR, ERROR = Severity.INTERNAL_ERROR, Severity.ERROR

    def __init__(self):
        self.ready = True


class IProgressMonitor:
    def __init__(self):
        self.ready = True


class MemoryPoolType(enum.Enum):
    WORKSPACE, DLA_MANAGED_SRAM = range(2)


def enum_of(name, members):
    return enum.IntEnum(name, {member: index for index, member in enumerate(members)})


class HostMemory(bytes):
    nbytes = property(len)


class TimingCache:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return HostMemory(self.content)


class Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, name, *sizes):
        self.shapes[name] = [tuple(size) for size in sizes]


class Config:
    """Refuses attributes that this version does not have."""

    def __init__(self):
        vars(self).update(
            flags=set(),
            cleared=set(),
            pools={},
            profiles=[],
            timing=None,
            targets=[],
        )
        self.__dict__["monitor"] = None

    def __setattr__(self, name, value):
        if name == "progress_monitor" and SETUP.release >= (10,):
            vars(self)["monitor"] = value
        elif name == "num_compute_capabilities" and SETUP.rtx:
            vars(self)["targets"] = [None] * value
        else:
            raise AttributeError(f"'IBuilderConfig' object has no attribute '{name}'")

    def set_memory_pool_limit(self, pool, size):
        self.pools[pool.name] = size

    def set_flag(self, flag):
        self.flags.add(flag.name)

    def clear_flag(self, flag):
        self.cleared.add(flag.name)

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return -1 if SETUP.fails("profile") else len(self.profiles) - 1

    def set_compute_capability(self, target, index):
        if not SETUP.rtx:
            raise AttributeError("set_compute_capability")
        self.targets[index] = target.name
        return True

    def create_timing_cache(self, content):
        if bytes(content).startswith(b"damaged"):
            return None
        return TimingCache(bytes(content))

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache.content and not cache.content.startswith(SETUP.version.encode()):
            return ignore_mismatch
        vars(self)["timing"] = cache
        return True

    def get_timing_cache(self):
        return self.timing


class Builder:
    """Remembers the configurations of its builds in `BUILDS`."""

    def __init__(self, logger):
        assert logger.ready
        if words := SETUP.fails("Builder"):
            logger.log(Severity.ERROR, words)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def create_network(self, flags):
        return Network(flags, MODULE.NetworkDefinitionCreationFlag.__members__)

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        BUILDS.append((network, config))
        if SETUP.fails("kill"):
            os.kill(os.getpid(), 9)
        time.sleep(SETUP.fails("sleep") or 0)
        if words := SETUP.fails("build"):
            self.logger.log(Severity.ERROR, words)
            return None
        weak = not SETUP.rtx and SETUP.release < (10, 12)
        if weak and "FP16" not in config.flags and network.has_halves():
            self.logger.log(Severity.ERROR, "fp16 precision has been set for a layer output, but")
            return None
        if config.monitor is not None and not self._report(config.monitor):
            self.logger.log(Severity.ERROR, "Build canceled by user")
            return None
        if config.timing is not None:
            config.timing.content = f"{SETUP.version} {len(BUILDS)}".encode()
        shapes = config.profiles[0].shapes if config.profiles else {}
        return HostMemory(write_plan(network.model, shapes))

    def _report(self, monitor):
        assert monitor.ready
        monitor.phase_start("Building", None, 2)
        for name, parent, steps in PHASES[1:]:
            monitor.phase_start(name, parent, steps)
            for step in range(steps):
                if not monitor.step_complete(name, step):
                    return False
            monitor.phase_finish(name)
        monitor.phase_finish("Building")
        return True


class ParserError:
    def __init__(self, problem):
        self._op, self._name, self._index, self._words = problem
        if SETUP.release >= (10,):
            self.node_name, self.node_operator = lambda: self._name, lambda: self._op

    def node(self):
        return self._index

    def desc(self):
        return f"{self._words} (In importer at /src/x.cpp:12)"

    def code(self):
        return types.SimpleNamespace(name="UNSUPPORTED_NODE")


class OnnxParser:
    def __init__(self, network, logger):
        assert logger.ready
        self.network, self.errors = network, []

    num_errors = property(lambda self: len(self.errors))

    def get_error(self, index):
        return self.errors[index]

    def parse(self, model, path=None):
        old = SETUP.release < (10,)
        if old and "EXPLICIT_BATCH" not in self.network.flags:
            problem = ("Model", "", -1, "This version only supports explicit batch")
        else:
            problem = self.network.fill(bytes(model))
        self.errors = [ParserError(problem)] if problem else []
        return not problem


BUILDS = []


def creation_flags():
    if SETUP.rtx:
        return ("STRONGLY_TYPED",)
    if SETUP.release < (10,):
        return ("EXPLICIT_BATCH", "EXPLICIT_PRECISION")
    if SETUP.release < (11,):
        return ("EXPLICIT_BATCH", "STRONGLY_TYPED")
    return ("STRONGLY_TYPED", "PREFER_AOT_PYTHON_PLUGINS")


def builder_flags():
    if SETUP.release >= (11,):
        return ("DEBUG", "TF32", "REFIT")
    return ("FP16", "INT8", "DEBUG", "TF32", "REFIT", "OBEY_PRECISION_CONSTRAINTS")


def make_module(name):
    """Return the module of this setup."""
    module = types.ModuleType(name)
    module.__version__ = SETUP.version
    for thing in (ILogger, Builder, OnnxParser, Runtime, DataType, MemoryPoolType, TensorIOMode):
        setattr(module, thing.__name__, thing)
    module.float32 = DataType.FLOAT
    module.NetworkDefinitionCreationFlag = enum_of("CreationFlag", creation_flags())
    module.BuilderFlag = enum_of("BuilderFlag", builder_flags())
    if SETUP.release >= (10,):
        module.IProgressMonitor = IProgressMonitor
    if SETUP.rtx:
        names = ("NONE", "CURRENT", "SM75", "SM80", "SM86", "SM89", "SM120")
        module.ComputeCapability = enum_of("ComputeCapability", names)
    return module


MODULE = make_module(SETUP.flavour or "tensorrt")
