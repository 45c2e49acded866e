"""The network: a small residual backbone → embedding → linear head over K exemplars.

    uint8 (B, S, S, 3) → normalise → four residual stages → 1×1 → features (B, C, S/16, S/16)
        → flatten → embedding (B, D) → linear → scores (B, K)

The input normalisation is part of the network, so that the exported graph takes the bytes of a crop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exalign_engine.train.config import NetworkConfig

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


class ExemplarNetwork(nn.Module):
    """Scores K exemplars.

    Args:
        config: widths and sizes.
        k: number of exemplars.
        outputs: coordinates of the auxiliary regression (68 · 2).
    """

    def __init__(self, config: NetworkConfig, k: int, outputs: int) -> None:
        super().__init__()
        w = config.widths
        self.stem = nn.Sequential(nn.Conv2d(3, w[0], 3, 2, 1, bias=False), nn.BatchNorm2d(w[0]), nn.ReLU())
        stages: list[nn.Module] = []
        previous = w[0]
        for stage, (width, blocks) in enumerate(zip(w, config.blocks, strict=True)):
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 0 else 1
                stages.append(ResidualBlock(previous, width, stride))
                previous = width
        self.stages = nn.Sequential(*stages)
        c = config.feature_channels
        self.squeeze = nn.Sequential(nn.Conv2d(previous, c, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU())
        cells = (config.input_size // 16) ** 2
        self.embed = nn.Sequential(nn.Linear(c * cells, config.embedding, bias=False), nn.BatchNorm1d(config.embedding))
        self.head = nn.Linear(config.embedding, k)
        self.regression = nn.Linear(config.embedding, outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.normal_(self.regression.weight, std=0.001)
        nn.init.constant_(self.head.bias, HEAD_BIAS)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score crops.

        Args:
            image: (B, S, S, 3) uint8 RGB.

        Returns:
            scores (B, K), embedding (B, D), features (B, C, S/16, S/16).
        """
        x = image.permute(0, 3, 1, 2).to(torch.float32) * (1 / 64.0) - 2.0
        features = self.squeeze(self.stages(self.stem(x)))
        embedding = self.embed(features.flatten(1))
        return self.head(embedding), embedding, features
