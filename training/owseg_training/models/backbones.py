"""The backbones by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from owseg.errors import UsageError
from owseg_training.config import NetworkConfig
from owseg_training.models.ddrnet import DDRNet
from owseg_training.models.deeplab import DeepLabV3Plus
from owseg_training.models.fast_scnn import FastSCNN
from owseg_training.models.mit import MixTransformer
from owseg_training.models.pspnet import PSPNet
from owseg_training.models.resnet import ResNet
from owseg_training.models.wider_resnet import WiderResNet

BACKBONES: dict[str, Callable[[NetworkConfig], nn.Module]] = {
    "ddrnet": lambda config: DDRNet(width=config.width),
    "fast_scnn": lambda config: FastSCNN(),
    "pspnet50": lambda config: PSPNet(),
    "deeplab50": lambda config: DeepLabV3Plus(ResNet(50, stride=16), 16),
    "deeplab101": lambda config: DeepLabV3Plus(ResNet(101, stride=16), 16),
    "deeplab_wrn38": lambda config: DeepLabV3Plus(WiderResNet(), 8),
    "mit_b0": lambda config: MixTransformer("b0"),
    "mit_b2": lambda config: MixTransformer("b2"),
}
"""Functions that build a backbone: (B, 3, H, W) -> (B, out_channels, H/stride, W/stride)."""

WITH_IMAGENET = ("pspnet50", "deeplab50", "deeplab101", "mit_b0", "mit_b2")
"""Backbones that have ImageNet weights, by `load_imagenet` of their own or of their encoder."""


def build_backbone(config: NetworkConfig) -> nn.Module:
    """Build the backbone that a configuration names.

    Raises:
        UsageError: no backbone has this name.
        MissingDependencyError: its library is not installed.
    """
    if config.backbone not in BACKBONES:
        names = ", ".join(BACKBONES)
        raise UsageError(f"no backbone '{config.backbone}'; there are {names}")
    return BACKBONES[config.backbone](config)
