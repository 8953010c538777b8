"""Figures with intervals."""
import numpy as np
from scipy.stats import rankdata, spearmanr


def interval(values: np.ndarray, rounds: int = 2000) -> dict:
    """Mean with a 95 % bootstrap interval."""
    drawn = np.random.default_rng(0).integers(0, len(values), (rounds, len(values)))
    means = values.astype(float)[drawn].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return {"value": round(float(values.mean()), 4), "ci95": [round(float(low), 4), round(float(high), 4)], "n": len(values)}


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return round(float(spearmanr(a, b).statistic), 3)


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    ranks, count = rankdata(scores), positive.sum()
    if count in (0, len(positive)):
        return float("nan")
    return round(float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count))), 4)
