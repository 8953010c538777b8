"""The rows that the decoders of the brain learn from: those of the flash mind, newer own prompts, and prompts with text
beside them that tries to steer a router, which must not change the verdict."""
import random

import data
from prepare import SPLITS, share

# Exam questions all; of short utterances and grade-school sums a part says as much as all of them.
PART = 0.2
# Own prompts that each steering text stands beside, in training and for measuring.
STEERED = {"train": 3, "held_out": 6}
SEED = 4
# Steering texts that were there when the heads were made; each of them was put on a side by itself. Later ones only show
# what a steering sentence looks like (steering.py), and neighbours, often variants of one idea, go to one side together.
FIRST = 260
BLOCK = 10


def intent() -> list[dict]:
    found = []
    for row in data.brain_rows():
        whole = row["source"].startswith(("mmlu", "own-prompts", "arena")) or row["split"] == "held_out"
        if whole or share(row["text"], {"taken": PART}) == "taken":
            found.append(row)
    value = {"simple": 1 / 6, "medium": 3 / 6, "hard": 5 / 6}
    for row in data.rows("decoder_prompts.jsonl"):
        found.append({"text": row["text"], "category": row["category"], "difficulty": value[row["complexity"]],
                      "source": "own-prompts", "group": "decoder-prompts", "split": share(row["text"], SPLITS["share_own"])})
    return found + steered(found)


def steered(found: list[dict]) -> list[dict]:
    draw = random.Random(SEED)
    own = {split: [row for row in found if row["source"] == "own-prompts" and row["split"] == split] for split in STEERED}
    made = []
    for text in steering()[:FIRST]:
        split = text["split"]
        for row in draw.sample(own[split], STEERED[split]):
            parts = [text["text"], row["text"]] if text["place"] == "before" else [row["text"], text["text"]]
            made.append(row | {"text": "\n\n".join(parts), "plain": row["text"], "group": "steered", "source": "steered", "split": split})
    return made


def steering() -> list[dict]:
    """Texts that try to steer: `text`, `aim`, `place`, `split`."""
    return [row | {"split": side(row["text"] if i < FIRST else f"steering {i // BLOCK}")}
            for i, row in enumerate(data.rows("steering.jsonl"))]


def side(group: str) -> str:
    return "train" if share(group, {"train": 0.7}) == "train" else "held_out"


def math() -> list[dict]:
    found = data.rows("expert_math.jsonl.gz")
    for row in data.rows("decoder_prompts.jsonl"):
        if row.get("domain"):
            found.append({"text": row["text"], "domain": row["domain"], "source": "own-prompts",
                          "split": share(row["text"], SPLITS["share_own"])})
    return found
