"""An expert of one field: which part of it, how difficult, and which models are likely to solve it."""
import gzip
import hashlib
import json
import pathlib
import sys

import numpy as np

from heads import STRENGTHS, Scale, classes, graph, log_softmax, shares, temperature
from figures import auc, interval, spearman

# A model is told about from so many outcomes on, and difficulty is known from so many models.
OUTCOMES, MODELS = 150, 5
# Shares of the rows, by their hash, where the data does not say itself what they are for.
HELD_OUT, SELECT = 0.2, 0.15


def read_rows(path: pathlib.Path) -> list[dict]:
    """Every row, or the end of the program with the first line that is none."""
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            lines = file.readlines()
    except OSError as fault:
        sys.exit(f"{path}: {fault.strerror or fault}")
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as fault:
            sys.exit(f"{path}:{number}: {fault}")
        if wrong := fault_of(row):
            sys.exit(f"{path}:{number}: {wrong}")
        found.append(row)
    return split(found)


def fault_of(row) -> str | None:
    share = lambda value: isinstance(value, (int, float)) and 0 <= value <= 1
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
        return "a row is an object with a `text`"
    if row.get("difficulty") is not None and not share(row["difficulty"]):
        return "`difficulty` is a number from 0 to 1"
    outcomes = row.get("outcomes") or {}
    if not isinstance(outcomes, dict) or not all(share(score) for score in outcomes.values()):
        return "`outcomes` is an object of models and numbers from 0 to 1"
    if row.get("split", "train") not in ("train", "select", "held_out"):
        return "`split` is train, select or held_out"
    return None


def split(found: list[dict]) -> list[dict]:
    for row in found:
        if "split" not in row:
            place = int(hashlib.sha256(row["text"].encode()).hexdigest()[:8], 16) / 2 ** 32
            row["split"] = "held_out" if place < HELD_OUT else "select" if place < HELD_OUT + SELECT else "train"
    return found


def hardness(row: dict) -> float:
    """Share of models that fail, NaN where nobody knows."""
    if row.get("difficulty") is not None:
        return row["difficulty"]
    outcomes = row.get("outcomes") or {}
    return 1 - sum(outcomes.values()) / len(outcomes) if len(outcomes) >= MODELS else np.nan


def train(name: str, spec: dict, path: pathlib.Path | None, read, models: pathlib.Path) -> dict:
    if path:
        found = read_rows(path)
    else:
        import rows
        found = split(getattr(rows, spec["data"])())
    x = read([row["text"] for row in found])
    part, source = np.array([row["split"] for row in found]), np.array([row.get("source", "") for row in found])
    fit, pick, held = part == "train", part == "select", part == "held_out"
    labels = spec.get("labels") or sorted({row["domain"] for row in found if row.get("domain")})
    if len(labels) < 2:
        sys.exit(f"{name}: an expert needs rows of at least two parts of its field (`domain`)")
    if not all((which & ~np.isnan([hardness(row) for row in found])).any() for which in (fit, pick)):
        sys.exit(f"{name}: too few rows know a difficulty (`difficulty`, or `outcomes` of {MODELS} models)")
    scale = Scale(x[fit])
    x = scale(x)
    domain = np.array([labels.index(row["domain"]) if row.get("domain") in labels else -1 for row in found])
    one_hot = np.eye(len(labels))[np.maximum(domain, 0)]
    hard = np.array([hardness(row) for row in found])[:, None]
    counts: dict[str, int] = {}
    for row, use in zip(found, fit):
        for model in (row.get("outcomes") or {}) if use else ():
            counts[model] = counts.get(model, 0) + 1
    solvers = sorted(model for model, count in counts.items() if count >= OUTCOMES)
    solved = np.array([[(row.get("outcomes") or {}).get(model, np.nan) for model in solvers] for row in found]).reshape(len(found), -1)

    heads, warmth, chosen, metrics = {}, {}, {}, {}
    known = domain >= 0
    tried = []
    for strength in STRENGTHS:
        linear = classes(x[fit & known], one_hot[fit & known], strength)
        logs = log_softmax(linear(x[pick & known]))
        tried.append((-logs[np.arange(len(logs)), domain[pick & known]].mean(), strength, linear))
    loss, chosen["domain"], heads["domain"] = min(tried, key=lambda one: one[0])
    warmth["domain"] = temperature(heads["domain"](x[pick & known]), domain[pick & known])
    test = held & known
    if test.any():
        metrics["domain accuracy"] = interval(heads["domain"](x[test]).argmax(1) == domain[test])
    for head, target in (("difficulty", hard), ("p_solve", solved)):
        if not target.shape[1]:
            continue
        tried = []
        for strength in STRENGTHS[:-1]:
            linear = shares(x[fit], target[fit], strength)
            tried.append((cross_entropy(linear(x[pick]), target[pick], 1.0), strength, linear))
            print(head, strength, round(tried[-1][0], 4), flush=True)
        loss, chosen[head], heads[head] = min(tried, key=lambda one: one[0])
        warmth[head] = min((0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0), key=lambda t: cross_entropy(heads[head](x[pick]), target[pick], t))
    metrics |= measured(found, source, held, heads, warmth, x, hard[:, 0], solvers, solved)
    return {
        "graph": graph(scale, {f"{head}_logits": linear for head, linear in heads.items()}),
        "manifest": {"labels": labels, "solvers": solvers,
                     "graph": {"file": "head.onnx", "outputs": {head: f"{head}_logits" for head in heads}},
                     "temperature": {head: round(value, 3) for head, value in warmth.items()}},
        "training": {"what": "linear heads on frozen features", "data": path.name if path else spec["data"], "rows": int(fit.sum()), "strength": chosen},
        "metrics": metrics,
    }


def cross_entropy(logits: np.ndarray, target: np.ndarray, warmth: float) -> float:
    known = ~np.isnan(target)
    z, y = logits[known] / warmth, target[known]
    return float((np.logaddexp(0, z) - y * z).mean())


def measured(found, source, held, heads, warmth, x, hard, solvers, solved) -> dict:
    out: dict = {}
    z = heads["difficulty"](x)[:, 0]
    length = np.log([len(row["text"]) + 1 for row in found])
    within = {}
    for name in sorted(set(source)):
        which = held & (source == name) & ~np.isnan(hard)
        if which.sum() >= 25:
            within[name] = {"expert": spearman(z[which], hard[which]), "length": spearman(length[which], hard[which]), "n": int(which.sum())}
    out["difficulty, rank correlation within a source"] = within
    if solvers:
        p = 1 / (1 + np.exp(-heads["p_solve"](x) / warmth["p_solve"]))
        aucs = {}
        for k, model in enumerate(solvers):
            which = held & ~np.isnan(solved[:, k])
            if which.sum() >= 100:
                aucs[model] = {"auc": auc(p[which, k], solved[which, k] > 0.5), "n": int(which.sum())}
        out["p_solve, AUC"] = aucs
    return out
