"""PSPNet on a dilated ResNet-50, output stride 8: the network of the DMLNet paper.

Source: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017.
"""

from __future__ import annotations

from torch import Tensor, nn

from owseg_training.models.fast_scnn import PyramidPooling
from owseg_training.models.layers import conv_bn_relu
from owseg_training.models.resnet import ResNet


class PSPNet(nn.Module):
    """Dilated ResNet-50, pyramid pooling, 512 channels at stride 8."""

    stride = 8
    out_channels = 512
    BRANCH = ("pyramid", "fuse")
    """Children of the final branch, which incremental learning makes anew for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet()
        self.pyramid = PyramidPooling(2048, 512)
        self.fuse = conv_bn_relu(512, 512)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Map a normalised image (B, 3, H, W) to features (B, 512, H/8, W/8)."""
        return self.branch(self.trunk(x_B3HW))

    def trunk(self, x_B3HW: Tensor) -> tuple[Tensor, ...]:
        """Return what the branch needs: a map at stride 8 with 2048 channels."""
        return (self.resnet(x_B3HW),)

    def branch(self, features: tuple[Tensor, ...]) -> Tensor:
        """Map the result of `trunk` to features (B, 512, H/8, W/8)."""
        out: Tensor = self.fuse(self.pyramid(*features))
        return out
