"""Small statistics: shares, areas, calibration, bootstrap intervals."""
import collections
import random

import numpy as np
from sklearn.metrics import roc_auc_score

from measure.graph import softmax


def interval(rows: list, measure, rounds: int = 1000) -> dict:
    """{"value", "ci95", "n"} of measure(rows)."""
    rng, values = random.Random(0), []
    for _ in range(rounds):
        value = measure(rng.choices(rows, k=len(rows)))
        if value is not None:
            values.append(value)
    low, high = np.percentile(values, [2.5, 97.5]) if values else (None, None)
    return {"value": round(float(measure(rows)), 4), "ci95": [round(float(low), 4), round(float(high), 4)], "n": len(rows)}


def share(rows: list[bool]) -> float:
    return sum(rows) / len(rows)


def auc(rows: list[tuple[float, bool]]) -> float | None:
    truth = [t for _, t in rows]
    return roc_auc_score(truth, [s for s, _ in rows]) if 0 < sum(truth) < len(truth) else None


def calibration_error(rows: list[tuple[float, bool]]) -> float:
    """Expected calibration error of (confidence, correct), 15 equal-width bins."""
    bins = collections.defaultdict(list)
    for confidence, right in rows:
        bins[min(int(confidence * 15), 14)].append((confidence, right))
    return sum(abs(np.mean([c for c, _ in b]) - np.mean([r for _, r in b])) * len(b) for b in bins.values()) / len(rows)


def by_chance(confidences: list[float]) -> dict:
    """The calibration error that so many answers show when every confidence is exactly right: mean and 95 %."""
    rng = np.random.default_rng(0)
    errors = [calibration_error([(c, rng.random() < c) for c in confidences]) for _ in range(200)]
    low, high = np.percentile(errors, [2.5, 97.5])
    return {"value": round(float(np.mean(errors)), 4), "ci95": [round(float(low), 4), round(float(high), 4)],
            "n": len(confidences)}


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature with the least cross-entropy; targets are class indices or distributions."""
    def loss(t):
        log = np.log(softmax(logits, t) + 1e-12)
        return -(log[np.arange(len(log)), targets].mean() if targets.ndim == 1 else (log * targets).sum(1).mean())
    grid = np.exp(np.linspace(np.log(0.3), np.log(4), 80))
    return round(float(min(grid, key=loss)), 3)


def f1(rows: list[tuple[int, int, int]]) -> float:
    """rows of (hits, found, wanted)"""
    hits, found, wanted = map(sum, zip(*rows))
    return 2 * hits / (found + wanted) if found + wanted else 1.0
