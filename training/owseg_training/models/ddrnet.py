"""A small dual-resolution network with a stride-4 output.

Two branches, one at stride 8 and one down to stride 64, exchange features
twice; pyramid pooling gathers context; a light decoder brings back the
stride-4 detail that poles and signs need.

Source: Hong et al., "Deep Dual-resolution Networks for Real-time and Accurate
Semantic Segmentation of Road Scenes", 2021. The stride-4 decoder is ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from owseg_training.models.layers import (
    BasicBlock,
    Bottleneck,
    adaptive_avg_pool,
    conv_bn,
    conv_bn_relu,
    resize,
)


def _stage(cin: int, cout: int, stride: int = 1, blocks: int = 2) -> nn.Sequential:
    rest = [BasicBlock(cout, cout) for _ in range(blocks - 1)]
    return nn.Sequential(BasicBlock(cin, cout, stride), *rest)


class PyramidContext(nn.Module):
    """Context at four scales, added from fine to coarse (after DAPPM)."""

    BINS = (8, 4, 2, 1)

    def __init__(self, cin: int, mid: int, cout: int) -> None:
        super().__init__()
        self.first = conv_bn_relu(cin, mid, 1)
        self.pooled = nn.ModuleList(conv_bn_relu(cin, mid, 1) for _ in self.BINS)
        self.smooth = nn.ModuleList(conv_bn_relu(mid, mid, 3) for _ in self.BINS)
        self.fuse = conv_bn_relu(mid * (len(self.BINS) + 1), cout, 1)
        self.shortcut = conv_bn(cin, cout, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H, W)."""
        size = (int(x_BCHW.shape[-2]), int(x_BCHW.shape[-1]))
        levels = [self.first(x_BCHW)]
        for bins, project, smooth in zip(self.BINS, self.pooled, self.smooth, strict=True):
            context = resize(project(adaptive_avg_pool(x_BCHW, bins)), size)
            levels.append(smooth(context + levels[-1]))
        return F.relu(self.fuse(torch.cat(levels, dim=1)) + self.shortcut(x_BCHW))


class DDRNet(nn.Module):
    """Dual-resolution backbone.

    Args:
        width: channels of the stem; 32 gives 5.7 M parameters, 24 gives 3.3 M.
        out_channels: channels of the returned features.
    """

    stride = 4
    BRANCH = ("low5", "high5", "context", "mid", "detail", "decode")
    """Children of the final branch, which incremental learning makes anew for each class."""

    def __init__(self, width: int = 32, out_channels: int = 64) -> None:
        super().__init__()
        w = width
        self.out_channels = out_channels
        self.stem = nn.Sequential(conv_bn_relu(3, w, 3, 2), conv_bn_relu(w, w, 3, 2))
        self.layer1 = _stage(w, w)
        self.layer2 = _stage(w, 2 * w, 2)
        self.low3, self.high3 = _stage(2 * w, 4 * w, 2), _stage(2 * w, 2 * w)
        self.low4, self.high4 = _stage(4 * w, 8 * w, 2), _stage(2 * w, 2 * w)
        self.down3 = conv_bn(2 * w, 4 * w, 3, 2)
        self.up3 = conv_bn(4 * w, 2 * w, 1)
        self.down4 = nn.Sequential(conv_bn_relu(2 * w, 4 * w, 3, 2), *conv_bn(4 * w, 8 * w, 3, 2))
        self.up4 = conv_bn(8 * w, 2 * w, 1)
        self.low5 = Bottleneck(8 * w, 8 * w, 16 * w, 2)
        self.high5 = Bottleneck(2 * w, 2 * w, 4 * w)
        self.context = PyramidContext(16 * w, 4 * w, 4 * w)
        self.mid = conv_bn_relu(4 * w, out_channels)
        self.detail = conv_bn(w, out_channels, 1)
        self.decode = conv_bn_relu(out_channels, out_channels)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Map a normalised image (B, 3, H, W) to features (B, out_channels, H/4, W/4)."""
        return self.branch(self.trunk(x_B3HW))

    def trunk(self, x_B3HW: Tensor) -> tuple[Tensor, ...]:
        """Return what the branch needs: maps at strides 4, 8 and 32 with w, 2w and 8w channels."""
        detail = self.layer1(self.stem(x_B3HW))
        x8 = self.layer2(detail)
        low, high = self.low3(x8), self.high3(x8)
        size = (int(high.shape[-2]), int(high.shape[-1]))
        low, high = (
            F.relu(low + self.down3(high)),
            F.relu(high + resize(self.up3(low), size)),
        )
        low, high = self.low4(low), self.high4(high)
        low, high = (
            F.relu(low + self.down4(high)),
            F.relu(high + resize(self.up4(low), size)),
        )
        return detail, high, low

    def branch(self, features: tuple[Tensor, ...]) -> Tensor:
        """Map the result of `trunk` to features (B, out_channels, H/4, W/4)."""
        detail, high, low = features
        size = (int(high.shape[-2]), int(high.shape[-1]))
        context = self.context(self.low5(low))
        mixed = self.mid(F.relu(self.high5(high) + resize(context, size)))
        fine = (int(detail.shape[-2]), int(detail.shape[-1]))
        out: Tensor = self.decode(F.relu(resize(mixed, fine) + self.detail(detail)))
        return out
