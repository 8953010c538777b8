"""mom-brain-flash: category, calibration, complexity."""
import pathlib

import numpy as np

import data
from measure.figures import auc, by_chance, calibration_error, fit_temperature, interval, share
from measure.graph import Graph, mean_logits, softmax
from model import CATEGORIES


def brain(graph: Graph, fitted: dict | None, plots: pathlib.Path | None) -> dict:
    rows = [r for r in data.brain_rows() if r["split"] in ("threshold", "held_out")]
    for row, windows in zip(rows, graph.judge([r["text"] for r in rows], ["category_logits", "complexity_logits"])):
        row["category_logits"] = mean_logits(windows, "category_logits")
        row["complexity_logits"] = mean_logits(windows, "complexity_logits")
    fit = [r for r in rows if r["split"] == "threshold" and r["category"]]
    chat = [r for r in fit if r["source"] == "own-prompts"]
    temperature = fitted or {
        "category": fit_confidence([chat, [r for r in fit if r["source"].startswith("mmlu")]]),
        "complexity": fit_temperature(np.array([r["complexity_logits"] for r in chat]),
                                      np.array([level(r["difficulty"]) for r in chat]))}
    for row in rows:
        p = softmax(row["category_logits"], temperature["category"])
        row["confidence"], row["best"] = p.max(), CATEGORIES[p.argmax()]
        row["right"] = row["best"] == row["category"]
        q = softmax(row["complexity_logits"], temperature["complexity"])
        row["hard"], row["level"] = float(q[2] - q[0]), int(q.argmax())
    held = [r for r in rows if r["split"] == "held_out"]
    unseen = set(data.SPLITS["brain"]["held_out_subjects"])
    groups = {"exam questions, seen subjects": lambda r: r["source"].startswith("mmlu") and r["group"] not in unseen,
              "exam questions, unseen subjects": lambda r: r["group"] in unseen,
              "own chat prompts": lambda r: r["source"] == "own-prompts",
              "assistant utterances of unseen intents (other)": lambda r: r["source"] in ("clinc150", "banking77"),
              "programming tasks (mbpp, mitre_frr)": lambda r: r["source"] in ("mbpp", "cyberseceval/mitre_frr"),
              "maths, unseen sources": lambda r: r["source"] in data.SPLITS["brain"]["held_out_sources"]}
    category, calibration = {}, {}
    for name, member in groups.items():
        part = [r for r in held if member(r) and r["category"]]
        category[name] = interval([r["right"] for r in part], share)
        calibration[name] = interval([(r["confidence"], r["right"]) for r in part], calibration_error)
        calibration[name + ", were every confidence right"] = by_chance([r["confidence"] for r in part])
    for name in sorted(unseen):
        category["unseen subject " + name] = interval([r["right"] for r in held if r["group"] == name], share)
    own = [r for r in held if r["source"] == "own-prompts"]
    if plots:
        import plot
        told = [r for r in held if r["category"] and (r["source"].startswith("mmlu") or r["source"] == "own-prompts")]
        plot.reliability(plots / "brain-reliability.svg",
                         {name: [(r["confidence"], r["right"]) for r in held if member(r) and r["category"]]
                          for name, member in list(groups.items())[:3]})
        plot.confusion(plots / "brain-confusion.svg", CATEGORIES, [(r["category"], r["best"]) for r in told])
    ends = [r for r in own if level(r["difficulty"]) != 1]
    exam = [r for r in held if r["source"] == "mmlu-pro" and r["difficulty"] is not None]
    complexity = {
        "own chat prompts, accuracy of 3": interval([level(r["difficulty"]) == r["level"] for r in own], share),
        "own chat prompts, simple against hard, AUC": interval([(r["hard"], level(r["difficulty"]) == 2) for r in ends], auc),
        "the same by length alone, AUC": interval([(len(r["text"]), level(r["difficulty"]) == 2) for r in ends], auc),
        "MMLU-Pro, easier against harder half, AUC": interval([(r["hard"], r["difficulty"] > 0.6) for r in exam], auc)}
    return {"temperature": temperature, "thresholds": {},
            "metrics": {"category accuracy": category, "category calibration error": calibration, "complexity": complexity}}


def fit_confidence(groups: list[list[dict]]) -> float:
    """The temperature with the least calibration error, chat prompts and exam questions weighing the same."""
    def error(temperature: float) -> float:
        told = [[(p.max(), CATEGORIES[p.argmax()] == r["category"]) for r in group
                 for p in [softmax(r["category_logits"], temperature)]] for group in groups]
        return float(np.mean([calibration_error(group) for group in told]))
    return round(float(min(np.arange(0.7, 1.5, 0.05), key=error)), 3)


def level(difficulty: float) -> int:
    return int(np.argmax(data.soft_complexity(difficulty)))
