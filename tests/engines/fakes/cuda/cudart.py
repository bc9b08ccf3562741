"""The fake CUDA runtime where the setup has it under this name."""

import sys

from fake_nvidia import SETUP

if SETUP.cuda != __name__:
    raise ModuleNotFoundError(f"No module named '{__name__}'", name=__name__)

from fake_nvidia.cuda import CUDA

sys.modules[__name__] = CUDA
