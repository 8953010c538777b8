"""mom-similarity-flash: pairs of sentences that people scored."""
import pathlib

import numpy as np

import data
from measure.figures import auc, interval
from measure.graph import Graph


def similarity(graph: Graph, fitted: tuple | None, shared: pathlib.Path | None, kept: dict) -> dict:
    """STS-B dev (Spearman) and medical question pairs (AUC; evaluation only, so from `shared` or as measured before).
    The threshold parts pairs that a person scored 4 or more of 5 from the rest best."""
    from scipy.stats import spearmanr

    def pairs(rows):
        vectors = [w[0]["embedding"] for w in graph.judge([t for r in rows for t in (r["a"], r["b"])], ["embedding"])]
        return [(float(a @ b), r["score"]) for a, b, r in zip(vectors[::2], vectors[1::2], rows)]
    rows = data.rows("similarity.jsonl.gz")
    fit, held = (pairs([r for r in rows if r["split"] == split]) for split in ("threshold", "held_out"))
    balanced = lambda t: np.mean([s >= t for s, y in fit if y >= 4]) + np.mean([s < t for s, y in fit if y < 4])
    threshold = fitted[1]["similarity"] if fitted else round(float(max(np.arange(0.5, 0.95, 0.01), key=balanced)), 2)
    metrics = {"STS-B dev, Spearman": interval(held, lambda part: spearmanr(*zip(*part)).statistic, 200)}
    medical = "medical question pairs, AUC"
    if shared:
        from prepare import read
        found = pairs(read(shared / "similarity/medical_question_pairs.jsonl"))
        metrics[medical] = interval([(s, bool(y)) for s, y in found], auc)
    elif medical in kept.get("metrics", {}):
        metrics[medical] = kept["metrics"][medical]
    return {"temperature": {}, "thresholds": {"similarity": threshold}, "metrics": metrics}
