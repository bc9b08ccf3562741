"""WiderResNet-38 with a dilated end, output stride 8: few, wide, pre-activated residual blocks.

A stem and six modules of blocks. With the width w = 64 of the stem:

    module                          1    2    3    4    5         6         7
    blocks                       stem    3    3    6    3         1         1
    channels in units of w          1    2    4    8    8, 16     8, 16, 32 16, 32, 64
    stride of its result            1    2    4    8    8         8         8
    dilation                        1    1    1    1    2         4         4

Two widths are two 3x3 convolutions, three a bottleneck of 1x1, 3x3 and 1x1 ones. Modules 2 and 3
start with a max pooling of 3x3, module 4 with a strided convolution (this is variant "A2"; the
network of Wu et al. pools in front of every module). Batch normalisation and ReLU come in front
of each convolution; a block that changes stride or channels projects what is normalised, the
others add what came in. Modules 6 and 7 leave out 30 % and 50 % of the channels in front of their
last convolution in training.

Source: Wu, Shen and van den Hengel, "Wider or Deeper: Revisiting the ResNet Model for Visual
Recognition", 2016; Rota Bulo et al., "In-Place Activated BatchNorm for Memory-Optimized Training
of DNNs", CVPR 2018; with this end: Zhu et al., "Improving Semantic Segmentation via Video
Propagation and Label Relaxation", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = (3, 3, 6, 3, 1, 1)
WIDTHS = ((2, 2), (4, 4), (8, 8), (8, 16), (8, 16, 32), (16, 32, 64))
"""Channels of the convolutions of a block, in units of the stem's."""
STRIDES = (1, 1, 2, 1, 1, 1)
DILATIONS = (1, 1, 1, 2, 4, 4)
DROPOUTS = (0.0, 0.0, 0.0, 0.0, 0.3, 0.5)


class IdentityBlock(nn.Module):
    """A residual block of two 3x3 convolutions, or of 1x1, 3x3 and 1x1, normalised in front.

    Args:
        cin: channels in.
        widths: channels of its two or three convolutions.
        stride: of the first convolution.
        dilation: of the 3x3 convolutions.
        dropout: share of the channels left out in front of the last convolution in training.
    """

    def __init__(
        self, cin: int, widths: Sequence[int], stride: int, dilation: int, dropout: float
    ) -> None:
        super().__init__()
        kernels = (3, 3) if len(widths) == 2 else (1, 3, 1)
        self.norm = nn.BatchNorm2d(cin)
        body: list[nn.Module] = [_conv(cin, widths[0], kernels[0], stride, dilation)]
        for before, after, kernel in zip(widths, widths[1:], kernels[1:], strict=False):
            body += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
            body.append(_conv(before, after, kernel, 1, dilation))
        self.body = nn.Sequential(*body[:-1], nn.Dropout2d(dropout), body[-1])
        same = stride == 1 and cin == widths[-1]
        self.project = None if same else _conv(cin, widths[-1], 1, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, widths[-1], H/stride, W/stride)."""
        y = F.relu(self.norm(x))
        shortcut = x if self.project is None else self.project(y)
        out: Tensor = self.body(y) + shortcut
        return out


class WiderResNet(nn.Module):
    """WiderResNet-38 "A2" without its last normalisation and classifier; 105.1 M parameters.

    Args:
        width: channels of the stem.
        blocks: of the six modules; (1, 1, 1, 1, 1, 1) is WiderResNet-16, (1, 1, 1, 3, 1, 1) -20.
    """

    first_stride = 2
    """Of the first result of `levels`."""

    def __init__(self, width: int = 64, blocks: Sequence[int] = BLOCKS) -> None:
        super().__init__()
        self.channels = (WIDTHS[0][-1] * width, WIDTHS[-1][-1] * width)
        self.mod1 = _conv(3, width, 3, 1, 1)
        modules = []
        channels = width
        for count, units, stride, dilation, dropout in zip(
            blocks, WIDTHS, STRIDES, DILATIONS, DROPOUTS, strict=True
        ):
            widths = [unit * width for unit in units]
            module = [IdentityBlock(channels, widths, stride, dilation, dropout)]
            channels = widths[-1]
            module += [
                IdentityBlock(channels, widths, 1, dilation, dropout) for _ in range(count - 1)
            ]
            modules.append(nn.Sequential(*module))
        self.mod2, self.mod3, *rest = modules
        self.rest = nn.Sequential(*rest)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 64 * width, H/8, W/8)."""
        return self.levels(x_B3HW)[1]

    def levels(self, x_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 3, H, W) to module 2, (B, 2 * width, H/2, W/2), and to module 7."""
        first: Tensor = self.mod2(F.max_pool2d(self.mod1(x_B3HW), 3, 2, 1))
        return first, self.rest(self.mod3(F.max_pool2d(first, 3, 2, 1)))


def _conv(cin: int, cout: int, kernel: int, stride: int, dilation: int) -> nn.Conv2d:
    dilation = dilation if kernel > 1 else 1
    padding = dilation * (kernel // 2)
    return nn.Conv2d(cin, cout, kernel, stride, padding, dilation=dilation, bias=False)
