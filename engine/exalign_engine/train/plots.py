"""Pictures of a training run and of a calibration."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # files only: training runs where there is no screen

import matplotlib.pyplot as plt


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
        ("val_auc", "mixture mean"),
        ("val_top1_auc", "best exemplar"),
        ("val_regression_auc", "regression head"),
    ):
        right.plot([int(r["epoch"]) for r in seen], [float(r[key]) for r in seen], marker=".", label=label)
    right.set(xlabel="epoch", ylabel="AUC, %", title="Validation, true boxes")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(out, dpi=110)
    plt.close(figure)


def plot_calibration(card: dict[str, Any], out: Path) -> None:
    """Reliability of presence, and likelihood by temperature: calibration card → PNG."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    bins = card["presence"]["reliability"]
    left.plot([0, 1], [0, 1], color="0.7", lw=1)
    left.scatter(
        [b["stated"] for b in bins],
        [b["observed"] for b in bins],
        s=[12 + 200 * b["count"] / max(x["count"] for x in bins) for b in bins],
        alpha=0.7,
    )
    for b in bins:
        left.annotate(
            str(b["count"]),
            (b["stated"], b["observed"]),
            textcoords="offset points",
            xytext=(8, -10),
            fontsize=8,
        )
    left.set(
        xlabel="stated presence",
        ylabel="share that shows a face",
        title=f"Presence, {card['split']}: ROC AUC {card['presence']['roc_auc']:.4f}",
    )
    curve = card["nll_by_temperature"]
    right.plot([float(t) for t in curve], list(curve.values()), marker="o")
    right.set(
        xlabel="temperature T",
        ylabel="NLL a landmark, nats",
        xscale="log",
        title="Each T with its own best kernels",
    )
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.savefig(out, dpi=110)
    plt.close(figure)
