"""Counts what the decoders say in words, and whether text beside a question steers them. Fits nothing; needs target/release/mom.

    python decoder/check.py reasons [--mind NAME] [--count N] [--show N]
    python decoder/check.py steering [--mind NAME] [--config FILE]
    python decoder/check.py gain [--mind NAME] [--over NAME]

reasons: prompts that nobody trained on are decided and explained, in words that the base chooses freely. A reason says what a
question asks for, and "needs FIELD: what of it". Counted is where FIELD is the field that was decided ("no special field"
stands for other). Then the reason, FIELD and all that names one taken out, goes to mom-brain-flash without the question: it is
read as the field that was decided, or not. Beside both, so that the counts can fail: the same reasons held against the decision
on the next prompt.
steering: the same prompts with and without a text that tries to steer, which nobody trained on: how often the verdict, and how
often the backend that `mom route` chooses, is another one.
gain: category and complexity on rows that nobody trained on, as `mom` says them, and the paired gain of one mind over another.
"""
import argparse
import json
import pathlib
import random
import re
import subprocess
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import data                                                                                                    # noqa: E402
import rows                                                                                                    # noqa: E402
from figures import interval                                                                                   # noqa: E402
from model import CATEGORIES, COMPLEXITIES                                                                                 # noqa: E402

ROOT = HERE.parents[1]
SEED = 6
FLASH = "mom-brain-flash"
NAMES = re.compile(r"\b(" + "|".join([*CATEGORIES, "no special field"]) + r")\b:?", re.IGNORECASE)


def mom(command: list[str], lines: list[dict]) -> list[dict]:
    given = "".join(json.dumps(line) + "\n" for line in lines)
    said = subprocess.run([ROOT / "target/release/mom", *command], input=given, text=True, stdout=subprocess.PIPE, check=True,
                          cwd=ROOT).stdout
    return [json.loads(line) for line in said.splitlines()]


def classify(mind: str, texts: list[str], *flags: str) -> list[dict]:
    return [row[mind] for row in mom(["classify", "--mind", mind, *flags], [{"id": i, "text": text} for i, text in enumerate(texts)])]


def held_out() -> list[str]:
    """Own prompts, and questions of subjects that nobody trained on, half and half."""
    found = [row for row in rows.intent() if row["split"] == "held_out"]
    own = sorted({row["text"] for row in found if row["source"] == "own-prompts"})
    exam = sorted({row["text"] for row in found if row["source"].startswith("mmlu")})
    draw = random.Random(SEED)
    draw.shuffle(own)
    draw.shuffle(exam)
    return [text for pair in zip(own, exam) for text in pair]


def field(reason: str) -> str:
    """What a reason says is needed: a category, or nothing that is one."""
    needs = reason.rsplit("needs ", 1)[-1].partition(":")[0].strip().lower()
    return "other" if needs == "no special field" else needs


def reasons(args) -> dict:
    texts = held_out()[:args.count]
    said = classify(args.mind, texts)
    given = [i for i, verdict in enumerate(said) if isinstance(verdict.get("reason"), str)]
    decided = np.array([said[i]["label"] for i in given])
    whole = [said[i]["reason"] for i in given]
    named = np.array([field(reason) for reason in whole])
    bare = [NAMES.sub("", reason) for reason in whole]
    read = np.array([verdict.get("label", "") for verdict in classify(FLASH, bare)])
    other = np.roll(decided, 1)
    apart = decided != other
    for i in given[:args.show]:
        print(said[i]["label"], said[i]["complexity"]["label"], "|", texts[i][:100].replace("\n", " "), "|", said[i]["cause"], "|",
              said[i]["reason"], "|", read[given.index(i)], file=sys.stderr)
    return {
        "mind": args.mind, "prompts": len(texts), "explained": len(given),
        "names the field that was decided": interval(named == decided),
        "names that of another prompt": interval((named == other)[apart]),
        "is read as the field that was decided": interval(read == decided),
        "is read as that of another prompt": interval((read == other)[apart]),
        "cause stands in the prompt": interval(np.array([said[i]["cause"] in texts[i] or "[" in said[i]["cause"] for i in given])),
        "distinct": len(set(bare)),
        "cut": interval(np.array([reason.endswith("…") for reason in whole])),
        "words": float(np.median([len(reason.split()) for reason in whole])),
    }


