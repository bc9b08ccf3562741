"""Fast-SCNN: learning to down-sample, a global feature extractor, feature fusion at stride 8.

Source: Poudel et al., "Fast-SCNN: Fast Semantic Segmentation Network", 2019.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from owseg_training.models.layers import adaptive_avg_pool, conv_bn, conv_bn_relu, resize


def _depthwise(channels: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def _separable(cin: int, cout: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_depthwise(cin, stride), *conv_bn_relu(cin, cout, 1))


class InvertedResidual(nn.Module):
    """Expand, filter per channel, project, with a shortcut where shapes allow."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int = 6) -> None:
        super().__init__()
        mid = cin * expansion
        self.shortcut = stride == 1 and cin == cout
        self.body = nn.Sequential(
            *conv_bn_relu(cin, mid, 1), *_depthwise(mid, stride), *conv_bn(mid, cout, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H/stride, W/stride)."""
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


class PyramidPooling(nn.Module):
    """Average pooling into 1, 2, 3 and 6 bins, concatenated (Zhao et al. 2017)."""

    BINS = (1, 2, 3, 6)

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        mid = cin // len(self.BINS)
        self.project = nn.ModuleList(conv_bn_relu(cin, mid, 1) for _ in self.BINS)
        self.fuse = conv_bn_relu(cin + mid * len(self.BINS), cout, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H, W)."""
        size = (int(x_BCHW.shape[-2]), int(x_BCHW.shape[-1]))
        levels = [x_BCHW]
        for bins, project in zip(self.BINS, self.project, strict=True):
            levels.append(resize(project(adaptive_avg_pool(x_BCHW, bins)), size))
        fused: Tensor = self.fuse(torch.cat(levels, dim=1))
        return fused


class FastSCNN(nn.Module):
    """The backbone with 1.1 M parameters; features at stride 8."""

    stride = 8
    out_channels = 128
    BRANCH = ("extract.6", "extract.7", "extract.8", "extract.9", "low", "high", "classify")
    """Children of the final branch, which incremental learning makes anew for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample = nn.Sequential(
            conv_bn_relu(3, 32, 3, 2), _separable(32, 48, 2), _separable(48, 64, 2)
        )
        stages: list[nn.Module] = []
        cin = 64
        for cout, stride in ((64, 2), (64, 1), (64, 1), (96, 2), (96, 1), (96, 1), (128, 1)):
            stages.append(InvertedResidual(cin, cout, stride))
            cin = cout
        stages += [InvertedResidual(128, 128, 1), InvertedResidual(128, 128, 1)]
        self.extract = nn.Sequential(*stages, PyramidPooling(128, 128))
        self.low = nn.Sequential(*_depthwise(128, 1), *conv_bn(128, 128, 1))
        self.high = conv_bn(64, 128, 1)
        self.classify = nn.Sequential(_separable(128, 128), _separable(128, 128))

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Map a normalised image (B, 3, H, W) to features (B, 128, H/8, W/8)."""
        return self.branch(self.trunk(x_B3HW))

    def trunk(self, x_B3HW: Tensor) -> tuple[Tensor, ...]:
        """Return what the branch needs: maps at strides 8 and 32 with 64 and 96 channels."""
        high = self.downsample(x_B3HW)
        return high, self.extract[:6](high)

    def branch(self, features: tuple[Tensor, ...]) -> Tensor:
        """Map the result of `trunk` to features (B, 128, H/8, W/8)."""
        high, low = features
        size = (int(high.shape[-2]), int(high.shape[-1]))
        low = self.low(resize(self.extract[6:](low), size))
        out: Tensor = self.classify(F.relu(low + self.high(high)))
        return out
