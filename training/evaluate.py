"""Judges the exported int8 graph the way the gateway does, fits temperatures and thresholds, writes the manifests.

    python training/evaluate.py --trunk DIR/trunk.pt --write models/onnx [--shared DIR]    export, fit, measure, write
    python training/evaluate.py --check models/onnx [--shared DIR]                         measure what is committed

Everything is measured after int8, through ONNX Runtime, on rows that training never saw. Temperatures and thresholds
come from the "threshold" split only. Intervals: 95 %, bootstrap over rows, 1,000 resamples, seed 0. `--shared` adds sets
that are for evaluation only (medical question pairs; chats and long web pages for false alarms) and so are not in
training/data. `--plots DIR` draws reliability, ROC and confusion.
"""
import argparse
import collections
import json
import pathlib
import random

import numpy as np
import onnxruntime
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer

import data
from data import WINDOW
from export import OVERLAP
from model import CATEGORIES, COMPLEXITIES, PII, TAGS

HERE = pathlib.Path(__file__).parent


# --- running the graph ----------------------------------------------------------------------------------------

class Graph:
    def __init__(self, folder: pathlib.Path, threads: int = 2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(folder / "flash-trunk/model.onnx", options)
        self.tokenizer = Tokenizer.from_file(str(folder / "flash-trunk/tokenizer.json"))

    def judge(self, texts: list[str], wanted: list[str]) -> list[list[dict]]:
        """Per text a list of windows: {name: array, "ids", "offsets", "first"} (offsets in the text as given)."""
        todo, result = [], [[] for _ in texts]
        for index, text in enumerate(texts):
            clean, places = data.normalise(text)
            encoding = self.tokenizer.encode(clean, add_special_tokens=False)
            offsets = [(places[a], places[max(a, b - 1)] + 1) for a, b in encoding.offsets]
            for first in starts(len(encoding.ids)):
                window = {"ids": encoding.ids[first:first + WINDOW - 2], "first": first, "count": len(encoding.ids),
                          "offsets": offsets[first:first + WINDOW - 2], "text": text,
                          "pieces": [t.startswith("##") for t in encoding.tokens[first:first + WINDOW - 2]]}
                result[index].append(window)
                todo.append(window)
        todo.sort(key=lambda w: len(w["ids"]))
        for begin in range(0, len(todo), 16):
            part = todo[begin:begin + 16]
            ids = np.zeros((len(part), len(part[-1]["ids"]) + 2), np.int64)
            for row, window in zip(ids, part):
                row[:len(window["ids"]) + 2] = [data.CLS, *window["ids"], data.SEP]
            mask = (ids > 0).astype(np.int64)
            for name, values in zip(wanted, self.session.run(wanted, {"input_ids": ids, "attention_mask": mask})):
                for value, window in zip(values, part):
                    window[name] = value[1:len(window["ids"]) + 1] if name == "pii_logits" else value
        return result


def starts(count: int) -> list[int]:
    """First token of every window: windows of 254 tokens that share 64, the last one flush with the end."""
    size, step = WINDOW - 2, WINDOW - 2 - OVERLAP
    if count <= size:
        return [0]
    return [*range(0, count - size, step), count - size]


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    scaled = logits / temperature
    e = np.exp(scaled - scaled.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def mean_logits(windows: list[dict], name: str) -> np.ndarray:
    return np.average([w[name] for w in windows], axis=0, weights=[len(w["ids"]) + 2 for w in windows])


SEPARATORS = set(",:;\"'")


def spans(windows: list[dict], temperature: float, threshold: float) -> list[tuple[int, int, str]]:
    """Token probabilities, each from the window where the token is furthest from an edge, decoded word by word.

    A word's pieces decide together. A span goes on over words of the same label, unless one begins anew (B- above I-)
    after a gap that is wider than one space; it never starts or ends with a comma, colon, semicolon or quote.
    """
    count = windows[0]["count"]
    probability, offsets, margin = np.zeros((count, len(TAGS))), [(0, 0)] * count, np.full(count, -1)
    pieces, text = [False] * count, windows[0]["text"]
    for window in windows:
        size = len(window["ids"])
        for i, p in enumerate(softmax(window["pii_logits"], temperature)) if size else ():
            if min(i, size - 1 - i) > margin[window["first"] + i]:
                margin[window["first"] + i] = min(i, size - 1 - i)
                probability[window["first"] + i], offsets[window["first"] + i] = p, window["offsets"][i]
                pieces[window["first"] + i] = window["pieces"][i]
    found, last, first = [], None, 0
    while first < count:
        end = first + 1
        while end < count and pieces[end]:
            end += 1
        p = probability[first:end].mean(0)
        either = p[1::2] + p[2::2]
        best = int(either.argmax())
        label = PII[best] if either[best] > p[0] else None
        (start, _), (_, stop) = offsets[first], offsets[end - 1]
        gap = text[last[1]:start] if last else ""
        begins = probability[first, 2 * best + 1] > probability[first, 2 * best + 2] and gap not in JOINTS
        if not (last and label == last[2] and not begins):
            last = None
        if label and text[start:stop] not in SEPARATORS:
            if not last:
                last = [start, stop, label, []]
                found.append(last)
            last[1] = stop
            last[3].append(either[best])
        first = end
    return [(a, b, label) for a, b, label, scores in found if np.mean(scores) >= threshold]


JOINTS = ("", " ")          # what may stand between two words of one span, whatever the B- says


def capped(rows: list[dict], most: int) -> list[dict]:
    """At most `most` rows of a source, label and split: a thousand exam questions would drown the rest."""
    seen, kept = collections.Counter(), []
    for row in rows:
        seen[row["source"], row["label"], row["split"]] += 1
        if seen[row["source"], row["label"], row["split"]] <= most:
            kept.append(row)
    return kept


# --- small statistics -----------------------------------------------------------------------------------------

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


# --- the four minds ---------------------------------------------------------------------------------------------

def brain(graph: Graph, fitted: dict | None, plots: pathlib.Path | None) -> dict:
    rows = [r for r in data.brain_rows() if r["split"] in ("threshold", "held_out")]
    for row, windows in zip(rows, graph.judge([r["text"] for r in rows], ["category_logits", "complexity_logits"])):
        row["category_logits"] = mean_logits(windows, "category_logits")
        row["complexity_logits"] = mean_logits(windows, "complexity_logits")
    # Temperatures: chat prompts count as much as exam questions, whatever their number.
    fit = [r for r in rows if r["split"] == "threshold" and r["category"]]
    chat = [r for r in fit if r["source"] == "own-prompts"]
    fit += chat * max(0, len(fit) // max(len(chat), 1) - 1)
    temperature = fitted or {
        "category": fit_temperature(np.array([r["category_logits"] for r in fit]),
                                    np.array([CATEGORIES.index(r["category"]) for r in fit])),
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


def level(difficulty: float) -> int:
    return int(np.argmax(data.soft_complexity(difficulty)))


def guard(graph: Graph, fitted: tuple | None, shared: pathlib.Path | None, plots: pathlib.Path | None) -> dict:
    rows = [r for r in data.guard_rows() if r["split"] in ("threshold", "held_out")]
    random.Random(0).shuffle(rows)
    rows = capped(rows, 120)
    judge = lambda texts: [[w["jailbreak_logits"] for w in windows] for windows in graph.judge(texts, ["jailbreak_logits"])]
    for row, windows in zip(rows, graph.judge([r["text"] for r in rows], ["jailbreak_logits", "harm_logits"])):
        row["logits"] = np.array([w["jailbreak_logits"] for w in windows])
        row["wish"] = max((w["harm_logits"] for w in windows), key=lambda l: l[1] - l[0])
    fit = [r for r in rows if r["split"] == "threshold"]
    heads = np.array([r["logits"][(r["logits"][:, 1] - r["logits"][:, 0]).argmax()] for r in fit])
    truth = np.array([int(r["label"] == "jailbreak") for r in fit])
    temperature = fitted[0]["jailbreak"] if fitted else fit_temperature(heads, truth)
    score = lambda logits: float(softmax(np.array(logits), temperature)[:, 1].max())
    for row in rows:
        row["score"] = score(row["logits"])
    def surrounded(part: list[dict], split: str) -> list[float]:
        """Scores with about 600 words of other text (exam questions: plain prose) around each row."""
        rng, texts = random.Random(0), []
        pool = [r["text"] for r in rows if r["split"] == split and r["source"].startswith(("mmlu", "gsm8k"))]
        for row in part:
            before, after = ("\n\n".join(rng.sample(pool, 15))[:1800] for _ in range(2))
            texts.append(f"{before}\n\n{row['text']}\n\n{after}")
        return [score(logits) for logits in judge(texts)]

    if fitted:
        threshold = fitted[1]["jailbreak"]
    else:
        # 1 % of the benign texts of the threshold split alone, or 2 % of them inside long text: the higher score of both.
        benign = [r for r in fit if r["label"] == "benign"]
        alone = np.quantile([r["score"] for r in benign], 0.99)
        inside = np.quantile(surrounded(benign[:120], "threshold"), 0.98)
        threshold = round(float(np.clip(max(alone, inside), 0.3, 0.98)), 3)
    held = [r for r in rows if r["split"] == "held_out"]
    attacks, benign = ([r for r in held if (r["label"] == "jailbreak") == attack] for attack in (True, False))
    metrics = {"recall at the threshold": {}, "false positives at the threshold": {}, "AUC": {}, "length alone, AUC": {}}
    for side, part in (("recall at the threshold", attacks), ("false positives at the threshold", benign)):
        for name in sorted({f"{r['source']} ({r['kind']})" for r in part}) + ["all"]:
            chosen = [r["score"] >= threshold for r in part if name in ("all", f"{r['source']} ({r['kind']})")]
            metrics[side][name] = interval(chosen, share)
    metrics["AUC"]["all"] = interval([(r["score"], r["label"] == "jailbreak") for r in held], auc)
    email = [r for r in held if r["source"] == "bipia/email"]
    metrics["AUC"]["orders planted in e-mails (unseen kind of document)"] = interval(
        [(r["score"], r["label"] == "jailbreak") for r in email], auc)
    metrics["length alone, AUC"]["all"] = interval([(len(r["text"]), r["label"] == "jailbreak") for r in held], auc)
    names, texts = zip(*long_benign(held, shared))
    long = [{"name": name, "logits": np.array(logits), "score": score(logits)} for name, logits in zip(names, judge(texts))]
    for name in sorted(set(names)):
        part = [r["score"] >= threshold for r in long if r["name"] == name]
        metrics["false positives at the threshold"][f"requests, {name}"] = interval(part, share)
    for low, high in ((1, 1), (2, 8), (9, 10 ** 9)):
        part = [r["score"] >= threshold for r in benign + long if low <= len(r["logits"]) <= high]
        if part:
            metrics["false positives at the threshold"][f"requests of {low}-{high} windows".replace("-1000000000", " and more")
                                                        .replace("1-1", "1")] = interval(part, share)
    rng, short = random.Random(0), [r for r in attacks if len(r["text"]) < 2000]
    for side, part in (("recall at the threshold", short), ("false positives at the threshold", benign)):
        part = rng.sample(part, min(150, len(part)))
        metrics[side]["the same rows alone"] = interval([r["score"] >= threshold for r in part], share)
        metrics[side]["with about 600 benign words around"] = interval(
            [s >= threshold for s in surrounded(part, "held_out")], share)
    if plots:
        import plot
        plot.roc(plots / "jailbreak-roc.svg", [(r["score"], r["label"] == "jailbreak") for r in held], threshold)
    wants, harm_temperature, harm_threshold = harm(rows, fitted)
    return {"temperature": {"jailbreak": temperature, "harm": harm_temperature},
            "thresholds": {"jailbreak": threshold, "harm": harm_threshold}, "metrics": metrics | wants,
            "roc": roc_points([(r["score"], r["label"] == "jailbreak") for r in held])}


def roc_points(rows: list[tuple[float, bool]]) -> list[list[float]]:
    """[threshold, recall, false-positive rate] at a few thresholds: what `mom calibrate thresholds` tells a user."""
    return [[round(float(t), 2), round(share([s >= t for s, attack in rows if attack]), 3),
             round(share([s >= t for s, attack in rows if not attack]), 4)]
            for t in (*np.arange(0.05, 0.96, 0.05), 0.97, 0.98, 0.99)]


def harm(rows: list[dict], fitted: tuple | None) -> tuple[dict, float, float]:
    """The second output: does the person ask for something harmful? Attacks whose payload is unknown are left out."""
    rows = [r for r in rows if data.harm(r) >= 0]
    fit = [r for r in rows if r["split"] == "threshold"]
    temperature = fitted[0]["harm"] if fitted else fit_temperature(np.array([r["wish"] for r in fit]),
                                                                   np.array([data.harm(r) for r in fit]))
    for row in rows:
        row["wants"] = float(softmax(row["wish"], temperature)[1])
    if fitted:
        threshold = fitted[1]["harm"]
    else:
        threshold = round(float(np.clip(np.quantile([r["wants"] for r in fit if not data.harm(r)], 0.99), 0.3, 0.98)), 3)
    held = [r for r in rows if r["split"] == "held_out"]
    asks, others = ([r for r in held if data.harm(r) == side] for side in (1, 0))
    return {"harm (off by default)": {
        "AUC": interval([(r["wants"], bool(data.harm(r))) for r in held], auc),
        "recall at the threshold": interval([r["wants"] >= threshold for r in asks], share),
        "false positives at the threshold": interval([r["wants"] >= threshold for r in others], share),
        "false positives, prompts that merely sound dangerous": interval(
            [r["wants"] >= threshold for r in others if r["kind"] in ("sounds_dangerous", "security_topic_benign")], share)}}, \
        temperature, threshold


def long_benign(held: list[dict], shared: pathlib.Path | None) -> list[tuple[str, str]]:
    """Name and text of long harmless requests: held-out texts joined; with `shared` also conversations and web pages of
    sources that nothing trains on."""
    rng, texts = random.Random(1), []
    pool = [r["text"] for r in held if r["label"] == "benign" and r["kind"] != "harmful_plain"]
    for size in [2, 4, 8] * 30 + [20, 40, 60] * 30:
        texts.append(("held-out texts joined", "\n\n".join(rng.sample(pool, size))))
    if shared:
        from prepare import read
        for file in ("chats.jsonl.gz", "long_context.jsonl"):
            for row in read(shared / "traffic" / file):
                said = [m["content"] for m in row["messages"] if isinstance(m.get("content"), str) and m["role"] != "system"]
                texts.append((row["source"].split(" (")[0], "\n\n".join(said)))
    return texts


def pii(graph: Graph, fitted: tuple | None) -> dict:
    rows = [r for r in data.pii_rows() if r["split"] in ("threshold", "held_out")]
    for row, windows in zip(rows, graph.judge([r["text"] for r in rows], ["pii_logits"])):
        row["windows"] = windows

    def pairs(row, temperature, threshold):
        """Wanted and found spans. A label the source does not mark is not counted, nor what overlaps an ignored stretch."""
        got = {s for s in spans(row["windows"], temperature, threshold) if s[2] in data.ANNOTATED[row["annotated"]]
               and not any(a < s[1] and s[0] < b for a, b in row["ignored"])}
        return {tuple(s) for s in row["spans"]}, got

    def counts(want, got):
        """(hits, found, wanted), strict: same start, end and label."""
        return len(want & got), len(got), len(want)

    fit = [r for r in rows if r["split"] == "threshold"]
    if fitted:
        temperature, threshold = fitted[0]["tags"], fitted[1]["pii"]
    else:
        logits, tags = [], []
        for row in fit:
            ids, truth = data.tagged(graph.tokenizer, row)
            window = row["windows"][0]
            keep = [i for i, t in enumerate(truth[:len(window["ids"])]) if t > 0 or t == 0 and row["annotated"] == "all"]
            logits.append(window["pii_logits"][keep])
            tags += [truth[i] for i in keep]
        temperature = fit_temperature(np.concatenate(logits), np.array(tags))
        grid = [0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75]
        threshold = max(grid, key=lambda t: f1([counts(*pairs(r, temperature, t)) for r in fit]))
    held = [r for r in rows if r["split"] == "held_out"]
    for row in held:
        row["pairs"] = pairs(row, temperature, threshold)
    finance = set(data.SPLITS["pii"]["held_out_domains"])
    groups = {"presidio, unseen templates": lambda r: r["source"] == "presidio",
              "own templates, unseen": lambda r: r["source"] == "own-templates",
              "pii-anon, unseen domain (financial)": lambda r: r["group"].split("/")[0] in finance,
              "pii-anon, unseen adversarial kinds": lambda r: r["group"].split("/")[-1] in
              data.SPLITS["pii"]["held_out_adversarial"],
              "wnut17 dev, names in posts": lambda r: r["source"] == "wnut17/dev"}
    strict = {name: interval([counts(*r["pairs"]) for r in held if member(r)], f1) for name, member in groups.items()}
    labels = {}
    for label in PII:
        part = [counts(*({s for s in side if s[2] == label} for side in row["pairs"])) for row in held]
        part = [c for c in part if any(c)]
        if part:
            labels[label] = interval(part, f1)
    quiet = [r["text"] for r in data.brain_rows() if r["split"] == "held_out" and r["source"] == "own-prompts"]
    alarms = [sum(s[2] in data.ANNOTATED["numbers"] for s in spans(w, temperature, threshold)) > 0
              for w in graph.judge(quiet, ["pii_logits"])]
    recall = {}
    for label, template, values in generated():
        texts = [template(v) for v in values]
        found = [any(s[2] == label and t[s[0]:s[1]] == v for s in spans(w, temperature, threshold))
                 for t, v, w in zip(texts, values, graph.judge(texts, ["pii_logits"]))]
        recall[f"{label}, generated, checksum-valid"] = interval(found, share)
    return {"temperature": {"tags": temperature}, "thresholds": {"pii": threshold},
            "metrics": {"strict span F1": strict, "strict span F1 by label": labels, "strict recall": recall,
                        "own chat prompts with a false number, card or address": interval(alarms, share)}}


def generated():
    """Fresh card numbers and IBANs in sentences that no template shares."""
    from pii_synthetic import Filler
    filler = Filler(seed=77)
    cards, ibans = [], []
    while len(cards) < 500 or len(ibans) < 500:
        fake = filler.fakers[filler.random.choice(list(filler.fakers))]
        number = fake.credit_card_number()
        cards.append(filler.pick(number, " ".join(number[i:i + 4] for i in range(0, len(number), 4))))
        value = fake.iban()
        ibans.append(filler.pick(value, " ".join(value[i:i + 4] for i in range(0, len(value), 4))))
    yield "CREDIT_CARD", lambda v: f"Could you look up whether {v} was billed twice last week?", cards[:500]
    yield "IBAN_CODE", lambda v: f"We would like the refund on our account, which is {v}, thank you.", ibans[:500]


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


# --- manifests --------------------------------------------------------------------------------------------------

def sources(rows: list[dict]) -> list[dict]:
    """The rows of training/data a mind saw or is judged on, by source and split, with their licences."""
    licences = json.loads((HERE / "data/licences.json").read_text())
    counts = collections.Counter((r["source"], r["split"]) for r in rows)
    return [{"source": source, "licence": licences[source], "rows": count, "split": split}
            for (source, split), count in sorted(counts.items())]


def measure(folder: pathlib.Path, shared: pathlib.Path | None, fitted: dict | None, kept: dict,
            plots: pathlib.Path | None) -> dict:
    graph = Graph(folder)
    pick = lambda mind: (fitted[mind]["temperature"], fitted[mind]["thresholds"]) if fitted else None
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
    facts = {"mom-similarity-flash": similarity(graph, pick("mom-similarity-flash"), shared, kept.get("mom-similarity-flash", {})),
             "mom-brain-flash": brain(graph, fitted and fitted["mom-brain-flash"]["temperature"], plots),
             "mom-jailbreak-flash": guard(graph, pick("mom-jailbreak-flash"), shared, plots),
             "mom-pii-flash": pii(graph, pick("mom-pii-flash"))}
    for mind, rows in (("mom-brain-flash", data.brain_rows()), ("mom-jailbreak-flash", data.guard_rows()),
                       ("mom-pii-flash", data.pii_rows()), ("mom-similarity-flash", data.rows("similarity.jsonl.gz"))):
        facts[mind]["training"] = {"data": sources(rows), "splits": "training/splits.json",
                                   "command": f"make -C training {mind}"}
        facts[mind]["metrics"]["printed by"] = "python training/evaluate.py --check models/onnx"
    return facts


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--trunk", type=pathlib.Path, help="a trained trunk.pt")
    args.add_argument("--start", type=pathlib.Path, help="an exported model.onnx to take the trained part from")
    args.add_argument("--write", type=pathlib.Path, help="folder to write graph, tokenizer and manifests into")
    args.add_argument("--check", type=pathlib.Path, help="folder to measure as it is")
    args.add_argument("--shared", type=pathlib.Path)
    args.add_argument("--plots", type=pathlib.Path)
    args = args.parse_args()
    kept = {path.parent.name: json.loads(path.read_text())
            for path in (args.check or args.write).glob("mom-*-flash/manifest.json")}
    if args.check:
        facts = measure(args.check, args.shared, kept, kept, args.plots)
    else:
        import tempfile

        import torch

        import export
        from model import Trunk
        trunk = Trunk().eval()
        if args.start:
            export.load_exported(trunk, args.start)
        else:
            trunk.load_state_dict(torch.load(args.trunk), strict=False)
        with tempfile.TemporaryDirectory() as folder:
            empty = {"temperature": {}, "thresholds": {}, "training": {}, "metrics": {}}
            export.write(trunk, pathlib.Path(folder), {mind: empty for mind in export.MINDS})
            facts = measure(pathlib.Path(folder), args.shared, None, kept, args.plots)
        runs = (args.start or args.trunk).with_name("run.json")
        for mind, fact in facts.items():
            if runs.exists():
                fact["training"]["runs"] = json.loads(runs.read_text())
        export.write(trunk, args.write, facts)
    for mind, fact in facts.items():
        print(mind, "temperature", fact["temperature"], "thresholds", fact["thresholds"])
        for name, value in fact["metrics"].items():
            for part, result in (value.items() if isinstance(value, dict) and "value" not in value else [("", value)]):
                print(f"  {name:34} {part:56}", *(result.values() if isinstance(result, dict) else [result]))


if __name__ == "__main__":
    main()
