"""DeepLabV3+: an encoder, atrous pyramid pooling, and a decoder that brings back detail.

On ResNet-50 it is the network of the GOSS paper, on ResNet-101 that of the incremental part of the
DMLNet paper, both with output stride 16 and a decoder at stride 4. On WiderResNet-38, with output
stride 8 and a decoder at stride 2, it is that of the papers on entropy maximisation.

Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation", ECCV 2018, with plain convolutions; Zhu et al., "Improving Semantic Segmentation via
Video Propagation and Label Relaxation", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from owseg_training.models.layers import adaptive_avg_pool, conv_bn, conv_bn_relu, resize
from owseg_training.models.resnet import ResNet
from owseg_training.models.wider_resnet import WiderResNet

RATES = {16: (6, 12, 18), 8: (12, 24, 36)}
"""Dilations of the pyramid by the output stride of the encoder."""


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: one pixel, three dilations, the whole image.

    Args:
        cin: channels in.
        cout: channels out.
        rates: dilations of the 3x3 convolutions.
    """

    def __init__(self, cin: int, cout: int, rates: Sequence[int] = RATES[16]) -> None:
        super().__init__()
        atrous = [
            nn.Sequential(*conv_bn(cin, cout, 3, dilation=rate), nn.ReLU(inplace=True))
            for rate in rates
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
    """Encoder, atrous pyramid, and a decoder at the stride of the encoder's first stage.

    Args:
        encoder: what makes a fine and a coarse map of an image.
        output_stride: of the coarse map, 8 or 16.
    """

    out_channels = 256
    BRANCH = ("pyramid", "detail", "decode")
    """Children of the final branch, which incremental learning makes anew for each class."""

    def __init__(self, encoder: ResNet | WiderResNet, output_stride: int) -> None:
        super().__init__()
        first, last = encoder.channels
        self.stride = encoder.first_stride
        self.resnet = encoder
        self.pyramid = AtrousPyramid(last, 256, RATES[output_stride])
        self.detail = conv_bn_relu(first, 48, 1)
        self.decode = nn.Sequential(*conv_bn_relu(256 + 48, 256), *conv_bn_relu(256, 256))

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Map a normalised image (B, 3, H, W) to features (B, 256, H/stride, W/stride)."""
        return self.branch(self.trunk(x_B3HW))

    def trunk(self, x_B3HW: Tensor) -> tuple[Tensor, ...]:
        """Return what the branch needs: the first and the last map of the encoder."""
        return self.resnet.levels(x_B3HW)

    def branch(self, features: tuple[Tensor, ...]) -> Tensor:
        """Map the result of `trunk` to features (B, 256, H/stride, W/stride)."""
        first, last = features
        size = (int(first.shape[-2]), int(first.shape[-1]))
        context = resize(self.pyramid(last), size)
        out: Tensor = self.decode(torch.cat([context, self.detail(first)], dim=1))
        return out
