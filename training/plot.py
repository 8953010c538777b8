"""The pictures in docs/minds.md: reliability, ROC with the operating point, confusion. SVG, drawn by matplotlib."""
import pathlib

import matplotlib
import numpy as np

matplotlib.use("svg")
# The same data draws the same bytes.
matplotlib.rcParams.update({"svg.hashsalt": "mom", "font.size": 8, "figure.constrained_layout.use": True})
import matplotlib.pyplot as plt
from sklearn.metrics import roc_curve


def save(figure, path: pathlib.Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def reliability(path: pathlib.Path, groups: dict[str, list[tuple[float, bool]]], bins: int = 10) -> None:
    """Confidence against the share that was right, a line per group of (confidence, right)."""
    figure, axes = plt.subplots(figsize=(4.4, 3.6))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    for name, rows in groups.items():
        place = np.minimum((np.array([c for c, _ in rows]) * bins).astype(int), bins - 1)
        points = [(np.mean([rows[i][0] for i in np.flatnonzero(place == b)]), np.mean([rows[i][1] for i in np.flatnonzero(place == b)]))
                  for b in range(bins) if (place == b).sum() >= 5]
        axes.plot(*zip(*points), marker="o", markersize=3, label=f"{name} (n={len(rows)})")
    axes.set(xlabel="confidence", ylabel="share that was right", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    save(figure, path)


def roc(path: pathlib.Path, rows: list[tuple[float, bool]], threshold: float) -> None:
    """Recall against false positives of (score, attack), up to 20 %, and the shipped operating point."""
    scores, truth = np.array([s for s, _ in rows]), np.array([t for _, t in rows])
    alarms, recall, _ = roc_curve(truth, scores)
    figure, axes = plt.subplots(figsize=(4.4, 3.6))
    axes.plot(alarms, recall)
    axes.plot((scores >= threshold)[~truth].mean(), (scores >= threshold)[truth].mean(), "o", color="black",
              label=f"shipped threshold {threshold}")
    axes.set(xlabel="false positives", ylabel="recall", xlim=(0, 0.2), ylim=(0.5, 1.005))
    axes.legend(loc="lower right")
    save(figure, path)


def confusion(path: pathlib.Path, labels: list[str], rows: list[tuple[str, str]]) -> None:
    """Rows: what a text is about; columns: what the mind said; shares of the row."""
    counts = np.zeros((len(labels), len(labels)))
    for truth, said in rows:
        counts[labels.index(truth), labels.index(said)] += 1
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), [f"{name} ({int(n)})" for name, n in zip(labels, counts.sum(1))])
    for i, j in zip(*np.nonzero(shares >= 0.03)):
        axes.text(j, i, f"{shares[i, j]:.2f}".lstrip("0"), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    save(figure, path)
