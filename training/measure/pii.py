"""mom-pii-flash: strict spans by source, domain and label."""
import numpy as np

import data
from measure.figures import f1, fit_temperature, interval, share
from measure.graph import Graph, spans
from model import PII


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
    judged = [spans(w, temperature, threshold) for w in graph.judge(quiet, ["pii_logits"])]
    numbers = [any(s[2] in data.ANNOTATED["chat"] - {"NRP"} for s in found) for found in judged]
    peoples = [any(s[2] == "NRP" and not data.nationalities(text[s[0]:s[1]]) for s in found)
               for text, found in zip(quiet, judged)]
    recall = {}
    for label, template, values in generated():
        texts = [template(v) for v in values]
        found = [any(s[2] == label and t[s[0]:s[1]] == v for s in spans(w, temperature, threshold))
                 for t, v, w in zip(texts, values, graph.judge(texts, ["pii_logits"]))]
        recall[f"{label}, generated, checksum-valid"] = interval(found, share)
    return {"temperature": {"tags": temperature}, "thresholds": {"pii": threshold},
            "metrics": {"strict span F1": strict, "strict span F1 by label": labels, "strict recall": recall,
                        "own chat prompts with a false number, card or address": interval(numbers, share),
                        "own chat prompts with a false nationality": interval(peoples, share)}}


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
