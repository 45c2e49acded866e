"""The residual's levels while they learn; what they compute stands in `exalign_engine.posterior.residual`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from exalign_engine.arrays import F32
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.residual import STEP, Level, ResidualHead
from exalign_engine.train.config import NetworkConfig
from exalign_engine.train.ranks import ALONE, Ranks

#: How far training starts are moved off: shift and ln scale (box sides), turn (radians), standard deviations. On faces
#: that it learned from, the mixture's mean is better than it will be on others; the levels must not rely on that.
START_SHIFT, START_SCALE, START_TURN = 0.02, 0.03, 0.05


class ResidualLevels(nn.Module):
    """Eq. R1-R2 for a batch.

    Args:
        config: the network's sizes.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.margin = config.margin
        inputs = N_LANDMARKS * config.local_channels + config.embedding + 2 * N_LANDMARKS
        hidden = [nn.Linear(inputs, config.residual_hidden) for _ in range(config.residual_levels)]
        out = [nn.Linear(config.residual_hidden, 2 * N_LANDMARKS) for _ in hidden]
        for layer in out:
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)
        self.hidden, self.out = nn.ModuleList(hidden), nn.ModuleList(out)

    def forward(self, local: Tensor, embedding: Tensor, start: Tensor) -> list[Tensor]:
        """The shapes after each level.

        A level does not teach the ones before it: its start is taken as given.

        Args:
            local: (B, C, h, w) float32.
            embedding: (B, D) float32.
            start: (B, 68, 2) float32, box frame.

        Returns:
            Per level (B, 68, 2), box frame.
        """
        shapes, shape = [], start
        for hidden, out in zip(self.hidden, self.out, strict=True):
            shape = shape.detach()
            grid = ((shape - 0.5) / self.margin * 2)[:, :, None]
            seen = functional.grid_sample(local, grid, align_corners=False, padding_mode="border")[..., 0]
            values = torch.cat([seen.flatten(1), embedding, shape.flatten(1) - 0.5], dim=1)
            shape = shape + STEP * out(torch.relu(hidden(values))).reshape(-1, N_LANDMARKS, 2)
            shapes.append(shape)
        return shapes

    def export(self) -> ResidualHead:
        """The trained levels for the engine, rounded to the half precision that they are stored in."""

        def arrays(layer: nn.Module) -> tuple[F32, F32]:
            weight, bias = (p.detach().float() for p in (layer.get_parameter("weight"), layer.get_parameter("bias")))
            return weight.half().float().numpy(), bias.numpy()

        levels = tuple(Level(*arrays(h), *arrays(o)) for h, o in zip(self.hidden, self.out, strict=True))
        return ResidualHead(levels, self.margin)


def moved_off(shapes: Tensor, generator: torch.Generator, ranks: Ranks = ALONE) -> Tensor:
    """Starts for training: (B, 68, 2) shifted, scaled and turned at random about their centres.

    What is drawn is drawn for the whole batch, of which ``shapes`` are the process's share.
    """
    b = len(shapes)
    every = b * ranks.size

    def drawn(*size: int) -> Tensor:
        return torch.randn(every, *size, generator=generator)[ranks.rows(every)].to(shapes.device)

    shift = START_SHIFT * drawn(1, 2)
    scale = torch.exp(START_SCALE * drawn(1, 1))
    turn = START_TURN * drawn()
    rotation = torch.stack([turn.cos(), turn.sin(), -turn.sin(), turn.cos()], dim=1).reshape(b, 2, 2)
    centre = shapes.mean(dim=1, keepdim=True)
    return scale * (shapes - centre) @ rotation + centre + shift
