"""The Mix Transformer of SegFormer, from the library transformers, with a light decoder of ours.

A hierarchy of four stages at strides 4, 8, 16 and 32: overlapping patches instead of fixed
positions, so that it runs at any input size, and attention to a reduced sequence, which keeps the
cost of fine stages low. The decoder adds the four stages at stride 4 and filters the sum once.

    pip install 'owseg_ros[transformers]'

Source: Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
Transformers", NeurIPS 2021; encoder, its initialisation and its weights: transformers of Hugging
Face. The decoder, which adds instead of concatenating, is ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from owseg.errors import InputError, MissingDependencyError
from owseg_training.models.layers import conv_bn, conv_bn_relu, resize


class Variant(NamedTuple):
    """One size of the encoder.

    Attributes:
        weights: name of its ImageNet weights on the Hugging Face hub, or a folder with them.
        depths: transformer blocks of each stage.
        channels: of each stage.
        decoder: channels of the decoder.
    """

    weights: str
    depths: tuple[int, ...]
    channels: tuple[int, ...]
    decoder: int


VARIANTS = {
    "b0": Variant("nvidia/mit-b0", (2, 2, 2, 2), (32, 64, 160, 256), 128),
    "b2": Variant("nvidia/mit-b2", (3, 4, 6, 3), (64, 128, 320, 512), 256),
}


class MixTransformer(nn.Module):
    """Mix Transformer encoder and a decoder at stride 4; 3.5 M parameters as B0, 25.1 M as B2.

    Args:
        name: of the variant, "b0" or "b2".

    Raises:
        MissingDependencyError: transformers is not installed.
    """

    stride = 4
    BRANCH = ("project", "decode")
    """Children of the final branch, which incremental learning makes anew for each class."""
    INITIALISED = ("encoder",)
    """Children that come with an initialisation of their own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.variant = VARIANTS[name]
        channels, self.out_channels = self.variant.channels, self.variant.decoder
        library = _library()
        config = library.SegformerConfig(depths=self.variant.depths, hidden_sizes=channels)
        self.encoder: nn.Module = library.SegformerModel(config)
        self.project = nn.ModuleList(conv_bn(c, self.out_channels, 1) for c in channels)
        self.decode = conv_bn_relu(self.out_channels, self.out_channels)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Map a normalised image (B, 3, H, W) to features (B, out_channels, H/4, W/4)."""
        return self.branch(self.trunk(x_B3HW))

    def trunk(self, x_B3HW: Tensor) -> tuple[Tensor, ...]:
        """Return what the branch needs: maps at strides 4, 8, 16 and 32."""
        return tuple(self.encoder(x_B3HW, output_hidden_states=True).hidden_states)

    def branch(self, features: tuple[Tensor, ...]) -> Tensor:
        """Map the result of `trunk` to features (B, out_channels, H/4, W/4)."""
        size = (int(features[0].shape[-2]), int(features[0].shape[-1]))
        first, *coarser = (project(x) for project, x in zip(self.project, features, strict=True))
        out: Tensor = self.decode(F.relu(sum((resize(x, size) for x in coarser), start=first)))
        return out

    def load_imagenet(self) -> None:
        """Load the library's ImageNet weights of this variant; downloads them on first use.

        Raises:
            InputError: the weights cannot be had.
        """
        weights = self.variant.weights
        try:
            loaded = _library().SegformerModel.from_pretrained(weights)
        except OSError as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"cannot load the ImageNet weights {weights}: {reason}") from error
        self.encoder.load_state_dict(loaded.state_dict())


def _library() -> Any:
    """Return the library.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingDependencyError(
            "the backbones mit_b0 and mit_b2 need transformers: "
            "pip install 'owseg_ros[transformers]'"
        ) from error
    return transformers
