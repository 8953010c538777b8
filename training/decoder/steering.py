"""Sentences that tell a router where to send a request, so that it can leave them out before it judges.

A linear head on the mean states of a sentence's tokens and of the sentences before and behind it: what steers often takes
several of them, and one alone says little. Linear, so it is applied to each token and averaged afterwards; the gateway finds
sentences as `sentences` does (src/minds/decoder/steering.rs).

    python decoder/steering.py BASE [--out DIR]...      fits one for BASE, writes steering.onnx and the manifest's part of it
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import sys
import tomllib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import data                                                                                                    # noqa: E402
import rows                                                                                                    # noqa: E402
from features import Base                                                                                      # noqa: E402
from figures import auc, interval                                                                              # noqa: E402
from heads import shares                                                                                       # noqa: E402
from train import MOST, bases_folder                                                                           # noqa: E402

ENDS = ".!?:;"
# Of sentences that steer nobody (a quarter of them come near, on purpose) so many may be left out: it costs another pass,
# and seldom a verdict.
FALSE = 0.05
STRENGTHS = (3e-4, 1e-3, 3e-3, 1e-2)
SEED = 5


def sentences(text: str) -> list[tuple[int, int]]:
    """Ranges of code points: a sentence ends behind the white space that follows one of ENDS, or at a line's end."""
    found, start = [], 0
    for i, c in enumerate(text):
        if c == "\n" or (c.isspace() and i > start and text[i - 1] in ENDS):
            found.append((start, i + 1))
            start = i + 1
    found.append((start, len(text)))
    return [(a, b) for a, b in found if text[a:b].strip()]


