"""Trains the flash minds.

    python training/train.py --out DIR                       all tasks, from the base weights
    python training/train.py --out DIR --mind mom-pii-flash --frozen-trunk --start models/onnx/flash-trunk/model.onnx
                                                             one head, everything else as committed

Every step draws one batch per task (brain, guard, pii), adds up their gradients and steps once. Writes DIR/trunk.pt
(the trained part only) and prints losses and scores on the "select" split.
"""
import argparse
import json
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F

import data
from model import CATEGORIES, COMPLEXITIES, D, GUARD, TAGS, Trunk, load_tokenizer

TASKS = {"mom-brain-flash": "brain", "mom-jailbreak-flash": "guard", "mom-pii-flash": "pii"}
BUDGET = {"brain": 2048, "guard": 2048, "pii": 1536}          # tokens a batch, padding included


def batches(draw, budget: int, width: int, rng: random.Random):
    """Endless batches of examples of like length: `width` batches' worth is drawn, sorted, cut and shuffled."""
    while True:
        pool = sorted((draw() for _ in range(width * 24)), key=lambda e: len(e["ids"]))
        cut, start = [], 0
        while start < len(pool):
            size = 1
            while start + size < len(pool) and (size + 1) * len(pool[start + size]["ids"]) <= budget and size < 48:
                size += 1
            cut.append(pool[start:start + size])
            start += size
        rng.shuffle(cut)
        yield from cut


def pad(batch: list[dict], field: str, value) -> torch.Tensor:
    width = max(len(e[field]) for e in batch)
    return torch.tensor([e[field] + [value] * (width - len(e[field])) for e in batch])


def brain_loss(out: dict, batch: list[dict]) -> torch.Tensor:
    category = torch.tensor([e["category"] for e in batch])
    loss = F.cross_entropy(out["category"], category, ignore_index=-100, label_smoothing=0.05)
    target, weight = torch.tensor([e["complexity"] for e in batch]), torch.tensor([e["weight"] for e in batch])
    each = -(target * F.log_softmax(out["complexity"], 1)).sum(1)
    return (loss if (category >= 0).any() else 0.0) + (each * weight).mean()


def guard_loss(out: dict, batch: list[dict]) -> torch.Tensor:
    return F.cross_entropy(out["jailbreak"], torch.tensor([e["jailbreak"] for e in batch]), label_smoothing=0.02)


