"""DeepLabV3+ on ResNet-50, output stride 16, decoder at stride 4: the network of the GOSS paper.

Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation", ECCV 2018, with plain convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from owseg_training.models.layers import adaptive_avg_pool, conv_bn, conv_bn_relu, resize
from owseg_training.models.pspnet import ResNet50


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: one pixel, three dilations, the whole image.

    Args:
        cin: channels in.
        cout: channels out.
    """

    RATES = (6, 12, 18)

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        atrous = [
            nn.Sequential(*conv_bn(cin, cout, 3, dilation=rate), nn.ReLU(inplace=True))
            for rate in self.RATES
        ]
        self.branches = nn.ModuleList([conv_bn_relu(cin, cout, 1), *atrous])
        # One value for an image: batch normalisation could not train on a batch of one.
        self.whole = nn.Sequential(nn.Conv2d(cin, cout, 1), nn.ReLU(inplace=True))
        self.fuse = conv_bn_relu(cout * (len(self.branches) + 1), cout, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H, W)."""
        size = (int(x_BCHW.shape[-2]), int(x_BCHW.shape[-1]))
        levels = [branch(x_BCHW) for branch in self.branches]
        levels.append(resize(self.whole(adaptive_avg_pool(x_BCHW, 1)), size))
        fused: Tensor = self.fuse(torch.cat(levels, dim=1))
        return fused


class DeepLabV3Plus(nn.Module):
    """ResNet-50, atrous pyramid, and a decoder that brings back stride 4; 256 channels."""

    stride = 4
    out_channels = 256
    BRANCH = ("pyramid", "detail", "decode")
    """Children of the final branch, which incremental learning makes anew for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet50(stride=16)
        self.pyramid = AtrousPyramid(2048, 256)
        self.detail = conv_bn_relu(256, 48, 1)
        self.decode = nn.Sequential(*conv_bn_relu(256 + 48, 256), *conv_bn_relu(256, 256))

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Map a normalised image (B, 3, H, W) to features (B, 256, H/4, W/4)."""
        return self.branch(self.trunk(x_B3HW))

    def trunk(self, x_B3HW: Tensor) -> tuple[Tensor, ...]:
        """Return what the branch needs: maps at strides 4 and 16 with 256 and 2048 channels."""
        return self.resnet.levels(x_B3HW)

    def branch(self, features: tuple[Tensor, ...]) -> Tensor:
        """Map the result of `trunk` to features (B, 256, H/4, W/4)."""
        first, last = features
        size = (int(first.shape[-2]), int(first.shape[-1]))
        context = resize(self.pyramid(last), size)
        out: Tensor = self.decode(torch.cat([context, self.detail(first)], dim=1))
        return out