def texts() -> list[dict]:
    """`text`, `split`, and where something steers `steers`: its range. Steering texts stand beside, or in, an own prompt."""
    draw = random.Random(SEED)
    own = {split: [] for split in ("train", "held_out")}
    plain = {split: [] for split in ("train", "held_out")}
    for row in rows.intent():
        if row["source"] in ("steered",) or row["split"] not in own:
            continue
        if row["source"] == "own-prompts":
            own[row["split"]].append(row["text"])
        elif row["source"].startswith(("mmlu", "arena", "clinc")):
            plain[row["split"]].append(row["text"])
    out = []
    for row in rows.steering():
        split = row["split"]
        text = draw.choice(own[split])
        parts = [text, row["text"]]
        if row["place"] == "before":
            parts.reverse()
        ends = [b for _, b in sentences(text)][:-1]
        if row["place"] == "inside" and ends:
            at = draw.choice(ends)
            parts = [text[:at].strip(), row["text"], text[at:].strip()]
        link = draw.choice(["\n\n", "\n", " ", " "])
        whole = link.join(parts)
        start = whole.index(row["text"])
        out.append({"text": whole, "plain": text, "steers": (start, start + len(row["text"])), "split": split})
    for i, row in enumerate(data.rows("near_steering.jsonl")):
        out.append({"text": row["text"], "near": True, "split": rows.side(f"near {i // rows.BLOCK}")})
    for split, count in (("train", 900), ("held_out", 300)):
        for text in draw.sample(own[split], count // 2) + draw.sample(plain[split], count // 2):
            out.append({"text": text, "split": split})
    return out


def states(base: Base, texts: list[str]) -> list[tuple[np.ndarray, list[tuple[int, int]]]]:
    """-> for each text the mean state of each of its sentences [sentences, D], and their ranges."""
    out = []
    for n, text in enumerate(texts):
        encoded = base.tokenizer.encode(text, add_special_tokens=False)
        ids, ends = encoded.ids, [start + len(text[start:end].rstrip()) for start, end in encoded.offsets]
        if len(ids) > MOST:
            head = MOST * 3 // 4
            ids, ends = (all_[:head] + all_[head - MOST:] for all_ in (ids, ends))
        hidden, = base.run(np.array([ids + base.after]), ["hidden"])
        kept, ranges = [], []
        for a, b in sentences(text):
            tokens = [i for i, end in enumerate(ends) if a < end <= b]
            if tokens:
                kept.append(hidden[0, tokens].mean(0))
                ranges.append((a, b))
        out.append((np.array(kept, np.float32).reshape(len(kept), -1), ranges))
        if n % 200 == 199:
            print(f"sentences: {n + 1} of {len(texts)} texts", flush=True)
    return out


def fit(found: list[dict], read: list) -> tuple[np.ndarray, float, float, dict]:
    """-> weight [D,3] (of the sentence, of that before it, of that behind it), bias [3], threshold (probability), figures."""
    x, y, split, text, near = [], [], [], [], []
    for n, (row, (means, ranges)) in enumerate(zip(found, read)):
        start, end = row.get("steers", (0, 0))
        for mean, (a, b) in zip(means, ranges):
            x.append(mean)
            y.append(float(start <= (a + b) / 2 <= end))
            split.append(row["split"])
            text.append(n)
            near.append(row.get("near", False))
    x, y, split, text, near = np.array(x), np.array(y), np.array(split), np.array(text), np.array(near)
    train, held = split == "train", split == "held_out"
    mean, std = x[train].mean(0), x[train].std(0) + 1e-3
    x = (x - mean) / std
    same, zero = (text[1:] == text[:-1])[:, None], np.zeros((1, x.shape[1]), x.dtype)
    x = np.concatenate([x, np.concatenate([zero, x[:-1] * same]), np.concatenate([x[1:] * same, zero])], 1)
    # A fifth of the texts in turn chooses strength and threshold.
    fold = text % 5 == 0
    best = None
    for strength in STRENGTHS:
        z = shares(x[train & ~fold], y[train & ~fold, None], strength)(x[train & fold])[:, 0]
        on = y[train & fold]
        loss = float((np.logaddexp(0, z) - on * z).mean())
        threshold = float(np.quantile(z[on == 0], 1 - FALSE))
        print(strength, round(loss, 4), auc(z, on > 0), "found", round(float((z[on > 0] > threshold).mean()), 3), flush=True)
        if best is None or loss < best[0]:
            best = (loss, strength, threshold)
    _, strength, threshold = best
    head = shares(x[train], y[train, None], strength)
    z = head(x)[:, 0]
    figures = {"auc": auc(z[held], y[held] > 0), "sentences found": interval(z[held & (y > 0)] > threshold),
               "left out by mistake": interval(z[held & (y == 0) & ~near] > threshold),
               "left out by mistake, of texts that come near": interval(z[held & near] > threshold)}
    weight = head.weight.reshape(3, -1).T / std[:, None]
    bias = np.array([head.bias[0], 0, 0]) - mean @ weight
    return weight, bias, 1 / (1 + float(np.exp(-threshold))), figures | {"strength": strength}


def graph(weight: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """`states` [T,D] -> `steers` [T,3]: logits of tokens, to be averaged over a sentence; the columns are what they say of their
    own sentence, of the next and of the one before. A sentence's logit is the sum of what is said of it."""
    value = helper.make_tensor_value_info
    tensors = [numpy_helper.from_array(weight.astype(np.float32), "weight"), numpy_helper.from_array(bias.astype(np.float32), "bias")]
    nodes = [helper.make_node("Gemm", ["states", "weight", "bias"], ["steers"])]
    model = helper.make_graph(nodes, "steering", [value("states", TensorProto.FLOAT, ["T", len(weight)])],
                              [value("steers", TensorProto.FLOAT, ["T", 3])], tensors)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 21)], ir_version=10, producer_name="mom")


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("base")
    args.add_argument("--bases", type=pathlib.Path, default=bases_folder())
    args.add_argument("--out", type=pathlib.Path, nargs="+", default=[], help="folders of minds on that base")
    args.add_argument("--keep", type=pathlib.Path, help="sentences' states, to fit again without reading")
    args = args.parse_args()
    prompt = tomllib.loads((HERE / "minds.toml").read_text())["prompt"]
    found = texts()
    if args.keep and args.keep.exists():
        read = list(np.load(args.keep, allow_pickle=True)["read"])
    else:
        read = states(Base(args.bases / args.base, **prompt), [row["text"] for row in found])
        if args.keep:
            held = np.empty(len(read), object)
            held[:] = read
            np.savez(args.keep, read=held)
    weight, bias, threshold, figures = fit(found, read)
    for folder in args.out:
        onnx.save(graph(weight, bias), folder / "steering.onnx")
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["steering"] = {"file": "steering.onnx", "threshold": round(threshold, 4)}
        manifest["files"]["steering.onnx"] = hashlib.sha256((folder / "steering.onnx").read_bytes()).hexdigest()
        manifest["metrics"]["steering sentences"] = figures
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({"threshold": threshold} | figures, indent=1))


if __name__ == "__main__":
    main()
