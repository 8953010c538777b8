#!/usr/bin/env python3
"""Does the gateway tell easy questions from hard ones by what is asked?

Runs `mom route` over tests/data/easy_hard.jsonl: 100 pairs of prompts with the same
subject, style and number of words, of which one is easy and one is hard. Nothing was
fitted on them. Prints where config.toml sends them, and how well the predicted quality
of the cheapest backend ranks them, beside ranking by length.

    python3 scripts/easy_hard.py [target/release/mom]
"""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    mom = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target/release/mom")
    rows = [json.loads(line) for line in open(str(ROOT / "tests/data/easy_hard.jsonl"))]
    bodies = "".join(json.dumps({"messages": [{"role": "user", "content": row["text"]}]}) + "\n" for row in rows)
    ran = subprocess.run([mom, "route"], input=bodies, stdout=subprocess.PIPE, universal_newlines=True, cwd=str(ROOT))
    traces = [json.loads(line) for line in ran.stdout.splitlines()]
    if len(traces) != len(rows):
        sys.exit("easy_hard: mom route answered %d of %d lines" % (len(traces), len(rows)))

    went = Counter()
    doubt = {"simple": [], "hard": []}
    pairs = defaultdict(dict)
    for row, trace in zip(rows, traces):
        choice = trace.get("choice")
        went[row["complexity"], choice["backend"] if choice else "no backend"] += 1
        if choice:
            score = -min(trace["candidates"], key=lambda one: one["predicted_cost_usd"])["predicted_quality"]
            doubt[row["complexity"]].append(score)
            pairs[row["pair"]][row["complexity"]] = score
    for (label, backend), count in sorted(went.items()):
        print("%-7s -> %-10s %3d of %d" % (label, backend, count, sum(row["complexity"] == label for row in rows)))
    whole = [pair for pair in pairs.values() if len(pair) == 2]
    print("ranked right within a pair: %d of %d" % (sum(pair["simple"] < pair["hard"] for pair in whole), len(whole)))
    print("AUC, easy against hard: %.3f" % auc(doubt))
    lengths = {label: [len(row["text"]) for row in rows if row["complexity"] == label] for label in doubt}
    print("AUC by length alone: %.3f" % auc(lengths))


def auc(scores):
    """The share of (simple, hard) couples in which the hard one scores higher; ties count half."""
    couples = [(easy, hard) for easy in scores["simple"] for hard in scores["hard"]]
    return sum((hard > easy) + 0.5 * (hard == easy) for easy, hard in couples) / len(couples)


if __name__ == "__main__":
    main()
