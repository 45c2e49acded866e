"""What the validation curve shows of a network on its way."""

from __future__ import annotations

import numpy as np
import torch

from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.train.batches import plain_batches
from exalign_engine.train.config import TrainConfig
from exalign_engine.train.network import ExemplarNetwork
from exalign_engine.train.optimisation import autocast
from exalign_engine.train.ranks import Ranks

#: Temperature of the validation curve's mixture mean; calibration chooses the bundle's own.
CURVE_TEMPERATURE = 0.3


def validate(
    network: ExemplarNetwork,
    exemplars: Exemplars,
    faces: FaceMemory,
    augmenter: Augmenter,
    config: TrainConfig,
    ranks: Ranks,
) -> dict[str, float]:
    """AUC (%) of the mixture mean, the best exemplar, the auxiliary regression and the residual, undisturbed crops."""
    network.eval()
    flat = torch.from_numpy(exemplars.shapes.reshape(exemplars.count, -1)).to(ranks.device)
    errors: dict[str, list[float]] = {
        "val_auc": [],
        "val_top1_auc": [],
        "val_regression_auc": [],
        "val_residual_auc": [],
    }
    with torch.no_grad(), autocast(config, ranks):
        for batch in plain_batches(faces, augmenter, config.batch_size):
            scores, embedding, _, local = network(torch.from_numpy(batch.crops).to(ranks.device))
            p = torch.softmax(scores.float() / CURVE_TEMPERATURE, dim=1)
            mean = p.to(flat.dtype) @ flat
            moved = network.residual(local.float(), embedding.float(), mean.reshape(-1, N_LANDMARKS, 2))
            answers = {
                "val_auc": mean,
                "val_residual_auc": moved[-1] if moved else mean,
                "val_top1_auc": flat[p.argmax(dim=1)],
                "val_regression_auc": network.regression(embedding).float(),
            }
            for name, answer in answers.items():
                y = answer.float().cpu().numpy().reshape(-1, N_LANDMARKS, 2)
                distance = np.linalg.norm(y - batch.shapes, axis=-1).mean(axis=1)
                errors[name] += [float(d) / diagonal(tight_box(t)) for d, t in zip(distance, batch.shapes, strict=True)]
    return {k: round(100 * float(np.maximum(0, 1 - np.array(v) / 0.08).mean()), 3) for k, v in errors.items()}
