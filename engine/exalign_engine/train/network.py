"""The network: a small residual backbone → embedding → linear head over K exemplars, and a map for the residual.

    uint8 (B, S, S, 3) → normalise → four residual stages → 1×1 → features (B, C, S/16, S/16)
        → flatten → embedding (B, D) → linear → scores (B, K)
    stages 2, 3 and 4, each 1×1, enlarged and added → 3×3 → 1×1 → local (B, L, S/4, S/4)

The input normalisation is part of the network, so that the exported graph takes the bytes of a crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from exalign_engine.train.config import NetworkConfig
from exalign_engine.train.residual import ResidualLevels

#: Scores start here: most exemplars are not members, and the multi-label loss should not have to learn that first.
HEAD_BIAS = -3.5


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a skip connection (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) → (B, outputs, h/stride, w/stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.skip(x))


class BottleneckBlock(nn.Module):
    """1×1, 3×3 and 1×1 convolutions through a quarter of the channels, with a skip connection (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        narrow = outputs // 4
        self.conv1, self.bn1 = nn.Conv2d(inputs, narrow, 1, bias=False), nn.BatchNorm2d(narrow)
        self.conv2, self.bn2 = nn.Conv2d(narrow, narrow, 3, stride, 1, bias=False), nn.BatchNorm2d(narrow)
        self.conv3, self.bn3 = nn.Conv2d(narrow, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) → (B, outputs, h/stride, w/stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.skip(x))


@dataclass(frozen=True)
class Stages:
    """The four stages of a backbone: kind of block, channels of the stem, channels and blocks a stage."""

    block: type[ResidualBlock | BottleneckBlock]
    stem: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]


def stages_of(config: NetworkConfig) -> Stages:
    """What `NetworkConfig.backbone` stands for."""
    if config.backbone == "resnet50":
        return Stages(BottleneckBlock, 64, (256, 512, 1024, 2048), (3, 4, 6, 3))
    return Stages(ResidualBlock, config.widths[0], config.widths, config.blocks)


