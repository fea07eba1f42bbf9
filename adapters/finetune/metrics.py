"""How good predictions are: accuracy, F1, Matthews' correlation, and correlations of numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

__all__ = ["classification_metrics", "regression_metrics"]


def classification_metrics(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, float]:
    r"""Accuracy, F1 and Matthews' correlation of predicted classes.

    With the counts M_ij of rows of class i that were taken for class j, s = sum M, c = trace M, t_i = sum_j M_ij
    and p_j = sum_i M_ij:

        accuracy = c / s,   F1_i = 2 M_ii / (t_i + p_i),
        matthews = (c s - t . p) / sqrt((s^2 - p . p) (s^2 - t . t)),  0 where the root is.

    Args:
        predicted: class numbers, shape (rows,).
        labels: the right ones, shape (rows,).

    Returns:
        `accuracy`; `f1`, of class 1 where labels and predictions know only 0 and 1, and else the mean over the
        classes that occur; `matthews`.

    Reference:
        J. Gorodkin, Computational Biology and Chemistry 28, 367 (2004), for more than two classes.

    >>> classification_metrics(np.array([1, 0, 1, 1]), np.array([1, 0, 0, 1]))["accuracy"]
    0.75
    """
    size = 1 + max(1, int(predicted.max()), int(labels.max()))
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    total, right = counts.sum(), counts.trace()
    true, guessed = counts.sum(1), counts.sum(0)
    occurring = np.flatnonzero(true + guessed) if size > 2 else np.array([1])
    f1 = 2 * counts.diagonal()[occurring] / np.maximum(1, (true + guessed)[occurring])
    root = np.sqrt(float(total**2 - guessed @ guessed) * float(total**2 - true @ true))
    return {
        "accuracy": float(right / total),
        "f1": float(f1.mean()),
        "matthews": float((right * total - true @ guessed) / root) if root else 0.0,
    }


def regression_metrics(predicted: NDArray[np.float64], labels: NDArray[np.float64]) -> dict[str, float]:
    """Pearson's and Spearman's correlation, 0 where one side is constant, and the mean squared error.

    Args:
        predicted: shape (rows,).
        labels: the right numbers, shape (rows,).
    """
    varied = len(labels) > 1 and np.ptp(predicted) > 0 and np.ptp(labels) > 0
    return {
        "pearson": float(pearsonr(predicted, labels).statistic) if varied else 0.0,
        "spearman": float(spearmanr(predicted, labels).statistic) if varied else 0.0,
        "mse": float(np.mean((predicted - labels) ** 2)),
    }
