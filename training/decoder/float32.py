"""How often a mind on the int8 base says what it would say on the same weights in float32, as PyTorch runs them.

    python decoder/float32.py NAME FILE.gguf [--count N]

Prompts that nobody trained on, half of them own chat prompts, half exam questions. Needs decoder-requirements.txt.
"""
import argparse
import copy
import json
import pathlib
import sys

import numpy as np
import onnxruntime
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from check import held_out                                                                                     # noqa: E402
from features import Base                                                                                      # noqa: E402
from figures import interval                                                                                   # noqa: E402
from heads import fused                                                                                        # noqa: E402
from intent import flash                                                                                       # noqa: E402
from train import MOST, bases_folder                                                                           # noqa: E402

MODELS = HERE.parents[1] / "models/onnx"


def float_features(path: pathlib.Path, base: Base, prompt: dict, layers: int, texts: list[str]) -> np.ndarray:
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    ids = lambda text: base.tokenizer.encode(text, add_special_tokens=False).ids
    base.tokenizer.encode_special_tokens = False
    before = ids(prompt["before"])
    base.tokenizer.encode_special_tokens = True
    out = []
    with torch.inference_mode():
        kept = model(torch.tensor([before]), use_cache=True).past_key_values
        for n, text in enumerate(texts):
            asked = base.read(text, MOST)
            states = model(torch.tensor([asked + base.after]), past_key_values=copy.deepcopy(kept), use_cache=True,
                           output_hidden_states=True, logits_to_keep=1).hidden_states[layers][0].numpy()
            out.append(np.concatenate([states[-1], states[:max(len(asked), 1)].mean(0)]))
            if n % 50 == 49:
                print(f"float32: {n + 1} of {len(texts)}", file=sys.stderr, flush=True)
    return np.stack(out)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("name")
    args.add_argument("gguf", type=pathlib.Path)
    args.add_argument("--count", type=int, default=200)
    args = args.parse_args()
    manifest = json.loads((MODELS / args.name / "manifest.json").read_text())
    stand = manifest["decoder"]
    folder = bases_folder() / stand["base"]
    base = Base(folder, **stand["prompt"])
    texts = held_out()[:args.count]
    layers = json.loads((folder / "base.json").read_text())["layers"]
    sides = [base.features(texts, MOST).astype(np.float32), float_features(args.gguf, base, stand["prompt"], layers, texts)]
    head = onnxruntime.InferenceSession(MODELS / args.name / "head.onnx")
    outputs = manifest["graph"]["outputs"]
    said = [dict(zip(outputs, head.run(list(outputs.values()), {"features": side}))) for side in sides]
    between = [np.sort(one["category"], 1) for one in said]
    clear = between[1][:, -1] - between[1][:, -2] > 0.2
    same = {key: said[0][key].argmax(1) == said[1][key].argmax(1) for key in ("category", "complexity") if key in outputs}
    out = {f"{key}, the head alone": interval(right) for key, right in same.items()}
    out["category, the head alone, where float32 leads by more than 0.2"] = interval(same["category"][clear])
    if "beside" in manifest:
        for key, theirs in zip(("category", "complexity"), flash(texts, MODELS)):
            verdicts = [fused(one[key], theirs, manifest["beside"]["weights"][key]).argmax(1) for one in said]
            out[f"{key}, the verdict"] = interval(verdicts[0] == verdicts[1])
    apart = np.linalg.norm(sides[0] - sides[1], axis=1) / np.linalg.norm(sides[1], axis=1)
    print(json.dumps({"mind": args.name, "prompts": len(texts)} | out | {"features apart, median": round(float(np.median(apart)), 4)}, indent=1))


if __name__ == "__main__":
    main()