class ShardedHead(nn.Module):
    """The linear head over K classes in N pieces: piece i holds the classes i, i + N, i + 2N, …

    A training step may look at one piece alone (`TrainConfig.shards`): at K = 140,000 the head and its loss would
    otherwise cost more than the rest of the network.

    Args:
        inputs: D.
        k: classes.
        shards: N.
    """

    def __init__(self, inputs: int, k: int, shards: int) -> None:
        super().__init__()
        self.inputs, self.k, self.shards = inputs, k, shards
        pieces = [nn.Linear(inputs, len(range(i, k, shards))) for i in range(shards)]
        for piece in pieces:
            nn.init.normal_(piece.weight, std=0.01)
            nn.init.constant_(piece.bias, HEAD_BIAS)
        self.pieces = nn.ModuleList(pieces)

    def forward(self, embedding: Tensor, shard: int | None = None) -> Tensor:
        """(B, D) → (B, K), or the scores of one piece's classes."""
        if shard is not None:
            return self.pieces[shard](embedding)  # type: ignore[no-any-return]
        return functional.linear(embedding, *self.merged())

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (K, D) and bias (K,) of the whole head."""
        first = self.pieces[0].get_parameter("weight")
        weight, bias = first.new_empty((self.k, self.inputs)), first.new_empty(self.k)
        for i, piece in enumerate(self.pieces):
            weight[i :: self.shards] = piece.get_parameter("weight")
            bias[i :: self.shards] = piece.get_parameter("bias")
        return weight, bias

    def whole(self) -> nn.Linear:
        """The same head in one piece, for export."""
        head = nn.Linear(self.inputs, self.k)
        with torch.no_grad():
            weight, bias = self.merged()
            head.weight.copy_(weight)
            head.bias.copy_(bias)
        return head


class ExemplarNetwork(nn.Module):
    """Scores K exemplars.

    Args:
        config: widths and sizes.
        k: number of exemplars.
        outputs: coordinates of the auxiliary regression (68 · 2).
        shards: pieces of the head.
    """

    def __init__(self, config: NetworkConfig, k: int, outputs: int, shards: int = 1) -> None:
        super().__init__()
        plan = stages_of(config)
        w = plan.widths
        self.stem = nn.Sequential(nn.Conv2d(3, plan.stem, 3, 2, 1, bias=False), nn.BatchNorm2d(plan.stem), nn.ReLU())
        stages: list[nn.Module] = []
        previous = plan.stem
        for stage, (width, blocks) in enumerate(zip(w, plan.blocks, strict=True)):
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 0 else 1
                stages.append(plan.block(previous, width, stride))
                previous = width
        self.stage_ends = [sum(plan.blocks[: i + 1]) - 1 for i in range(len(plan.blocks))]
        self.stages = nn.Sequential(*stages)
        c = config.feature_channels
        self.squeeze = nn.Sequential(nn.Conv2d(previous, c, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU())
        cells = (config.input_size // 16) ** 2
        self.embed = nn.Sequential(nn.Linear(c * cells, config.embedding, bias=False), nn.BatchNorm1d(config.embedding))
        self.head: nn.Module = ShardedHead(config.embedding, k, shards)
        self.regression = nn.Linear(config.embedding, outputs)
        nn.init.normal_(self.regression.weight, std=0.001)
        m = config.local_width
        self.lateral = nn.ModuleList(nn.Conv2d(width, m, 1, bias=False) for width in w[1:])
        self.fuse = nn.Sequential(
            nn.BatchNorm2d(m), nn.ReLU(), nn.Conv2d(m, m, 3, 1, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU()
        )
        self.local = nn.Conv2d(m, config.local_channels, 1)
        self.residual = ResidualLevels(config)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Look at crops.

        Args:
            image: (B, S, S, 3) uint8 RGB.

        Returns:
            scores (B, K), embedding (B, D), features (B, C, S/16, S/16), local (B, L, S/4, S/4).
        """
        embedding, features, local = self.see(image)
        return self.head(embedding), embedding, features, local

    def see(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, S, S, 3) uint8 → everything but the scores: embedding, features, local."""
        x = self.stem(image.permute(0, 3, 1, 2).to(torch.float32) * (1 / 64.0) - 2.0)
        levels = []
        for i, block in enumerate(self.stages):
            x = block(x)
            if i in self.stage_ends[1:]:
                levels.append(x)
        features = self.squeeze(x)
        fine, middle, coarse = (lateral(y) for lateral, y in zip(self.lateral, levels, strict=True))
        fine = (
            fine + functional.interpolate(middle, scale_factor=2.0) + functional.interpolate(coarse, scale_factor=4.0)
        )
        return self.embed(features.flatten(1)), features, self.local(self.fuse(fine))


class SecondLook(nn.Module):
    """A network that looks at each crop and at its mirror image (`ExportConfig.looks`).

    The scores are the mean of both looks', those of the mirror image in the order of ``mirror_of``: the second half
    of the classes mirrors the first. What only the residual reads, it gives for both looks: first the crop, then its
    mirror image as that was seen.

    Args:
        network: looks once; its K is even and its classes are halves that mirror each other.
    """

    def __init__(self, network: ExemplarNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, S, S, 3) uint8 → scores (B, K), embedding (B, 2D), features (B, C, h, w), local (B, 2L, S/4, S/4)."""
        b = image.shape[0]
        scores, embedding, features, local = self.network(torch.cat([image, image.flip(2)]))
        here, there, half = scores[:b], scores[b:], scores.shape[1] // 2
        there = torch.cat([there[:, half:], there[:, :half]], dim=1)
        return (
            0.5 * (here + there),
            torch.cat([embedding[:b], embedding[b:]], dim=1),
            features[:b],
            torch.cat([local[:b], local[b:]], dim=1),
        )
