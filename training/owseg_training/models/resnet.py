"""ResNet-50 and ResNet-101 whose last stages are dilated instead of strided.

Parameter names equal torchvision's, so that its ImageNet weights can be loaded with
`load_imagenet`.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, with the stride in
the 3x3 convolution.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from owseg.errors import InputError, MissingDependencyError

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks of the four stages by depth."""


class ResNetBottleneck(nn.Module):
    """The bottleneck of ResNet-50 and deeper ones, with an expansion of 4."""

    def __init__(self, cin: int, mid: int, stride: int, dilation: int) -> None:
        super().__init__()
        cout = 4 * mid
        self.conv1 = nn.Conv2d(cin, mid, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid)
        self.conv2 = nn.Conv2d(mid, mid, 3, stride, dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(mid)
        self.conv3 = nn.Conv2d(mid, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.downsample: nn.Module | None = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, 4 * mid, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


class ResNet(nn.Module):
    """ResNet of 50 or 101 layers, without its classifier.

    Args:
        depth: number of layers, a key of `BLOCKS`.
        stride: output stride: 8, the last two stages dilated by 2 and 4, or 16, the last by 2.
    """

    channels = (256, 2048)
    """Of the two results of `levels`."""
    first_stride = 4
    """Of the first result of `levels`."""

    def __init__(self, depth: int = 50, stride: int = 8) -> None:
        super().__init__()
        assert stride in (8, 16)
        self.depth = depth
        blocks = BLOCKS[depth]
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = self._stage(64, 64, blocks[0], 1, 1)
        self.layer2 = self._stage(256, 128, blocks[1], 2, 1)
        self.layer3 = self._stage(512, 256, blocks[2], stride // 8, 16 // stride)
        self.layer4 = self._stage(1024, 512, blocks[3], 1, 32 // stride)

    @staticmethod
    def _stage(cin: int, mid: int, blocks: int, stride: int, dilation: int) -> nn.Sequential:
        first = ResNetBottleneck(cin, mid, stride, max(1, dilation // 2))
        rest = [ResNetBottleneck(4 * mid, mid, 1, dilation) for _ in range(blocks - 1)]
        return nn.Sequential(first, *rest)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 2048, H/stride, W/stride)."""
        return self.levels(x_B3HW)[1]

    def levels(self, x_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 3, H, W) to the first stage, (B, 256, H/4, W/4), and to the last one."""
        x = F.relu(self.bn1(self.conv1(x_B3HW)))
        x = F.max_pool2d(x, 3, 2, 1)
        first: Tensor = self.layer1(x)
        return first, self.layer4(self.layer3(self.layer2(first)))

    def load_imagenet(self) -> None:
        """Load torchvision's ImageNet weights of this depth; downloads them on first use.

        Raises:
            MissingDependencyError: torchvision is not installed.
            InputError: the weights cannot be downloaded.
        """
        try:
            from torchvision import models  # type: ignore[import-not-found]
        except ImportError as error:
            raise MissingDependencyError(
                "ImageNet weights need torchvision: pip install torchvision"
            ) from error
        weights = getattr(models, f"ResNet{self.depth}_Weights").IMAGENET1K_V2
        try:
            state = weights.get_state_dict(progress=True)
        except OSError as error:
            raise InputError(f"cannot download the ImageNet weights: {error}") from error
        self.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")})
