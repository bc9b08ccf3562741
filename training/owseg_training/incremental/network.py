"""A frozen base network and one new head for each class learnt later.

A head is everything behind the trunk of the backbone: pooling of context,
decoder and embedding (`BRANCH` of the backbone), as the head of the paper is
a whole DeepLabV3+ head. The trunk is shared and computed once.

Source: DMLNet, Section 4.3, "Pseudo Label Method".
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from owseg_training.models.dmlnet import DMLNet, NetworkOutput, fixed_prototypes

NEW_ROW_STD = 0.01


class BranchHead(nn.Module):
    """A final branch with an embedding of its own, one class larger than the one it starts from.

    It starts with the weights of another branch; the new row of the embedding
    is small and random. Batch normalisation stays in evaluation mode with the
    statistics of the base.

    Args:
        start: the network or head whose branch it starts from.
    """

    prototypes: Tensor

    def __init__(self, start: DMLNet | BranchHead) -> None:
        super().__init__()
        self.backbone: nn.Module = copy.deepcopy(start.backbone)
        keep_only(self.backbone, self.backbone.BRANCH)  # type: ignore[arg-type]
        self.embed: nn.Conv2d = grown(start.embed)
        scale = float(start.prototypes[0, 0])
        prototypes = fixed_prototypes(self.embed.out_channels, scale)
        self.register_buffer("prototypes", prototypes.to(start.prototypes.device))
        self.requires_grad_(True)
        self.eval()

    def forward(self, trunk: tuple[Tensor, ...]) -> Tensor:
        """Map the result of `DMLNet.trunk` to the embedding (B, K, h, w)."""
        features: Tensor = self.backbone.branch(trunk)  # type: ignore[operator]
        embedding: Tensor = self.embed(features)
        return embedding


class PLMNetwork(nn.Module):
    """A base network with the heads of later classes; everything is frozen.

    Args:
        base: the network of the base classes.
    """

    def __init__(self, base: DMLNet) -> None:
        super().__init__()
        self.base = base.eval().requires_grad_(False)
        self.heads = nn.ModuleList()

    @property
    def prototypes(self) -> Tensor:
        """Prototypes of the base classes, (N, N)."""
        return self.base.prototypes

    @property
    def num_base(self) -> int:
        """N, number of base classes."""
        return int(self.base.embed.out_channels)

    @property
    def unknown(self) -> bool:
        """Whether the base has a logit for unknown pixels; never, its head is metric."""
        return self.base.unknown

    @property
    def stride(self) -> int:
        """Output stride of all heads."""
        return self.base.stride

    def forward(self, x_B3HW: Tensor) -> NetworkOutput:
        """Map an RGB image (B, 3, H, W) in 0..1 to embedding and direction of the base, and heads.

        The trunk runs once.
        """
        trunk = self.base.trunk(x_B3HW)
        output = self.base.decide(trunk, x_B3HW)
        return output._replace(heads=tuple(head(trunk) for head in self.heads))

    def new_head(self) -> BranchHead:
        """Return an untrained head for one more class; it is not part of the network yet."""
        latest = self.heads[-1] if len(self.heads) else self.base
        assert isinstance(latest, BranchHead | DMLNet)
        return BranchHead(latest)

    def add(self, head: BranchHead) -> None:
        """Append a trained head and freeze it."""
        self.heads.append(head.eval().requires_grad_(False))


def keep_only(module: nn.Module, names: tuple[str, ...], prefix: str = "") -> None:
    """Replace all children but those of the dotted names by modules without weights, in place."""
    for name, child in module.named_children():
        path = prefix + name
        if any(kept.startswith(path + ".") for kept in names):
            keep_only(child, names, path + ".")
        elif path not in names:
            setattr(module, name, nn.Identity())


@torch.no_grad()
def grown(embed: nn.Conv2d) -> nn.Conv2d:
    """Return a copy of an embedding layer with one more output."""
    size = embed.out_channels
    layer = nn.Conv2d(embed.in_channels, size + 1, 1, device=embed.weight.device)
    nn.init.normal_(layer.weight, std=NEW_ROW_STD)
    assert layer.bias is not None
    assert embed.bias is not None
    nn.init.zeros_(layer.bias)
    layer.weight[:size].copy_(embed.weight)
    layer.bias[:size].copy_(embed.bias)
    return layer