def pii_loss(out: dict, batch: list[dict]) -> torch.Tensor:
    """Cross-entropy per token; an unmarked token may be O or any label its source does not mark."""
    tags = pad(batch, "tags", -100)
    free = torch.tensor([e["free"] for e in batch])                                     # [B,35]
    log = F.log_softmax(out["pii"], -1)                                                 # [B,T,35]
    outside = log.masked_fill(~free[:, None, :], -1e4).logsumexp(-1)
    inside = log.gather(-1, tags.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    each = -torch.where(tags == 0, outside, inside)
    return (each * (tags >= 0)).sum() / (tags >= 0).sum()


LOSSES = {"brain": brain_loss, "guard": guard_loss, "pii": pii_loss}
WEIGHT = {"brain": 1.0, "guard": 1.0, "pii": 2.0}


class FrozenCache:
    """The frozen layers' output for texts seen before: they never change, and own prompts come round often."""

    def __init__(self):
        self.kept: dict[tuple, tuple] = {}

    def __call__(self, trunk: Trunk, ids, mask):
        rows = [tuple(row[:n].tolist()) for row, n in zip(ids, mask.sum(1))]
        new = [i for i, row in enumerate(rows) if row not in self.kept]
        if new:
            for i, h2, embedding in zip(new, *trunk.frozen(ids[new], mask[new])):
                self.kept[rows[i]] = (h2[:len(rows[i])].half(), embedding)
        h2 = torch.zeros(*ids.shape, D)
        for i, row in enumerate(rows):
            h2[i, :len(row)] = self.kept[row][0]
        return h2, torch.stack([self.kept[row][1] for row in rows])


@torch.no_grad()
def select_scores(trunk: Trunk, tokenizer, tasks: list[str]) -> dict[str, float]:
    """Quick scores on the select split, fp32, first window only; the real evaluation is evaluate.py."""
    from sklearn.metrics import roc_auc_score
    trunk.eval()
    scores = {}

    def run(texts, key, limit=128):
        result = []
        ids = [[data.CLS] + tokenizer.encode(data.normalise(t)[0], add_special_tokens=False).ids[:limit - 2] + [data.SEP]
               for t in texts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for start in range(0, len(order), 32):
            part = [ids[i] for i in order[start:start + 32]]
            width = max(map(len, part))
            tokens = torch.tensor([p + [0] * (width - len(p)) for p in part])
            result += list(zip(order[start:start + 32], trunk(tokens, (tokens > 0).long())[key].softmax(-1)))
        return [value for _, value in sorted(result, key=lambda pair: pair[0])]

    if "brain" in tasks:
        rows = [r for r in data.brain_rows() if r["split"] == "select"]
        for source in ("own-prompts", "mmlu-pro", "mmlu"):
            part = [r for r in rows if r["source"] == source and r["category"]][:150]
            if part:
                best = [CATEGORIES[int(p.argmax())] for p in run([r["text"] for r in part], "category")]
                scores[f"category {source}"] = sum(a == r["category"] for a, r in zip(best, part)) / len(part)
        part = [r for r in rows if r["source"] == "own-prompts"]
        if part:
            got = run([r["text"] for r in part], "complexity")
            want = [round((r["difficulty"] - 1 / 6) * 3) for r in part]
            scores["complexity own"] = sum(int(p.argmax()) == w for p, w in zip(got, want)) / len(part)
            ends = [(float(p[2] - p[0]), w == 2) for p, w in zip(got, want) if w != 1]
            scores["easy/hard auc own"] = roc_auc_score([w for _, w in ends], [s for s, _ in ends])
    if "guard" in tasks:
        rows = [r for r in data.guard_rows() if r["split"] == "select"]
        rows = [r for r in rows if r["label"] == "jailbreak"][:80] + [r for r in rows if r["label"] == "benign"][::3][:200]
        got = [float(p[1]) for p in run([r["text"] for r in rows], "jailbreak", 256)]
        scores["guard auc"] = roc_auc_score([r["label"] == "jailbreak" for r in rows], got)
        negative = sorted((s for s, r in zip(got, rows) if r["label"] == "benign"), reverse=True)
        limit = negative[len(negative) // 50]
        scores["guard recall at 2%"] = (sum(s > limit and r["label"] == "jailbreak" for s, r in zip(got, rows))
                                        / sum(r["label"] == "jailbreak" for r in rows))
    if "pii" in tasks:
        rows = [r for r in data.pii_rows() if r["split"] == "select" and r["annotated"] == "all"][:100]
        hit = found = wanted = 0
        for row in rows:
            ids, tags = data.tagged(tokenizer, row)
            tokens = torch.tensor([[data.CLS] + ids[:254] + [data.SEP]])
            best = trunk(tokens, torch.ones_like(tokens))["pii"][0, 1:-1].argmax(-1).tolist()
            for a, b in zip(best, tags):
                if b >= 0:
                    hit, found, wanted = hit + (a == b > 0), found + (a > 0), wanted + (b > 0)
        scores["pii token f1"] = 2 * hit / max(found + wanted, 1)
    trunk.train()
    return {name: round(value, 4) for name, value in scores.items()}


def parameters(trunk: Trunk, tasks: list[str], frozen_trunk: bool, rate: float) -> list[dict]:
    """Parameter groups; with a frozen trunk only the chosen task's rows of the sentence head may move."""
    if frozen_trunk:
        trunk.stack_t.requires_grad_(False)
        trunk.token.requires_grad_("pii" in tasks)
        keep = torch.zeros(trunk.sentence.out_features, 1)
        ends = len(CATEGORIES) + len(COMPLEXITIES)
        keep[:ends] = float("brain" in tasks)
        keep[ends:] = float("guard" in tasks)
        trunk.sentence.weight.register_hook(lambda g: g * keep)
        trunk.sentence.bias.register_hook(lambda g: g * keep[:, 0])
    heads = [*trunk.sentence.parameters(), *trunk.token.parameters()]
    return [{"params": list(trunk.stack_t.parameters()), "lr": rate, "weight_decay": 0.0 if frozen_trunk else 0.01},
            {"params": heads, "lr": rate * 8, "weight_decay": 0.0}]


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=pathlib.Path, required=True)
    args.add_argument("--mind", choices=list(TASKS), action="append", help="default: all three")
    args.add_argument("--frozen-trunk", action="store_true")
    args.add_argument("--start", type=pathlib.Path, help="trunk.pt or an exported model.onnx to start from")
    args.add_argument("--steps", type=int, default=1600)
    args.add_argument("--minutes", type=float, default=math.inf, help="finish the schedule by then, with fewer steps")
    args.add_argument("--rate", type=float, default=2e-4)
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--threads", type=int, default=2)
    args = args.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tasks = [TASKS[m] for m in args.mind] if args.mind else list(LOSSES)
    trunk, tokenizer = Trunk(), load_tokenizer()
    if args.start and args.start.suffix == ".onnx":
        from export import load_exported
        load_exported(trunk, args.start)
    elif args.start:
        trunk.load_state_dict(torch.load(args.start), strict=False)
    # The guard head does without the embedding: what a text is about must not decide whether it is an attack.
    with torch.no_grad():
        trunk.sentence.weight[-len(GUARD):, 3 * D:] = 0.0
    trunk.train()
    examples, rng = data.Examples(tokenizer, args.seed), random.Random(args.seed)
    draw = {task: batches(getattr(examples, f"{task}_example"), BUDGET[task], 16, rng) for task in tasks}
    cache = FrozenCache()
    optimiser = torch.optim.AdamW(parameters(trunk, tasks, args.frozen_trunk, args.rate), betas=(0.9, 0.98))
    warm = max(1, args.steps // 20)
    args.out.mkdir(parents=True, exist_ok=True)
    mean, began, step, done = {}, time.time(), 0, 0.0
    rates = [group["lr"] for group in optimiser.param_groups]
    while done < 1:
        for group, rate in zip(optimiser.param_groups, rates):
            group["lr"] = rate * min(1, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * done))
        for task in tasks:
            batch = next(draw[task])
            ids = pad(batch, "ids", 0)
            mask = (ids > 0).long()
            h2, embedding = cache(trunk, ids, mask) if task == "brain" else trunk.frozen(ids, mask, with_embedding=False)
            loss = LOSSES[task](trunk.tuned(ids, h2, embedding, mask), batch) * WEIGHT[task]
            loss.backward()
            mean[task] = 0.98 * mean.get(task, loss.item()) + 0.02 * loss.item()
        torch.nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        done = max(step / args.steps, (time.time() - began) / 60 / args.minutes)
        if step % 25 == 0:
            print(step, f"{(time.time() - began) / step:.2f} s/step", {t: round(m, 4) for t, m in mean.items()}, flush=True)
        if step % 100 == 0 or done >= 1:
            trained = {n: v for n, v in trunk.state_dict().items() if n.startswith(("stack_t", "sentence", "token"))}
            torch.save(trained, args.out / "trunk.part")
            (args.out / "trunk.part").replace(args.out / "trunk.pt")
    before = args.start.with_name("run.json") if args.start else None
    runs = json.loads(before.read_text()) if before and before.exists() else []
    runs.append({"steps": step, "seed": args.seed, "rate": args.rate, "start": args.start.name if args.start else "base"})
    (args.out / "run.json").write_text(json.dumps(runs))
    print("steps", step, "select", select_scores(trunk, tokenizer, tasks), flush=True)


if __name__ == "__main__":
    main()
