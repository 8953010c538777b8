"""Writes rows for `mom eval`: python training/held_out.py [--split held_out] [--shared DIR] --out DIR

So the whole path is measured, patterns and normalisation beside the minds included, not the graph alone (evaluate.py).
One JSONL file a task, rows grouped by `source` and `domain`; with `shared` also the evaluation-only sets.
"""
import argparse
import json
import pathlib

import data
from prepare import read


def intent(split: str) -> list[dict]:
    level = lambda difficulty: ["simple", "medium", "hard"][max(range(3), key=data.soft_complexity(difficulty).__getitem__)]
    unseen = set(data.SPLITS["brain"]["held_out_subjects"])
    found = []
    for row in data.brain_rows():
        if row["split"] == split and row["category"]:
            kind = ("unseen subject" if row["group"] in unseen else "own prompts" if row["source"] == "own-prompts" else
                    "exam, seen subject" if row["source"].startswith("mmlu") else row["source"])
            made = {"text": row["text"], "label": row["category"], "source": kind, "domain": row["group"]}
            if row["source"] == "own-prompts":
                made["complexity"] = level(row["difficulty"])
            found.append(made)
    return found


def jailbreak(split: str) -> list[dict]:
    return [{"text": r["text"], "attack": int(r["label"] == "jailbreak"), "source": r["source"], "domain": r["kind"]}
            for r in data.guard_rows() if r["split"] == split]


def pii(split: str) -> list[dict]:
    return [{"text": r["text"], "spans": [dict(zip(("start", "end", "label"), s)) for s in r["spans"]]
             + [{"start": a, "end": b, "label": "OTHER"} for a, b in r["ignored"]],
             "source": r["source"], "domain": r["group"]} for r in data.pii_rows() if r["split"] == split]


def similarity(split: str) -> list[dict]:
    return [{k: r[k] for k in ("a", "b", "score", "source")} for r in data.rows("similarity.jsonl.gz") if r["split"] == split]


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--split", default="held_out", choices=list(data.SPLITS["share"]))
    args.add_argument("--shared", type=pathlib.Path)
    args.add_argument("--out", type=pathlib.Path, required=True)
    args = args.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tasks = {make.__name__: make(args.split) for make in (intent, jailbreak, pii, similarity)}
    if args.shared:
        tasks["medical"] = read(args.shared / "similarity/medical_question_pairs.jsonl")
        tasks["long"] = [{"text": "\n\n".join(m["content"] for m in r["messages"] if isinstance(m.get("content"), str)
                                              and m["role"] != "system"), "attack": 0, "source": r["source"]}
                         for file in ("chats.jsonl.gz", "long_context.jsonl") for r in read(args.shared / "traffic" / file)]
    for task, rows in tasks.items():
        (args.out / f"{task}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        print(task, len(rows))


if __name__ == "__main__":
    main()
