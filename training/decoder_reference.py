"""What PyTorch answers to fixed prompts, for tests/models/test_reference.py to hold the int8 graphs against.

    python decoder_reference.py NAME FILE.gguf

The GGUF's weights in float32 read each prompt: a question of tests/models/questions.jsonl inside every asking below. Kept in
tests/models/reference_NAME.json.gz: the prompt's tokens, the 20 largest logits after the last one, the logits of the
options. A prompt's label is the option with the largest. Needs decoder-requirements.txt.
"""
import copy
import gzip
import hashlib
import json
import os
import pathlib
import sys

import torch
import transformers

TESTS = pathlib.Path(__file__).parents[1] / "tests/models"
KEPT = 20
TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
SHOWN = {"How fast does sound travel in water?": 0, "Who was the first emperor of Rome?": 2, "good morning!": 5,
         "What is 17 times 23?": 1, "How do I treat a burn?": 4, "What moves the price of oil?": 3}
FIELDS = ["science", "math", "history", "business", "health", "other"]
# Name: what the system says, the user's turn, the options (one token each), and the option of each question shown.
ASKINGS = {
    "word": (f"Say which field the question is from: {', '.join(FIELDS)}. Answer with one word.", "Question: {}\nField?",
             FIELDS, SHOWN),
    "letter": ("Answer with one letter.",
               "{}\n\nWhich field is this from? " + " ".join(f"{letter}: {name}." for letter, name in zip("ABCDEF", FIELDS)),
               list("ABCDEF"), SHOWN),
    "yes or no": ("You are a helpful assistant.", "{}\n\nDoes this need a calculation?", ["Yes", "No"],
                  {"Who was the first emperor of Rome?": 1, "What is 17 times 23?": 0}),
    "open": ("You are a helpful assistant.", "{}", [], {}),
}


def prompt(asking: str, question: str) -> str:
    system, user, options, shown = ASKINGS[asking]
    turns = [TURN.format(user.format(text)) + f"{options[option]}<|im_end|>\n" for text, option in shown.items()]
    return f"<|im_start|>system\n{system}<|im_end|>\n" + "".join(turns) + TURN.format(user.format(question))


def main(name: str, path: pathlib.Path) -> None:
    load = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**load)
    model = transformers.AutoModelForCausalLM.from_pretrained(**load, dtype=torch.float32).eval()
    tokens = lambda text: tokenizer(text, add_special_tokens=False).input_ids
    questions = [json.loads(line)["text"] for line in (TESTS / "questions.jsonl").open()]
    rows = []
    for asking, (_, _, options, _) in ASKINGS.items():
        offered = [only for only, in map(tokens, options)]
        texts = [prompt(asking, question) for question in questions]
        ids = [tokens(text) for text in texts]
        alike = len(os.path.commonprefix(ids))                       # read once
        with torch.inference_mode():
            kept = model(torch.tensor([ids[0][:alike]]), use_cache=True).past_key_values
            for text, row in zip(texts, ids):
                rest = torch.tensor([row[alike:]])
                logits = model(rest, past_key_values=copy.deepcopy(kept), use_cache=True, logits_to_keep=1).logits[0, -1]
                top = logits.topk(KEPT)
                rounded = lambda values: [round(value, 4) for value in values.tolist()]
                rows.append({"asking": asking, "text": text, "ids": row, "top": top.indices.tolist(),
                             "logits": rounded(top.values), "options": offered, "option_logits": rounded(logits[offered])})
        print(f"{asking}: {len(texts)} prompts", flush=True)
    record = {"base": name, "sha256": hashlib.file_digest(path.open("rb"), "sha256").hexdigest(),
              "tools": {tool.__name__: tool.__version__ for tool in (torch, transformers)}, "rows": rows}
    out = TESTS / f"reference_{name}.json.gz"
    out.write_bytes(gzip.compress(json.dumps(record, separators=(",", ":")).encode(), mtime=0))
    print(f"{out}: {len(rows)} prompts, {out.stat().st_size >> 10} KB")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
