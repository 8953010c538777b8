"""mom-jailbreak-flash: attacks, false alarms, long requests, and the second output, harm."""
import collections
import pathlib
import random

import numpy as np

import data
from measure.figures import auc, fit_temperature, interval, share
from measure.graph import Graph, softmax

# From here on more text does not lower a window's odds: an attack must not drown in padding.
MOST = 16.0


def capped(rows: list[dict], most: int) -> list[dict]:
    """At most `most` rows of a source, label and split: a thousand exam questions would drown the rest."""
    seen, kept = collections.Counter(), []
    for row in rows:
        seen[row["source"], row["label"], row["split"]] += 1
        if seen[row["source"], row["label"], row["split"]] <= most:
            kept.append(row)
    return kept


def guard(graph: Graph, fitted: tuple | None, shared: pathlib.Path | None, plots: pathlib.Path | None) -> dict:
    rows = [r for r in data.guard_rows() if r["split"] in ("threshold", "held_out")]
    random.Random(0).shuffle(rows)
    rows = capped(rows, 120)
    for row, windows in zip(rows, graph.judge([r["text"] for r in rows], ["jailbreak_logits", "harm_logits"])):
        row |= {"odds": log_odds(windows), "amount": amount(windows), "windows": len(windows)}
        row["wish"] = max((w["harm_logits"] for w in windows), key=lambda l: l[1] - l[0])
    fit, held = ([r for r in rows if r["split"] == split] for split in ("threshold", "held_out"))
    if fitted:
        temperature, threshold = fitted[0]["jailbreak"], fitted[1]["jailbreak"]
    else:
        temperature = fit_temperature(np.array([[0, r["odds"]] for r in fit]), np.array([int(r["label"] == "jailbreak") for r in fit]))
        threshold = fit_threshold(graph, fit, temperature)
    for row in rows:
        row["score"] = score(row, temperature)
    over = lambda part: interval([r["score"] >= threshold for r in part], share)
    ranked = lambda part: [(r["score"], r["label"] == "jailbreak") for r in part]
    attacks, benign = ([r for r in held if (r["label"] == "jailbreak") == attack] for attack in (True, False))
    recall, alarms = ({**{f"{source} ({kind})": over([r for r in part if (r["source"], r["kind"]) == (source, kind)])
                          for source, kind in sorted({(r["source"], r["kind"]) for r in part})}, "all": over(part)}
                      for part in (attacks, benign))
    long = requests(graph, held, shared, temperature)
    alarms |= {f"requests, {name}": over([r for r in long if r["name"] == name]) for name in sorted({r["name"] for r in long})}
    for name, low, high in (("1 window", 1, 1), ("2-8 windows", 2, 8), ("9 and more windows", 9, 10 ** 9)):
        alarms[f"requests of {name}"] = over([r for r in benign + long if low <= r["windows"] <= high])
    rng, short = random.Random(0), [r for r in attacks if len(r["text"]) < 2000]
    for side, part in ((recall, short), (alarms, benign)):
        part = rng.sample(part, min(200, len(part)))
        side["the same rows alone"] = over(part)
        side["with about 600 benign words around"] = over(surrounded(graph, part, held, temperature))
    if plots:
        import plot
        plot.roc(plots / "jailbreak-roc.svg", ranked(held), threshold)
    wants, harm_temperature, harm_threshold = harm(rows, fitted)
    planted = [r for r in held if r["source"] == "bipia/email"]
    metrics = {"recall at the threshold": recall, "false positives at the threshold": alarms,
               "AUC": {"all": interval(ranked(held), auc),
                       "orders planted in e-mails (unseen kind of document)": interval(ranked(planted), auc)},
               "length alone, AUC": {"all": interval([(len(r["text"]), r["label"] == "jailbreak") for r in held], auc)}}
    return {"temperature": {"jailbreak": temperature, "harm": harm_temperature},
            "thresholds": {"jailbreak": threshold, "harm": harm_threshold}, "metrics": metrics | wants,
            "roc": roc_points(ranked(held))}


def log_odds(windows: list[dict]) -> float:
    """Of the window that looks most like an attack."""
    return max(w["jailbreak_logits"][1] - w["jailbreak_logits"][0] for w in windows)


def amount(windows: list[dict]) -> float:
    """How many full windows' worth of text was read, 1 to MOST."""
    return min(max(sum(len(w["ids"]) for w in windows) / (data.WINDOW - 2), 1.0), MOST)


def score(row: dict, temperature: float) -> float:
    """P(attack) of a request, as in the gateway's JailbreakHead: the odds of its worst window by the amount read."""
    return float(1 / (1 + np.exp(np.log(row["amount"]) - row["odds"] / temperature)))


def fit_threshold(graph: Graph, fit: list[dict], temperature: float) -> float:
    """1.5 % of the benign texts alone, or 2.5 % of them inside long text: the higher score of both."""
    benign = [r for r in fit if r["label"] == "benign"]
    alone = np.quantile([score(r, temperature) for r in benign], 0.985)
    inside = np.quantile([r["score"] for r in surrounded(graph, benign[:200], fit, temperature)], 0.975)
    return round(float(np.clip(max(alone, inside), 0.3, 0.98)), 3)


def surrounded(graph: Graph, part: list[dict], rows: list[dict], temperature: float) -> list[dict]:
    """Scores with about 600 words of other text (exam questions of `rows`: plain prose) around each row."""
    rng, texts = random.Random(0), []
    pool = [r["text"] for r in rows if r["source"].startswith(("mmlu", "gsm8k"))]
    for row in part:
        before, after = ("\n\n".join(rng.sample(pool, 15))[:1800] for _ in range(2))
        texts.append(f"{before}\n\n{row['text']}\n\n{after}")
    return judged(graph, texts, temperature)


def requests(graph: Graph, rows: list[dict], shared: pathlib.Path | None, temperature: float) -> list[dict]:
    """Long harmless requests, judged."""
    names, texts = zip(*long_benign(rows, shared))
    return [row | {"name": name} for name, row in zip(names, judged(graph, list(texts), temperature))]


def judged(graph: Graph, texts: list[str], temperature: float) -> list[dict]:
    rows = [{"odds": log_odds(windows), "amount": amount(windows), "windows": len(windows)}
            for windows in graph.judge(texts, ["jailbreak_logits"])]
    return [row | {"score": score(row, temperature)} for row in rows]


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


def long_benign(rows: list[dict], shared: pathlib.Path | None) -> list[tuple[str, str]]:
    """Name and text of long harmless requests: benign `rows` joined; with `shared` also conversations and web pages of
    sources that nothing trains on."""
    rng, texts = random.Random(1), []
    pool = [r["text"] for r in rows if r["label"] == "benign" and r["kind"] != "harmful_plain"]
    for size in [2, 4, 8] * 30 + [20, 40, 60] * 30:
        texts.append(("held-out texts joined", "\n\n".join(rng.sample(pool, size))))
    if shared:
        from prepare import read
        for file in ("chats.jsonl.gz", "long_context.jsonl"):
            for row in read(shared / "traffic" / file):
                said = [m["content"] for m in row["messages"] if isinstance(m.get("content"), str) and m["role"] != "system"]
                texts.append((row["source"].split(" (")[0], "\n\n".join(said)))
    return texts
