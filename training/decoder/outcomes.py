"""Makes data/expert_math.jsonl.gz from the downloaded sources: python decoder/outcomes.py --shared DIR

A row has `text`, `source`, `split`, and what is known of it: `domain`, `difficulty` (share of models that fail; for MATH its
level), `outcomes`. The same question in two sets, with options and without, stays on one side.
"""
import argparse
import collections
import gzip
import hashlib
import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
# By topic or subject as the sources have it; what spans several parts is left unlabelled.
TOPICS = {"Algebra": "algebra", "Intermediate Algebra": "algebra", "college_math.algebra": "algebra",
          "Number Theory": "number theory", "Counting & Probability": "counting and probability",
          "Combinatorics": "counting and probability", "college_math.probability": "counting and probability",
          "Geometry": "geometry", "college_math.calculus": "calculus", "college_math.vector_calculus": "calculus",
          "college_math.differential_equation": "calculus", "college_math.linear_algebra": "linear algebra"}
SOURCES = {"mmlu/elementary_mathematics": "arithmetic", "mmlu-pro/ori_mmlu-elementary_mathematics": "arithmetic",
           "gsm8k/train": "arithmetic", "mawps": "arithmetic", "svamp": "arithmetic",
           "mmlu/high_school_statistics": "statistics", "mmlu-pro/ori_mmlu-high_school_statistics": "statistics",
           "mmlu-pro/scibench-stat": "statistics", "mmlu-pro/scibench-calculus": "calculus",
           "mmlu-pro/scibench-diff": "calculus", "mmlu/abstract_algebra": "algebra",
           "mmlu-pro/ori_mmlu-abstract_algebra": "algebra"}
# Problems without outcomes teach the parts only, so a hundred a topic are enough; some that are many teach more.
MOST, MORE = 100, {"gsm8k/train": 150, "mawps": 60, "svamp": 60, "hendrycks_math/prealgebra (via RouterDC)": 150}
HELD_OUT, SELECT = 0.2, 0.15


def lines(path: pathlib.Path) -> list[dict]:
    with (gzip.open(path, "rt") if path.suffix == ".gz" else path.open()) as file:
        return [json.loads(line) for line in file]


def found(shared: pathlib.Path):
    for row in lines(shared / "routing/mmlu_pro_outcomes.jsonl.gz"):
        if row["category"] == "math":
            yield {"text": row["prompt"], "source": f"mmlu-pro/{row['src']}", "difficulty": row["difficulty"], "outcomes": row["outcomes"]}
    for row in lines(shared / "routing/routellm_mmlu.jsonl.gz"):
        if row["category"] == "math":
            yield {"text": row["prompt"], "source": f"mmlu/{row['subject']}", "outcomes": row["outcomes"]}
    for row in lines(shared / "routing/llmrouter_small_models.jsonl.gz"):
        if row["source"] == "llmrouter/math":
            failed = 1 - sum(row["outcomes"].values()) / len(row["outcomes"])
            yield {"text": row["prompt"], "source": row["source"], "difficulty": failed, "outcomes": row["outcomes"]}
    for row in lines(shared / "math/math500_levels.jsonl"):
        yield {"text": row["text"], "source": "math500", "difficulty": (row["math_level"] - 0.5) / 5, "topic": row["subject"]}
    taken = collections.Counter()
    problems = lines(shared / "math/problems.jsonl.gz")
    for row in sorted(problems, key=lambda row: hashlib.sha256(row["text"].encode()).hexdigest()):
        topic = row.get("topic") or row["source"]
        # Text books under non-commercial or unclear terms are left out.
        licence = row.get("row_licence") or "CC BY"
        if not re.search("CC BY|Attribution", licence) or re.search("NC|Non-?Commercial", licence):
            continue
        taken[topic] += 1
        if taken[topic] <= MORE.get(topic, MOST):
            yield {"text": row["text"], "source": row["source"], "topic": row.get("topic")}


def question(text: str) -> str:
    """The words of it, without options."""
    return " ".join(re.findall(r"\w+", re.split(r"\nOptions:|\nA\.", text)[0].lower()))


def spelled(model: str) -> str:
    """As the gateway compares names."""
    return model.lower().rsplit("/", 1)[-1].removeprefix("meta-")


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--shared", type=pathlib.Path, required=True)
    rows: dict[str, dict] = {}
    for row in found(args.parse_args().shared):
        outcomes = {spelled(model): score for model, score in (row.get("outcomes") or {}).items()}
        if row["text"] in rows:
            rows[row["text"]].setdefault("outcomes", {}).update(outcomes)
            continue
        place = int(hashlib.sha256(question(row["text"]).encode()).hexdigest()[:8], 16) / 2 ** 32
        made = {"text": row["text"], "source": row["source"],
                "split": "held_out" if place < HELD_OUT else "select" if place < HELD_OUT + SELECT else "train"}
        if domain := TOPICS.get(row.get("topic") or "") or SOURCES.get(row["source"]):
            made["domain"] = domain
        if row.get("difficulty") is not None:
            made["difficulty"] = round(row["difficulty"], 4)
        rows[row["text"]] = made | ({"outcomes": outcomes} if outcomes else {})
    ordered = sorted(rows.values(), key=lambda row: hashlib.sha256(row["text"].encode()).hexdigest())
    with gzip.GzipFile(HERE.parent / "data/expert_math.jsonl.gz", "wb", mtime=0) as out:
        for row in ordered:
            out.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
    print(len(ordered), collections.Counter(row.get("domain") for row in ordered))


if __name__ == "__main__":
    main()
