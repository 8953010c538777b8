"""Category and complexity: a head beside the flash mind, weighed with what that one says."""
import json
import pathlib
import subprocess
import sys

import numpy as np
import onnxruntime

import data
import rows
from figures import interval
from heads import STRENGTHS, Scale, classes, fused, fusion, graph, log_softmax, temperature
from model import CATEGORIES, COMPLEXITIES

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a teacher says of a training row counts as much as its label: it knows more of subjects that are not among the rows.
TAUGHT = 0.5
# Own prompts are what users write; exam questions are many, and their subjects are not the ones to come.
OWN, EXAM = 2.0, 0.4


def flash(texts: list[str], models: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """-> what mom-brain-flash says: probabilities [N,14] and [N,3]."""
    lines = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))
    said = subprocess.run([ROOT / "target/release/mom", "classify", "--mind", "mom-brain-flash"], input=lines, text=True,
                          stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout.splitlines()
    category, complexity = np.full((len(texts), len(CATEGORIES)), 1 / len(CATEGORIES)), np.full((len(texts), 3), 1 / 3)
    for i, line in enumerate(said):
        verdict = json.loads(line)["mom-brain-flash"]
        if "scores" in verdict:
            category[i] = [verdict["scores"][label] for label in CATEGORIES]
            complexity[i] = [verdict["complexity"]["scores"][label] for label in COMPLEXITIES]
    return category, complexity


def train(name: str, spec: dict, path, read, models: pathlib.Path) -> dict:
    found = [json.loads(line) for line in path.open()] if path else rows.intent()
    texts = [row["text"] for row in found]
    x = read(texts)
    split = np.array([row["split"] for row in found])
    unseen = np.isin([row["group"] for row in found], data.SPLITS["brain"]["held_out_subjects"])
    source = np.array([row["source"] for row in found])
    own, exam = source == "own-prompts", np.char.startswith(source, "mmlu")
    fit, pick, held = (split == "train") & ~unseen, split == "select", split == "held_out"
    scale = Scale(x[fit])
    x = scale(x)
    theirs_category, theirs_complexity = flash(texts, models)
    category = np.array([CATEGORIES.index(row["category"]) if row["category"] else -1 for row in found])
    one_hot, named = np.eye(len(CATEGORIES))[category], category >= 0
    if teacher := spec.get("teacher"):
        one_hot = (1 - TAUGHT) * one_hot + TAUGHT * taught(teacher, texts, theirs_category, read, models)
    soft = np.array([data.soft_complexity(row.get("difficulty")) or [np.nan] * 3 for row in found])
    known = ~np.isnan(soft[:, 0])
    level = np.where(known, np.nan_to_num(soft).argmax(1), 0)
    weights = np.where(own, OWN, np.where(exam, EXAM, 1.0))
    even = lambda which: np.where(exam[which], 1 / max((exam & which).sum(), 1), 1 / max((~exam & which).sum(), 1))

    heads, beside, chosen = {}, {}, {}
    for head, target, label, theirs, among in (("category", one_hot, category, theirs_category, named),
                                               ("complexity", soft, level, theirs_complexity, known)):
        best = None
        on, test = fit & among, pick & among
        for strength in STRENGTHS:
            linear = classes(x[on], target[on], strength, weights[on])
            logits = linear(x[test])
            ab = fusion(logits, theirs[test], label[test], even(test))
            score = -(even(test) * np.log(fused(logits, theirs[test], ab)[np.arange(test.sum()), label[test]])).sum()
            print(head, strength, round(float(score), 4), [round(v, 2) for v in ab], flush=True)
            if best is None or score < best[0]:
                best = (score, strength, linear, ab, temperature(logits, label[test], even(test)))
        _, strength, heads[head], beside[head], warmth = best
        chosen[head] = {"strength": strength, "temperature": round(warmth, 3), "beside": [round(v, 3) for v in beside[head]]}
    mine = lambda head, theirs, which: fused(heads[head](x[which]), theirs[which], beside[head])
    groups = {"exam questions, seen subjects": held & exam & ~unseen, "exam questions, unseen subjects": unseen & exam,
              "own chat prompts": held & own}
    metrics: dict = {}
    for group, which in groups.items():
        for head, label, theirs, among in (("category", category, theirs_category, named),
                                           ("complexity", level, theirs_complexity, known)):
            test = which & among
            if test.sum() < 20:
                continue
            right, before = mine(head, theirs, test).argmax(1) == label[test], theirs[test].argmax(1) == label[test]
            metrics.setdefault(f"{head} accuracy", {})[group] = interval(right)
            metrics.setdefault(f"{head} accuracy, gain over {spec['beside']}", {})[group] = interval(right.astype(float) - before)
    metrics["steering"] = steering(found, x, mine, theirs_category, theirs_complexity, held)
    theirs_manifest = json.loads((models / spec["beside"] / "manifest.json").read_text())
    return {
        "graph": graph(scale, {f"{head}_logits": linear for head, linear in heads.items()}),
        "manifest": {"labels": CATEGORIES, "complexity_labels": COMPLEXITIES,
                     "graph": {"file": "head.onnx", "outputs": {head: f"{head}_logits" for head in heads}},
                     "temperature": {head: chosen[head]["temperature"] for head in heads},
                     "beside": {"mind": spec["beside"], "sha256": theirs_manifest["files"][theirs_manifest["graph"]["file"]],
                                "weights": {head: chosen[head]["beside"] for head in heads}}},
        "training": {"what": "linear heads on frozen features", **({"teacher": teacher, "taught": TAUGHT} if teacher else {}), "rows": int(fit.sum()), "heads": chosen,
                     "splits": "training/splits.json"},
        "metrics": metrics,
    }


def taught(teacher: str, texts: list[str], theirs: np.ndarray, read, models: pathlib.Path) -> np.ndarray:
    """-> what the mind called `teacher` says, weighed with what the flash mind says: probabilities [N,14]."""
    manifest = json.loads((models / teacher / "manifest.json").read_text())
    features = read(texts, manifest["decoder"]["base"]).astype(np.float32)
    head = onnxruntime.InferenceSession(models / teacher / "head.onnx")
    logits, = head.run([manifest["graph"]["outputs"]["category"]], {"features": features})
    return fused(logits, theirs, manifest["beside"]["weights"]["category"])


def steering(found, x, mine, category, complexity, held) -> dict:
    """How often text that tries to steer a router changes the verdict on a prompt nobody trained on."""
    at = {row["text"]: i for i, row in enumerate(found)}
    pairs = [(i, at[row["plain"]]) for i, row in enumerate(found) if held[i] and row.get("plain") in at]
    if not pairs:
        return {}
    steered, plain = (np.array(side) for side in zip(*pairs))
    out = {}
    for head, theirs in (("category", category), ("complexity", complexity)):
        for kind, verdict in (("", lambda which: mine(head, theirs, which).argmax(1)), (" of the flash mind", lambda which: theirs[which].argmax(1))):
            out[f"{head} changed{kind}"] = interval(verdict(steered) != verdict(plain))
    return out
