"""Building blocks that the networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(
    cin: int, cout: int, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution without bias, padded to keep the size, followed by batch normalisation."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(cout),
    )


def conv_bn_relu(cin: int, cout: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """`conv_bn` followed by ReLU."""
    return nn.Sequential(*conv_bn(cin, cout, kernel, stride), nn.ReLU(inplace=True))


def resize(x_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize to (height, width), corners not aligned."""
    return F.interpolate(x_BCHW, size=size, mode="bilinear", align_corners=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2016)."""

    def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv_bn_relu(cin, cout, 3, stride)
        self.conv2 = conv_bn(cout, cout)
        same = stride == 1 and cin == cout
        self.shortcut = nn.Identity() if same else conv_bn(cin, cout, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H/stride, W/stride)."""
        return F.relu(self.conv2(self.conv1(x)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut and an expansion of 2."""

    def __init__(self, cin: int, mid: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv_bn_relu(cin, mid, 1)
        self.conv2 = conv_bn_relu(mid, mid, 3, stride)
        self.conv3 = conv_bn(mid, cout, 1)
        same = stride == 1 and cin == cout
        self.shortcut = nn.Identity() if same else conv_bn(cin, cout, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H/stride, W/stride)."""
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x))


def mean_matrix(length: int, bins: int) -> Tensor:
    """Return the (bins, length) matrix that averages a row into `bins` adaptive bins.

    Equals `nn.AdaptiveAvgPool` along one axis: bin i covers
    floor(i * length / bins) .. ceil((i + 1) * length / bins). As a constant
    matrix product it exports to a handful of nodes at any size.
    """
    matrix = torch.zeros(bins, length)
    for i in range(bins):
        start, stop = (i * length) // bins, -((-(i + 1) * length) // bins)
        matrix[i, start:stop] = 1.0 / (stop - start)
    return matrix


def adaptive_avg_pool(x_BCHW: Tensor, bins: int) -> Tensor:
    """Average into bins x bins cells: (B, C, H, W) to (B, C, bins, bins)."""
    height, width = int(x_BCHW.shape[-2]), int(x_BCHW.shape[-1])
    rows = mean_matrix(height, bins).to(x_BCHW)
    columns = mean_matrix(width, bins).to(x_BCHW).t()
    return rows @ x_BCHW @ columns
