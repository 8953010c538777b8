"""Records what the training code says of a few texts, for the gateway's tests.

    python decoder/golden.py MODELS_FOLDER BASES_FOLDER TEXTS.txt > golden.jsonl
"""
import json
import pathlib
import sys

import numpy as np
import onnxruntime

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import intent                                                                                                  # noqa: E402
from features import Base                                                                                      # noqa: E402
from heads import fused                                                                                        # noqa: E402


def main() -> None:
    models, bases, texts = (pathlib.Path(path) for path in sys.argv[1:4])
    texts = [line for line in texts.read_text().splitlines() if line]
    out = [{"text": text} for text in texts]
    for folder in sorted(path.parent for path in models.glob("*/manifest.json")):
        manifest = json.loads((folder / "manifest.json").read_text())
        stand = manifest["decoder"]
        # Rows in company, and features in 16 bits: what training has, too.
        features = Base(bases / stand["base"], **stand["prompt"]).features(texts, manifest["max_tokens"]).astype(np.float32)
        outputs = manifest["graph"]["outputs"]
        got = dict(zip(outputs, onnxruntime.InferenceSession(folder / "head.onnx").run(list(outputs.values()), {"features": features})))
        warm = lambda head: got[head] / manifest["temperature"][head]
        if manifest["task"] == "intent":
            flash, _ = intent.flash(texts, None)
            scores = fused(got["category"], flash, manifest["beside"]["weights"]["category"])
            rest = scores
        else:
            scores = np.exp(warm("domain")) / np.exp(warm("domain")).sum(1, keepdims=True)
            rest = np.concatenate([scores, 1 / (1 + np.exp(-warm("difficulty")))], 1)
        for row, share, values in zip(out, scores, rest):
            row[folder.name] = {"label": manifest["labels"][int(share.argmax())], "scores": [round(float(v), 5) for v in values]}
    for row in out:
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
