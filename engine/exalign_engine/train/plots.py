"""Pictures of a training run."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # files only: training runs where there is no screen

import matplotlib.pyplot as plt

from exalign.output_files import replacing


def plot_curves(table: Path, out: Path) -> None:
    """Loss and validation AUC by epoch: curves.csv → PNG."""
    with table.open(newline="") as f:
        rows = list(csv.DictReader(f))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    epochs = [int(r["epoch"]) for r in rows]
    left.plot(epochs, [float(r["class_loss"]) for r in rows], label="classes")
    left.set(xlabel="epoch", ylabel="loss a face", yscale="log", title="Training loss")
    seen = [r for r in rows if r["val_auc"]]
    for key, label in (
        ("val_residual_auc", "mixture mean, moved by the residual"),
        ("val_auc", "mixture mean"),
        ("val_top1_auc", "best exemplar"),
        ("val_regression_auc", "regression head"),
    ):
        right.plot([int(r["epoch"]) for r in seen], [float(r[key]) for r in seen], marker=".", label=label)
    right.set(xlabel="epoch", ylabel="AUC, %", title="Validation, true boxes")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend()
    with replacing(out) as partial:
        figure.savefig(partial, dpi=110)
    plt.close(figure)
