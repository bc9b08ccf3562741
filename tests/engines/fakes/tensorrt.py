"""The fake TensorRT where the setup has this flavour of it; else it is not installed."""

import sys

from fake_nvidia import SETUP

if SETUP.flavour != "tensorrt":
    raise ModuleNotFoundError("No module named 'tensorrt'", name="tensorrt")
if words := SETUP.fails("import"):
    raise ImportError(words)

from fake_nvidia.trt import MODULE

sys.modules[__name__] = MODULE