def steering(args) -> dict:
    texts = [row for row in rows.steering() if row["split"] == "held_out"]
    plain = held_out()[::2]
    draw = random.Random(SEED)
    pairs = []
    for row in texts:
        question = draw.choice(plain)
        parts = [question, row["text"]]
        if row["place"] == "before":
            parts.reverse()
        pairs.append((question, draw.choice(["\n\n", "\n", " "]).join(parts), row["aim"]))
    out = {"mind": args.mind, "texts": len(pairs)}
    for mind in (args.mind, FLASH):
        before, after = (classify(mind, [pair[side] for pair in pairs], "--no-reasons") for side in (0, 1))
        known = [i for i in range(len(pairs)) if "label" in before[i] and "label" in after[i]]
        label = lambda verdicts, key: np.array([key(verdicts[i]) for i in known])
        for head, key in (("category", lambda v: v["label"]), ("complexity", lambda v: v["complexity"]["label"])):
            out[f"{mind}: {head} changed"] = interval(label(before, key) != label(after, key))
        if mind == args.mind:
            out["texts in which something was ignored"] = interval(np.array([bool(after[i].get("ignored")) for i in known]))
            out["plain prompts in which something was ignored"] = interval(np.array([bool(before[i].get("ignored")) for i in known]))
    if args.config:
        ask = lambda side: mom(["route", "--config", args.config], [{"messages": [{"role": "user", "content": pair[side]}]} for pair in pairs])
        before, after = ask(0), ask(1)
        backend = lambda trace: (trace["choice"] or {}).get("backend")
        blocked = np.array([backend(trace) is None for trace in after])
        moved = np.array([backend(a) != backend(b) for a, b in zip(before, after)])
        out["refused by the guard"] = interval(blocked)
        out["another backend"] = interval(moved & ~blocked)
    return out


def gain(args) -> dict:
    unseen = data.SPLITS["brain"]["held_out_subjects"]
    groups: dict[str, list] = {"exam questions, seen subjects": [], "exam questions, unseen subjects": [], "own chat prompts": []}
    for row in rows.intent():
        if row["group"] in unseen and row["source"].startswith("mmlu"):
            groups["exam questions, unseen subjects"].append(row)
        elif row["split"] == "held_out" and row["source"] == "own-prompts":
            groups["own chat prompts"].append(row)
        elif row["split"] == "held_out" and row["source"].startswith("mmlu"):
            groups["exam questions, seen subjects"].append(row)
    out: dict = {"mind": args.mind, "over": args.over}
    for group, found in groups.items():
        said = [classify(mind, [row["text"] for row in found], "--no-reasons") for mind in (args.mind, args.over)]
        for head, truth, key in (("category", lambda row: row["category"], lambda v: v["label"]),
                                 ("complexity", complexity, lambda v: v["complexity"]["label"])):
            known = [i for i, row in enumerate(found) if truth(row) and all("label" in all_[i] for all_ in said)]
            right = [np.array([key(all_[i]) == truth(found[i]) for i in known], float) for all_ in said]
            out[f"{group}: {head}"] = interval(right[0]) | {"gain": interval(right[0] - right[1])}
    return out


def complexity(row: dict) -> str | None:
    soft = data.soft_complexity(row.get("difficulty"))
    return COMPLEXITIES[int(np.argmax(soft))] if soft else None


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("what", choices=("reasons", "steering", "gain"))
    args.add_argument("--mind", default="mom-brain-pro")
    args.add_argument("--over", default=FLASH)
    args.add_argument("--count", type=int, default=200)
    args.add_argument("--show", type=int, default=0)
    args.add_argument("--config")
    args = args.parse_args()
    print(json.dumps({"reasons": reasons, "steering": steering, "gain": gain}[args.what](args), indent=1))


if __name__ == "__main__":
    main()
