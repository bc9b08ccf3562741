"""The backbones by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from owseg.errors import UsageError
from owseg_training.config import NetworkConfig
from owseg_training.models.ddrnet import DDRNet
from owseg_training.models.deeplab import DeepLabV3Plus
from owseg_training.models.fast_scnn import FastSCNN
from owseg_training.models.pspnet import PSPNet


def _ddrnet(config: NetworkConfig) -> nn.Module:
    return DDRNet(width=config.width)


def _fast_scnn(config: NetworkConfig) -> nn.Module:
    return FastSCNN()


def _deeplab50(config: NetworkConfig) -> nn.Module:
    return DeepLabV3Plus()


def _pspnet50(config: NetworkConfig) -> nn.Module:
    return PSPNet()


BACKBONES: dict[str, Callable[[NetworkConfig], nn.Module]] = {
    "ddrnet": _ddrnet,
    "fast_scnn": _fast_scnn,
    "pspnet50": _pspnet50,
    "deeplab50": _deeplab50,
}
"""Functions that build a backbone: (B, 3, H, W) -> (B, out_channels, H/stride, W/stride)."""


def build_backbone(config: NetworkConfig) -> nn.Module:
    """Build the backbone that a configuration names.

    Raises:
        UsageError: no backbone has this name.
    """
    if config.backbone not in BACKBONES:
        names = ", ".join(BACKBONES)
        raise UsageError(f"no backbone '{config.backbone}'; there are {names}")
    return BACKBONES[config.backbone](config)
