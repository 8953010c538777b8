"""Makes data/outcomes_*.jsonl.gz: who answered which prompt well.

    python training/outcomes.py --shared DIR        DIR holds intent/ and routing/

`mom calibrate train` fits mom-quality-flash to them (`make -C training mom-quality-flash`), but for the files *_held_out, a
share of the questions that neither this mind nor mom-brain-flash was trained on. `seen` marks prompts whose
difficulty mom-brain-flash was trained on: what it says of those tells nothing about how far its word carries. `group` is the
subject. Sources whose licence does not allow it (RouterBench slices, AlpacaEval prompts) are left out; LLMRouter's tasks are
kept for measuring transfer only.
"""
import argparse
import pathlib

from prepare import SPLITS, key, read, share, subject, write

FILES = {"outcomes_mmlu": "routellm_mmlu.jsonl.gz", "outcomes_mmlu_pro": "mmlu_pro_outcomes.jsonl.gz"}

# Shares of prepare.share() that train nothing: a question has the same one everywhere.
HELD_OUT = ("held_out", "threshold")


def trained_on(shared: pathlib.Path) -> set[str]:
    """Questions that prepare.brain() puts into the split `train`."""
    rule = SPLITS["brain"]
    apart = set(rule["held_out_subjects"]) | set(rule["select_subjects"])
    rows = read(shared / "intent/academic.jsonl.gz")
    return {key(row["text"]) for row in rows if subject(row["src"]) not in apart and share(key(row["text"])) == "train"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=pathlib.Path, required=True)
    shared = parser.parse_args().shared
    seen = trained_on(shared)
    for name, source in FILES.items():
        rows, held_out = [], []
        for row in read(shared / "routing" / source):
            kept = {"id": row["id"], "prompt": row["prompt"], "outcomes": row["outcomes"],
                    "group": row.get("subject") or row["src"], "source": row.get("source", "mmlu-pro"),
                    "split": "held_out" if share(key(row["prompt"])) in HELD_OUT else "train"}
            if row.get("output_chars"):
                kept["output_chars"] = row["output_chars"]
            if key(row["prompt"]) in seen:
                kept["seen"] = True
            (held_out if kept["split"] == "held_out" else rows).append(kept)
        write(f"{name}.jsonl.gz", rows)
        write(f"{name}_held_out.jsonl.gz", held_out)


if __name__ == "__main__":
    main()
