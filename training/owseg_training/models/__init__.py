"""Networks: backbones by name, and the DMLNet built on them."""

from __future__ import annotations

from owseg_training.models.backbones import BACKBONES, build_backbone
from owseg_training.models.dmlnet import DMLNet, NetworkOutput, build_network, load_imagenet

__all__ = [
    "BACKBONES",
    "DMLNet",
    "NetworkOutput",
    "build_backbone",
    "build_network",
    "load_imagenet",
]
